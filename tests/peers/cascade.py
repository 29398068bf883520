"""The servers of a cascade as one peer: a recognizer (vLLM's protocol), a chat model and, where it is wanted, a voice.

``Script.replies``: the answers of the chat model, one after the other, whenever it is asked; their times do not count,
since it is asked when the caller has said something.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Self

from tests.engines.subject import Script
from tests.model_worker.answers.server import ANYTHING, ChatServer, Plan, says
from tests.model_worker.answers.server import KEY as CHAT_KEY
from tests.peers.speech import SpeechPeer, Turn
from tests.peers.transcription import SENTENCES, Fate, VllmEar


class Chat(ChatServer):
    """Notes when each answer began."""

    def __init__(self) -> None:
        super().__init__(CHAT_KEY)
        self.replied_unix_s: list[float] = []

    async def _reply(self, request: Any, plan: Plan) -> Any:
        self.replied_unix_s.append(time.time())
        return await super()._reply(request, plan)


class CascadePeer:
    """Use it as a context. ``sessions``: the recognizer's. ``voice``: what becomes of the first parts it shall say."""

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        sentences: Sequence[str] = SENTENCES,
        fates: Sequence[Fate | None] = (),
        voice: Sequence[Turn | int | None] | None = None,
    ) -> None:
        self.script = script
        self.ear = VllmEar(Script(replies=(), full=script.full, refuses_key=script.refuses_key), sentences, fates)
        self.chat = Chat()
        self.mouth = None if voice is None else SpeechPeer(turns=voice)
        self._exits = ExitStack()

    @property
    def url(self) -> str:
        """All of them, with blanks between: the recognizer's, the chat model's, the voice's."""
        return " ".join([self.ear.url, self.chat.base_url, *([self.mouth.url] if self.mouth else [])])

    @property
    def faults(self) -> Sequence[str]:
        return [*self.ear.faults, *self.chat.violations, *(self.mouth.faults if self.mouth else [])]

    @property
    def sessions(self) -> Sequence[Any]:
        return self.ear.sessions

    def release(self) -> None:
        self.ear.release()

    def wait_for(self, condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
        return self.ear.wait_for(condition, limit_s)

    def __enter__(self) -> Self:
        self.chat.when(ANYTHING, *(says(reply.words) for reply in self.script.replies))
        with ExitStack() as exits:
            exits.enter_context(self.ear)
            exits.enter_context(self.chat)
            if self.mouth is not None:
                exits.enter_context(self.mouth)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()

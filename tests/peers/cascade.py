"""The servers of a cascade as one peer: a recognizer (vLLM's protocol) and a chat model; the voice is espeak-ng here.

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
    """Use it as a context. ``sessions``: the recognizer's. ``chat``: the other server."""

    def __init__(
        self,
        script: Script = Script(),  # noqa: B008  # frozen
        sentences: Sequence[str] = SENTENCES,
        fates: Sequence[Fate | None] = (),
    ) -> None:
        self.script = script
        self.ear = VllmEar(Script(replies=(), full=script.full, refuses_key=script.refuses_key), sentences, fates)
        self.chat = Chat()
        self._exits = ExitStack()

    @property
    def url(self) -> str:
        """Both: the recognizer's, a blank, the chat model's."""
        return f"{self.ear.url} {self.chat.base_url}"

    @property
    def faults(self) -> Sequence[str]:
        return [*self.ear.faults, *self.chat.violations]

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
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()

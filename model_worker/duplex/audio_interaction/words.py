"""Who finds the words of the replies, where the model only decides: a chat model, told what the business wants said."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from model_worker.answers.context import build_messages
from model_worker.answers.seam import AnswerPiece, Answers
from model_worker.dialog.brief import Brief, LineVoice, Mode, Tools
from model_worker.duplex.audio_interaction.borrowed import Ask, Wish
from model_worker.duplex.history import History
from model_worker.seams import CallSpec, UnknownAgentError
from wire.ids import CallId, TurnId
from wire.messages import OverlapRules, Voice

LINES = 60
HINT = "(the caller has spoken; there is no transcript, but somebody who heard it would have answered: {draft})"


@dataclass(slots=True)
class _Asking:
    """One call. ``replayed``: what was said in its turns before it was heard again here."""

    brief: Brief
    replayed: deque[str]
    hints: dict[TurnId, str] = field(default_factory=dict)


class Words:
    """``briefs`` by agent. What comes of a wish is polled from ``answers``."""

    def __init__(self, answers: Answers, briefs: Mapping[str, Brief]) -> None:
        self.answers = answers
        self._briefs = briefs
        self._calls: dict[CallId, _Asking] = {}

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(sorted(self._briefs))

    def close(self) -> None:
        self.answers.close()

    def begin(self, call: CallId, spec: CallSpec) -> None:
        """Raises UnknownAgentError."""
        if spec.agent not in self._briefs:
            raise UnknownAgentError(spec.agent)
        replayed = deque(said.text for said in spec.replayed if said.voice is Voice.AGENT)
        self._calls[call] = _Asking(self._briefs[spec.agent], replayed)

    def rules(self, call: CallId, *, model_judges: bool) -> OverlapRules:
        """How the call's agent wants to be talked over."""
        return self._calls[call].brief.overlap.rules(model_judges=model_judges)

    def wish(self, call: CallId, wish: Wish, history: History) -> AnswerPiece | None:
        """Pass on what a call wants; ``history``: what was said in it, as far as it was heard.

        Returns the answer itself where the call is heard again and that turn was said before.
        """
        asking = self._calls[call]
        if not isinstance(wish, Ask):
            self.answers.cancel(call)
            return None
        hint = HINT.format(draft=wish.draft.strip()) if wish.draft.strip() else ""
        heard = _conversation(history, asking.hints)
        asking.hints[wish.turn] = hint
        if len(asking.hints) > LINES:
            del asking.hints[min(asking.hints)]
        if asking.replayed:
            return AnswerPiece(call, asking.replayed.popleft(), done=True)
        self.answers.ask(call, build_messages(asking.brief.instructions, heard, hint))
        return None

    def forget(self, call: CallId) -> None:
        """The call is over."""
        self.answers.cancel(call)
        self._calls.pop(call, None)


def _conversation(history: History, hints: Mapping[TurnId, str]) -> list[tuple[Voice, str]]:
    """What was said, the caller's part being what the hints of the agent's turns make of it."""
    heard: list[tuple[Voice, str]] = []
    for entry in history.last(LINES):
        if entry.voice is Voice.AGENT and not (heard and heard[-1][0] is Voice.CALLER):
            heard.append((Voice.CALLER, hints.get(entry.turn, "")))
        heard.append((entry.voice, entry.text))
    return heard


def cannot(brief: Brief) -> str:
    """What of an agent file this engine does not do; empty where it does all of it."""
    if brief.mode is not Mode.DIALOG:
        return f"mode {brief.mode}: this engine holds dialogs only"
    if brief.language.partition("-")[0] != "en":
        return f"language {brief.language}: this engine hears and speaks English only"
    unknown = {
        "greeting": brief.greeting is not None,
        "voice": brief.voice != LineVoice(),
        "tools": brief.tools != Tools(),
        "on_sound": bool(brief.on_sound),
    }
    return next((f"{name}: this engine has none" for name, given in unknown.items() if given), "")

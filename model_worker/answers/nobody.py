"""Nobody to ask: for lines on which nothing is answered."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_worker.answers.seam import AnswerFault, AnswerPiece, ChatMessage
from wire.ids import CallId


class NoAnswers:
    """``Answers`` of which every question is refused."""

    def __init__(self) -> None:
        self._refused: list[AnswerPiece] = []

    @property
    def ready(self) -> bool:
        return bool(self._refused)

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Nothing comes by itself."""

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        self.cancel(call)
        self._refused.append(AnswerPiece(call, "", done=True, error=AnswerFault.REFUSED))

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        refused, self._refused = self._refused, []
        return refused

    def cancel(self, call: CallId) -> None:
        self._refused = [piece for piece in self._refused if piece.call != call]

    def close(self) -> None:
        self._refused.clear()

"""What happened on the media clock, and the latencies that follow from it. Seconds since ``start``.

Speech is placed by the frame in which it was sent or heard, ``clear`` and marks by their arrival.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from twowire.caller.messages import FRAME_MS
from twowire.caller.segments import Segment

FRAME_S = FRAME_MS / 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Something without a length: a key, a mark, a clear. ``what`` names it."""

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the agent: to speech of the caller that ended at ``asked_s``, or to a key pressed then."""

    asked_s: float
    heard_s: float
    by: str
    """``speech`` or ``key``."""

    @property
    def latency_s(self) -> float:
        return round(self.heard_s - self.asked_s, 3)


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller spoke while the agent was speaking.

    ``onset_s``: first voiced packet sent; ``lowered_s``: first ``clear`` received, None if there was none: the agent's
    voice became quieter, or stopped; ``clear_s``: the last one before it fell silent; ``silent_s``: the agent's last
    audible frame over.
    """

    onset_s: float
    lowered_s: float | None
    clear_s: float | None
    silent_s: float

    @property
    def to_lowered_s(self) -> float | None:
        return None if self.lowered_s is None else round(self.lowered_s - self.onset_s, 3)

    @property
    def to_clear_s(self) -> float | None:
        return None if self.clear_s is None else round(self.clear_s - self.onset_s, 3)

    @property
    def to_silence_s(self) -> float:
        return round(self.silent_s - self.onset_s, 3)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One call."""

    agent: Sequence[Segment] = ()
    caller: Sequence[Segment] = ()
    clears_s: Sequence[float] = ()
    keys: Sequence[Moment] = ()
    marks: Sequence[Moment] = ()
    said: Sequence[Moment] = field(default=())
    """What the caller began to say, and when: labels for ``caller``."""

    @property
    def first_audio_s(self) -> float | None:
        """When the agent was first heard."""
        return self.agent[0].start_s if self.agent else None

    def replies(self) -> list[Reply]:
        """Each utterance of the agent that answers something said or pressed since the one before it."""
        asked = sorted(
            [(segment.end_s, "speech") for segment in self.caller] + [(key.at_s, "key") for key in self.keys]
        )
        replies, after_s = [], float("-inf")
        for segment in self.agent:
            before = [(at_s, by) for at_s, by in asked if after_s < at_s <= segment.start_s]
            if before:
                at_s, by = before[-1]
                replies.append(Reply(at_s, segment.start_s, by))
            after_s = segment.start_s
        return replies

    def barge_ins(self) -> list[BargeIn]:
        """Each utterance of the caller that began while the agent was heard."""
        found = []
        for mine in self.caller:
            talked_over = next((other for other in self.agent if other.start_s < mine.start_s < other.end_s), None)
            if talked_over is None:
                continue
            later_s = min((other.start_s for other in self.agent if other.start_s > mine.start_s), default=float("inf"))
            clears_s = [at_s for at_s in self.clears_s if mine.start_s <= at_s <= later_s]
            before_s = [at_s for at_s in clears_s if at_s <= talked_over.end_s + FRAME_S]
            found.append(
                BargeIn(
                    mine.start_s,
                    clears_s[0] if clears_s else None,
                    (before_s or clears_s)[-1] if clears_s else None,
                    talked_over.end_s,
                )
            )
        return found

    def lines(self) -> list[tuple[float, float | None, str]]:
        """All of it in order of time: (start, end or None, what)."""
        lines: list[tuple[float, float | None, str]] = [(s.start_s, s.end_s, "agent speaks") for s in self.agent]
        labels = list(self.said)
        for segment in self.caller:
            label = next((moment for moment in reversed(labels) if moment.at_s <= segment.start_s), None)
            lines.append((segment.start_s, segment.end_s, f"caller speaks{f': {label.what}' if label else ''}"))
        lines += [(at_s, None, "clear: the agent's buffered audio is taken back") for at_s in self.clears_s]
        lines += [(key.at_s, None, f"caller presses {key.what}") for key in self.keys]
        return sorted(lines, key=lambda line: line[0])

"""The answers of a Realtime session: wished for, asked for, being made, being played.

A server makes one answer at a time and faster than it is spoken, and the caller hears it later; what is known of each
by its id stands here. An answer that was interrupted is forgotten, which is the fence: what still comes of an id that
nobody knows is passed over.
"""

from collections import deque
from dataclasses import dataclass, field

from model_worker.duplex.remote.tools import FunctionCall
from model_worker.seams import Action

# The voice plays an answer a little after it came. One that should be over for so long, and never was said to play,
# was too short for a chunk, or the gateway dropped it.
UNPLAYED_S = 2.0
STALLED_S = 30.0  # a session that follows another hears half of that at once, and no caller waits for so long


@dataclass(frozen=True, slots=True)
class Wish:
    """An answer to be asked for. ``actions``: done when it has been spoken."""

    told: str = ""
    tools: bool = True
    actions: tuple[Action, ...] = ()
    attempts: int = 0

    @property
    def is_answer(self) -> bool:
        """To what the caller said, in the model's own words."""
        return not self.told


@dataclass(slots=True)
class Asked:
    """A wish that was sent and not taken up yet. ``dropped``: the caller took the floor meanwhile."""

    event_id: str
    wish: Wish
    dropped: bool = False


@dataclass(slots=True)
class Reply:
    """One answer. ``seconds`` of sound came of it, and ``heard_s`` of them were heard."""

    response_id: str
    wish: Wish
    item_id: str = ""
    seconds: float = 0.0
    heard_s: float = 0.0
    text: str = ""
    calls: list[FunctionCall] = field(default_factory=list)
    done_at_s: float | None = None
    """When the server finished it, in seconds of the caller's sound."""


class Replies:
    """``now_s``: seconds of the caller's sound that the session heard."""

    def __init__(self) -> None:
        self.wished: deque[Wish] = deque()
        self.asked: deque[Asked] = deque()
        self.at_work: str | None = None
        """The id of the answer that the server makes now, even if nobody wants it any more."""
        self._known: dict[str, Reply] = {}
        self._playing: deque[Reply] = deque()
        self._told = False
        self._progress_at_s = 0.0

    @property
    def speaking(self) -> bool:
        """An answer plays, or will as soon as it comes."""
        return bool(self._playing or self._known or any(not asked.dropped for asked in self.asked))

    @property
    def due(self) -> bool:
        """The server is free, and there is something to ask for."""
        return bool(self.wished) and not self.asked and self.at_work is None

    def ask(self, event_id: str, wish: Wish) -> None:
        """The server was asked for an answer, by an event of ours."""
        self.asked.append(Asked(event_id, wish))

    def begin(self, response_id: str) -> Reply | None:
        """The server began an answer; None where nobody wants it any more."""
        asked = self.asked.popleft() if self.asked else None
        self.at_work = response_id
        if asked is not None and asked.dropped:
            return None
        reply = self._known[response_id] = Reply(response_id, Wish() if asked is None else asked.wish)
        return reply

    def of(self, response_id: str) -> Reply | None:
        """An answer by its id; None for one that was interrupted."""
        return self._known.get(response_id)

    def sound(self, reply: Reply, item_id: str, seconds: float) -> None:
        if reply.seconds == 0.0:
            reply.item_id = item_id
            self._playing.append(reply)
        reply.seconds += seconds

    def end(self, response_id: str, now_s: float) -> Reply | None:
        """The server finished an answer; it may go on to play."""
        if self.at_work == response_id:
            self.at_work = None
        reply = self._known.pop(response_id, None)
        if reply is not None:
            reply.done_at_s = now_s
        return reply

    def refused(self, event_id: str, *, again: bool) -> None:
        """The server does not take up a wish: it is not asked for any more, or ``again`` when the server is free."""
        asked = next((asked for asked in self.asked if asked.event_id == event_id), None)
        if asked is None:
            return
        self.asked.remove(asked)
        if again and not asked.dropped:
            self.wished.appendleft(asked.wish)

    def progress(self, now_s: float) -> None:
        """Something was asked for, or came of it."""
        self._progress_at_s = now_s

    def stalled(self, now_s: float) -> bool:
        """The server owes something, and nothing of it has come for long."""
        return bool(self.asked or self.at_work is not None) and now_s - self._progress_at_s > STALLED_S

    def played(self, heard_s: float) -> None:
        """So much of the one that plays was heard; less than before: it is the next one."""
        self._told = True
        if len(self._playing) > 1 and heard_s < self._playing[0].heard_s:
            self._playing.popleft()
        if self._playing:
            self._playing[0].heard_s = max(heard_s, self._playing[0].heard_s)

    def pass_time(self, now_s: float) -> None:
        """A chunk came: what was playing and is not any more has been heard."""
        told, self._told = self._told, False
        while self._playing and (done_at_s := self._playing[0].done_at_s) is not None:
            head = self._playing[0]
            stopped = not told and head.heard_s > 0.0
            overdue = now_s - done_at_s > head.seconds + UNPLAYED_S and not told
            if not (stopped or overdue):
                break
            self._playing.popleft()

    def drop_unsaid(self) -> str | None:
        """The caller goes on: the answer to half a sentence is not wanted, if nothing of it was said yet.

        Returns the id of one that the server is to stop making. What an operator wants said, a greeting or a goodbye
        does not depend on the caller.
        """
        for asked in self.asked:
            asked.dropped = asked.dropped or asked.wish.is_answer
        reply = None if self.at_work is None else self._known.get(self.at_work)
        if reply is None or reply.seconds > 0 or not reply.wish.is_answer:
            return None
        return self._known.pop(reply.response_id).response_id

    def drop(self) -> list[Reply]:
        """The caller has the floor: forget all. Returns those with sound, oldest first; all but the first unheard."""
        dropped = list(self._playing)
        self._playing.clear()
        self._known.clear()
        self.wished.clear()
        for asked in self.asked:
            asked.dropped = True
        return dropped

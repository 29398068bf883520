"""What happens in the calls, as it happens, for those who watch: the console, a browser call's data channel.

An observer of the hub. A call that nobody watches costs a look-up per effect; for one that is watched
each event is built once, whoever reads it, and put into queues that never make it wait.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import TypeVar

from gateway.effects import (
    Effect,
    NoteDecision,
    NoteEnded,
    NoteFirstAudio,
    NoteMuted,
    NoteTurnEnded,
    NoteTurnOpened,
    SendAudio,
    SendUp,
)
from gateway.runner.record import CallRecord
from gateway.runner.story import Event, call_event, ended_event, event_of, levels_event, quality_event, summary_of
from gateway.runner.watch_queue import WatchQueue
from gateway.seams import LegQuality
from wire.audio.codecs import Codec
from wire.audio.g711 import decode
from wire.ids import CallId
from wire.messages import AudioChunk, CallOpened, Voice

MAX_EVENTS = 1_000  # two minutes of a lively call, some 300 kB
MAX_SOUNDS = 256  # five seconds of 20 ms pieces
LIST_EVERY_S = 1.0
QUALITY_EVERY_S = 5.0
_CHANGES_CALL = frozenset({NoteTurnOpened, NoteFirstAudio, NoteTurnEnded, NoteMuted})


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of one voice as the leg has it, in ``codec``."""

    voice: Voice
    codec: Codec
    payload: bytes

    def pcm(self) -> bytes:
        """Little-endian 16-bit samples, mono, at the codec's rate."""
        return decode(self.codec, self.payload).astype("<i2", copy=False).tobytes()


T = TypeVar("T")
Subscription = WatchQueue[Event]
Sounds = WatchQueue[Sound]


class LiveFeed:
    """Everything runs on the event loop; ``observe`` neither blocks nor raises."""

    def __init__(
        self,
        records: Mapping[CallId, CallRecord],
        quality: Callable[[CallId], LegQuality | None],
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """``records``: the hub's; ``quality``: what the leg of a live call measured, None where it cannot tell."""
        self._records = records
        self._quality = quality
        self._wall_clock = wall_clock
        self._watchers: dict[CallId, list[Subscription]] = {}
        self._listeners: dict[CallId, list[Sounds]] = {}
        self._lists: list[Subscription] = []
        self._told: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None

    def subscribe(self, call: CallId | None) -> Subscription:
        """Watch one call, from now on; or, with None, the list of calls that are not over.

        A call's own feed begins with its ``call`` event; its story so far is ``story.iter_events``.
        """
        events: Subscription = WatchQueue(MAX_EVENTS, lambda count: {"event": "dropped", "count": count})
        if call is None:
            calls = self._summaries()
            if not self._lists:
                self._told = calls
            self._lists.append(events)
            events.on_close(lambda: self._lists.remove(events))
            events.push([{"event": "calls", "calls": calls}])
        else:
            record = self._records.get(call)
            if record is not None:
                for tape in record.levels.values():
                    tape.take_changed()  # the story so far has them
                events.push([call_event(record, self._wall_clock())])
            self._enter(self._watchers, call, events)
        self._look_again()
        return events

    def listen(self, call: CallId) -> Sounds:
        """Hear one call, from now on: the caller chunk by chunk, the agent as the leg gets it."""
        sounds: Sounds = WatchQueue(MAX_SOUNDS)
        self._enter(self._listeners, call, sounds)
        self._look_again()
        return sounds

    def observe(self, record: CallRecord, effect: Effect) -> None:
        """See an effect that ``record`` has noted; an ``Observer``."""
        if isinstance(effect, NoteDecision):
            self._ask_quality(record, effect.at_s)
        if (listeners := self._listeners.get(record.call)) is not None:
            _let_hear(listeners, record, effect)
        if (watchers := self._watchers.get(record.call)) is not None:
            self._tell(watchers, record, effect)
        if isinstance(effect, NoteEnded) and record.call in self._watched():
            asyncio.get_running_loop().call_soon(self._finish, record.call)  # when the record says so too

    @property
    def watchers(self) -> int:
        """How many subscriptions are open."""
        calls = sum(len(watchers) for watchers in self._watchers.values())
        return len(self._lists) + calls + sum(len(listeners) for listeners in self._listeners.values())

    def close(self) -> None:
        """The gateway stops: nobody will see more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for events in tuple(self._lists):
            events.finish()
        for call in self._watched():
            self._finish(call)

    def _tell(self, watchers: list[Subscription], record: CallRecord, effect: Effect) -> None:
        events = event_of(record, effect)
        if isinstance(effect, SendUp):
            if isinstance(effect.message, AudioChunk):
                events += _fresh_levels(record)
            elif isinstance(effect.message, CallOpened):
                events.append(call_event(record, self._wall_clock()))
        elif type(effect) in _CHANGES_CALL:
            events.append(call_event(record, self._wall_clock()))
        if events:
            _push(watchers, events)

    def _ask_quality(self, record: CallRecord, at_s: float) -> None:
        asked_at_s = record.qualities[-1][0] if record.qualities else 0.0
        if at_s // QUALITY_EVERY_S <= asked_at_s // QUALITY_EVERY_S:
            return
        quality = self._quality(record.call)
        if quality is None:
            return
        record.note_quality(at_s, quality)
        if (watchers := self._watchers.get(record.call)) is not None:
            _push(watchers, [quality_event(record, at_s, quality), call_event(record, self._wall_clock())])

    def _enter(self, doors: dict[CallId, list[WatchQueue[T]]], call: CallId, one: WatchQueue[T]) -> None:
        record = self._records.get(call)
        if record is not None and record.state == "ended":
            one.finish()
            return
        doors.setdefault(call, []).append(one)

        def leave() -> None:
            rest = doors.get(call, [])
            if one in rest:
                rest.remove(one)
            if not rest:
                doors.pop(call, None)

        one.on_close(leave)

    def _finish(self, call: CallId) -> None:
        """Nothing more will be seen of a call."""
        record = self._records.get(call)
        watchers = self._watchers.pop(call, [])
        if record is not None and record.state == "ended":
            now_unix_s = self._wall_clock()
            lasted_s = now_unix_s - record.started_unix_s if record.duration_s is None else record.duration_s
            ended = ended_event(record, record.outcome, lasted_s)
            _push(watchers, [*_fresh_levels(record), ended, call_event(record, now_unix_s)])
        for events in watchers:
            events.finish()
        for sounds in self._listeners.pop(call, []):
            sounds.finish()

    def _watched(self) -> set[CallId]:
        return self._watchers.keys() | self._listeners.keys()

    def _look_again(self) -> None:
        """Once a second, while anybody watches: has the list changed, has a call ended without a last word?"""
        if self._timer is None and (self._lists or self._watchers or self._listeners):
            self._timer = asyncio.get_running_loop().call_later(LIST_EVERY_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._lists:
            calls = self._summaries()
            if list(map(_ageless, calls)) != list(map(_ageless, self._told)):
                self._told = calls
                _push(self._lists, [{"event": "calls", "calls": calls}])
        for call in self._watched():
            record = self._records.get(call)
            if record is not None and record.state == "ended":
                self._finish(call)
        self._look_again()

    def _summaries(self) -> list[Event]:
        now_unix_s = self._wall_clock()
        return [summary_of(record, now_unix_s) for record in self._records.values() if record.state != "ended"]


def _push(readers: Iterable[WatchQueue[T]], items: list[T]) -> None:
    for reader in readers:
        reader.push(items)


def _let_hear(listeners: list[Sounds], record: CallRecord, effect: Effect) -> None:
    codec = record.setup.codec
    if isinstance(effect, SendAudio):
        _push(listeners, [Sound(Voice.AGENT, codec, effect.payload)])
    elif isinstance(effect, SendUp) and isinstance(effect.message, AudioChunk):
        _push(listeners, [Sound(Voice.CALLER, codec, effect.message.payload)])


def _fresh_levels(record: CallRecord) -> list[Event]:
    events = []
    for voice, tape in record.levels.items():
        if (changed := tape.take_changed()) is not None:
            events.append(levels_event(record, voice, *changed))
    return events


def _ageless(summary: Event) -> Event:
    return {**summary, "age_s": None}

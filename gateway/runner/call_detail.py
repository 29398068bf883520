"""The record of one call, as one JSON object: who, when, how it went, how it sounded.

Built from the call's effects as they come, for a fixed price each: no effect costs more than a chunk of the caller's
being looked at once. ``talk_s`` is how long the agent was heard, pauses within its turns included. ``listen_s`` is how
long the caller spoke, ``overlap_s`` how much of that while a turn of the agent was being heard; both are estimates, by
``VoiceMeter``.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gateway.effects import (
    Effect,
    EndLeg,
    NoteDecision,
    NoteEnded,
    NoteFirstAudio,
    NoteMissing,
    NoteReply,
    NoteTurnEnded,
    SendAudio,
    SendUp,
    TurnEnd,
)
from gateway.runner.media_clock import MediaClock
from gateway.runner.record import CallRecord, percentile
from gateway.runner.voice_meter import FRAME_S, VoiceMeter
from gateway.seams import LegQuality
from wire.messages import AudioChunk

MAX_FIGURES = 9_000  # of each kind, the latest: an hour of decisions


@dataclass(frozen=True, slots=True)
class CallDetail:
    """``caller`` and ``callee`` are personal: kept here, never logged. What is not known is None, not 0.

    ``started_unix_s`` is when the gateway placed the call, or took it; ``answered_unix_s`` when there was media.
    ``engine_s``: time of the engine that its decisions took. ``late``: decisions that took longer than a chunk.
    """

    call: str
    door: str
    direction: str
    caller: str
    callee: str
    agent: str
    engine: str
    workers: tuple[str, ...]
    codec: str
    outcome: str
    answered_by: str | None
    started_unix_s: float
    answered_unix_s: float | None
    ended_unix_s: float
    duration_s: float
    talk_s: float
    listen_s: float
    overlap_s: float
    turns: int
    interruptions: int
    barge_in_stops_s: tuple[float, ...]
    replies: int
    response_p50_s: float | None
    response_p95_s: float | None
    first_audio_p50_s: float | None
    first_audio_p95_s: float | None
    decisions: int
    decision_p50_s: float | None
    decision_p95_s: float | None
    missing: int
    late: int
    engine_s: float
    underruns: int
    underrun_s: float
    transfers: int
    mos: float | None
    loss: float | None
    jitter_s: float | None
    round_trip_s: float | None
    recorded: bool

    def as_json(self) -> dict[str, Any]:
        """Durations to the microsecond."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


class CallDetailBuilder:
    """Watches one call from its first effect on. ``record`` is read again at the end."""

    def __init__(self, record: CallRecord) -> None:
        codec = record.setup.codec
        self._record = record
        self._first_worker = record.worker
        self._rate_hz = codec.sample_rate_hz
        self._sample_bytes = codec.bytes_per_sample
        self._clock = MediaClock(codec.sample_rate_hz)
        self._meter = VoiceMeter(codec)
        self._audible: deque[list[float]] = deque()  # [from, to] of what the leg was given, on the call's clock
        self._turn_samples = 0
        self._heard_samples = 0
        self._chunk_s = 0.0
        self._listen_s = self._overlap_s = self._engine_s = 0.0
        self._turns = self._interruptions = self._decided = self._missing = self._late = self._transfers = 0
        self._replies = 0
        self._stops_s, self._responses_s, self._first_audio_s, self._decisions_s = (
            deque[float](maxlen=MAX_FIGURES) for _ in range(4)
        )
        self._duration_s: float | None = None

    def observe(self, effect: Effect) -> None:
        """Must be shown every effect of the call, in order."""
        match effect:
            case SendUp(AudioChunk() as chunk):
                self._hear(chunk)
            case NoteDecision():
                self._note_decision(effect)
            case SendAudio(payload, at_s):
                self._note_sent(at_s, len(payload) // self._sample_bytes)
            case NoteMissing():
                self._missing += 1
            case NoteFirstAudio(_, latency_s):
                self._first_audio_s.append(latency_s)
            case NoteReply(trace):
                self._replies += 1
                self._responses_s.append(trace.total_s)
            case NoteTurnEnded():
                self._end_turn(effect)
            case EndLeg(action):
                self._transfers += action == "transfer"
            case NoteEnded(_, duration_s):
                self._duration_s = duration_s

    def _hear(self, chunk: AudioChunk) -> None:
        """Count where the caller speaks, and where he does so while a turn is heard."""
        samples = len(chunk.payload) // self._sample_bytes
        end_samples = chunk.start_samples + samples
        self._clock.chunk_sent(chunk.index, end_samples)
        self._chunk_s = samples / self._rate_hz
        voiced = self._meter.voiced(chunk.payload)
        spoken = int(voiced.sum())
        if spoken:
            self._listen_s += spoken * FRAME_S
        start_s = chunk.start_samples / self._rate_hz + self._clock.offset_s
        while self._audible and self._audible[0][1] <= start_s:
            self._audible.popleft()
        if spoken:
            for since_s, until_s in self._audible:
                first = max(0, round((since_s - start_s) / FRAME_S))
                self._overlap_s += int(voiced[first : max(0, round((until_s - start_s) / FRAME_S))].sum()) * FRAME_S

    def _note_decision(self, note: NoteDecision) -> None:
        self._clock.chunk_complete(note.decision.index, note.at_s - note.latency_s)
        self._decided += 1
        self._late += note.latency_s > self._chunk_s
        self._decisions_s.append(note.latency_s)
        self._engine_s += note.decision.step_s

    def _note_sent(self, at_s: float, samples: int) -> None:
        self._turn_samples += samples
        until_s = at_s + samples / self._rate_hz
        if self._audible and at_s - self._audible[-1][1] < FRAME_S:
            self._audible[-1][1] = max(until_s, self._audible[-1][1])
        else:
            self._audible.append([at_s, until_s])

    def _end_turn(self, note: NoteTurnEnded) -> None:
        self._turns += 1
        self._heard_samples += note.ledger.played
        if note.end is TurnEnd.BARGED_IN:
            self._interruptions += 1
            if note.stop_s is not None:
                self._stops_s.append(note.stop_s)
        surplus_s = max(0, self._turn_samples - note.ledger.played) / self._rate_hz
        self._turn_samples = 0
        while surplus_s > 0 and self._audible:
            since_s, until_s = self._audible[-1]
            if until_s - since_s > surplus_s:
                self._audible[-1][1] = until_s - surplus_s
                return
            surplus_s -= until_s - since_s
            self._audible.pop()

    def finish(
        self,
        quality: LegQuality | None,
        stats: Mapping[str, float],
        *,
        ended_unix_s: float,
        recorded: bool = False,
    ) -> CallDetail:
        """The whole record, once the call is over. ``stats`` are those of the call's core (``Call.stats``).

        A call that a fault ended has no last effect: it lasted until now.
        """
        record = self._record
        duration_s = self._duration_s
        if duration_s is None:
            duration_s = max(0.0, ended_unix_s - record.started_unix_s)
        answered = self._chunk_s > 0
        setup = record.setup
        response_p50_s, response_p95_s = _percentiles(self._responses_s)
        first_audio_p50_s, first_audio_p95_s = _percentiles(self._first_audio_s)
        decision_p50_s, decision_p95_s = _percentiles(self._decisions_s)
        return CallDetail(
            call=record.call,
            door=setup.door,
            direction=record.direction,
            caller=setup.caller,
            callee=setup.callee,
            agent=setup.agent,
            engine=record.engine,
            workers=(self._first_worker, *(move.worker for move in record.moves)),
            codec=setup.codec.value,
            outcome=record.outcome or "unknown",
            answered_by=record.answered_by,
            started_unix_s=record.started_unix_s,
            answered_unix_s=record.started_unix_s if answered else None,
            ended_unix_s=ended_unix_s,
            duration_s=duration_s,
            talk_s=self._heard_samples / self._rate_hz,
            listen_s=self._listen_s,
            overlap_s=self._overlap_s,
            turns=self._turns,
            interruptions=self._interruptions,
            barge_in_stops_s=tuple(round(stop_s, 6) for stop_s in self._stops_s),
            replies=self._replies,
            response_p50_s=response_p50_s,
            response_p95_s=response_p95_s,
            first_audio_p50_s=first_audio_p50_s,
            first_audio_p95_s=first_audio_p95_s,
            decisions=self._decided,
            decision_p50_s=decision_p50_s,
            decision_p95_s=decision_p95_s,
            missing=self._missing,
            late=self._late,
            engine_s=self._engine_s,
            underruns=int(stats.get("underruns", 0)),
            underrun_s=stats.get("underrun_s", 0.0),
            transfers=self._transfers,
            mos=None if quality is None or quality.mos is None else round(quality.mos, 2),
            loss=None if quality is None else quality.loss,
            jitter_s=None if quality is None else quality.jitter_s,
            round_trip_s=None if quality is None else quality.round_trip_s,
            recorded=recorded,
        )


def _percentiles(values_s: deque[float]) -> tuple[float | None, float | None]:
    """The middle and the 95th of a hundred."""
    if not values_s:
        return None, None
    return percentile(values_s, 0.5), percentile(values_s, 0.95)

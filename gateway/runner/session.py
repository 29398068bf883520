"""One live call in the runner: its core, its leg, its mailbox."""

from collections import deque
from collections.abc import Callable, Sequence

import structlog

from gateway.call import Call
from gateway.effects import (
    ClearAudio,
    Effect,
    EndLeg,
    NoteAlarm,
    NoteDecision,
    NoteDropped,
    NoteDucked,
    NoteEcho,
    NoteEnded,
    NoteFirstAudio,
    NoteMoved,
    NoteOverlap,
    NoteReply,
    NoteTurnEnded,
    NoteTurnOpened,
    OverlapEnd,
    ReplyTrace,
    SeekWorker,
    SendAgain,
    SendAudio,
    SendKeys,
    SendMark,
    SendUp,
    TurnEnd,
)
from gateway.events import CallEvent, LegMeasured
from gateway.metrics import GatewayMetrics
from gateway.runner.record import CallRecord
from gateway.seams import Leg, LegQuality
from wire.ids import WorkerId
from wire.messages import UpMessage

log = structlog.get_logger()

NEVER = float("inf")

Observer = Callable[[CallRecord, Effect], None]
"""Sees every effect of a call, noted in the record, just before it is performed; must be quick, and must not raise."""


class CallSession:
    """Takes one input at a time into the core, then performs every effect.

    Inputs that arise while effects are performed wait in the mailbox. A fault in the core ends
    this call and no other.
    """

    def __init__(
        self,
        call: Call,
        leg: Leg,
        record: CallRecord,
        metrics: GatewayMetrics,
        clock: Callable[[], float],
        send_up: Callable[[WorkerId, UpMessage], None],
        on_seek: Callable[["CallSession", str], None],
        on_decision: Callable[[NoteDecision], None],
        on_ended: Callable[["CallSession"], None],
        observers: Sequence[Observer] = (),
    ) -> None:
        self.call = call
        self.record = record
        self.due = NEVER
        """When the ticker must wake this call; the ticker reads it every tick."""
        self._leg = leg
        self._metrics = metrics
        self._clock = clock
        self._send_up = send_up
        self._on_seek = on_seek
        self._on_decision = on_decision
        self._on_ended = on_ended
        self._observers = tuple(observers)
        self._inbound = bytearray()
        self._wanted_bytes = 0
        self._mailbox: deque[CallEvent] = deque()
        self._busy = False
        door = record.setup.door
        self._first_audio = metrics.first_audio.labels(door)
        self._response_latency = metrics.response_latency.labels(door)
        self._duck = metrics.duck.labels(door)
        self._barge_in_stop = metrics.barge_in_stop.labels(door)
        self._decisions = {kind: metrics.decisions.labels(kind) for kind in ("listen", "speak")}

    def start(self) -> None:
        """Perform what the core wanted from its first moment."""
        self._guard(lambda _now: None)

    def receive_media(self, payload: bytes) -> None:
        """Bytes of the leg's codec, as they come; the core is woken when it has use for them."""
        self._inbound += payload
        if len(self._inbound) >= self._wanted_bytes and not self._busy:
            inbound, self._inbound = bytes(self._inbound), bytearray()
            self._take(self.call.receive_media, inbound)

    def post(self, event: CallEvent) -> None:
        """Put an event into the mailbox; it is taken at once unless another is being worked on."""
        self._mailbox.append(event)
        if not self._busy:
            self._empty_mailbox()

    def wake(self) -> None:
        """The time in ``due`` has come."""
        self._take(self.call.handle_deadline)

    def quality(self) -> LegQuality | None:
        """How well the leg does by now; None where the door cannot tell."""
        return self._leg.quality()

    def _take(self, take: Callable[..., None], *given: bytes) -> None:
        """One input, then what arose while its effects were performed."""
        self._guard(take, *given)
        if self._mailbox:
            self._empty_mailbox()

    def _empty_mailbox(self) -> None:
        while self._mailbox:
            self._guard(self.call.receive, self._mailbox.popleft())

    def _guard(self, take: Callable[..., None], *given: bytes | CallEvent) -> None:
        """One input, then every effect."""
        call = self.call
        if call.ended:
            return
        self._busy = True
        try:
            take(*given, self._clock())
            self._drain()
        except Exception:
            log.exception("call.fault", call=call.id)
            self._metrics.call_faults.inc()
            self._fail()
        finally:
            self._busy = False

    def _drain(self) -> None:
        call = self.call
        while (effect := call.poll()) is not None:
            self.record.note(effect)
            for observer in self._observers:
                observer(self.record, effect)
            self._perform(effect)
        self._wanted_bytes = call.wanted_bytes
        due = call.next_deadline()
        self.due = NEVER if due is None else due

    def _fail(self) -> None:
        """End a call whose core broke an invariant."""
        self.due = NEVER
        self.record.after = ("failed", {})
        self._send_up(self.call.worker, self.call.abandon())
        self._leg.end("failed", {})
        self._finish("fault", None)

    def _finish(self, reason: str, duration_s: float | None) -> None:
        self.record.state = "ended"
        self.record.outcome = reason
        self.record.duration_s = duration_s
        self._on_ended(self)

    def _perform(self, effect: Effect) -> None:
        # Ordered by how often each comes.
        match effect:
            case SendUp(message, to) | SendAgain(message, to):
                self._send_up(to, message)
            case NoteDecision(decision, latency_s):
                self._decisions[decision.kind.value].inc()
                self._metrics.decision_latency.observe(latency_s)
                self._on_decision(effect)
            case SendAudio(payload):
                self._leg.send_audio(payload)
            case SendMark(name):
                self._leg.send_mark(name)
            case ClearAudio():
                self._leg.clear()
            case SendKeys(keys):
                self._leg.send_keys(keys)
            case NoteFirstAudio(_, latency_s):
                self._first_audio.observe(latency_s)
            case NoteTurnOpened():
                self._measure_leg()
            case NoteTurnEnded():
                self._note_turn(effect)
            case NoteDucked(_, onset_at_s, at_s):
                self._duck.observe(at_s - onset_at_s)
            case NoteOverlap():
                self._note_overlap(effect)
            case NoteAlarm(alarm):
                self._metrics.alarms.labels(alarm).inc()
                log.warning("call.alarm", call=self.call.id, alarm=alarm, engine=self.record.engine)
            case NoteEcho(return_loss_db):
                self._metrics.echo_return_loss.observe(return_loss_db)
            case SeekWorker(reason):
                self._on_seek(self, reason)
            case NoteMoved(_, reason, sought_s):
                self._metrics.calls_moved.labels(reason).inc()
                self._metrics.takeover.observe(sought_s)
            case NoteReply(trace):
                self._note_reply(trace)
            case NoteDropped(reason):
                self._metrics.dropped.labels(reason).inc()
            case EndLeg(action, arguments):
                self.record.after = (action, dict(arguments))
                self._leg.end(action, arguments)
            case NoteEnded(reason, duration_s):
                self._count_totals()
                self._finish(reason, duration_s)

    def _note_turn(self, note: NoteTurnEnded) -> None:
        self._metrics.turns.labels(note.end.value).inc()
        if note.end is TurnEnd.BARGED_IN and note.stop_s is not None:
            self._barge_in_stop.observe(note.stop_s)

    def _note_overlap(self, note: NoteOverlap) -> None:
        self._metrics.overlaps.labels(note.end.value).inc()
        if note.end is OverlapEnd.RESUMED and note.stopped_at_s is not None:
            self._metrics.resume_gap.observe(note.at_s - note.stopped_at_s)

    def _measure_leg(self) -> None:
        """Tell the core once per turn how far away the caller is, where the door knows."""
        quality = self._leg.quality()
        if quality is not None and quality.round_trip_s is not None:
            self.post(LegMeasured(quality.round_trip_s))

    def _note_reply(self, trace: ReplyTrace) -> None:
        self._response_latency.observe(trace.total_s)
        for part, part_s in trace.parts():
            self._metrics.reply_part.labels(part).observe(part_s)

    def _count_totals(self) -> None:
        stats = self.call.stats()
        self._metrics.underruns.inc(stats["underruns"])
        self._metrics.underrun_seconds.inc(stats["underrun_s"])
        self._metrics.decisions_missing.inc(stats["missing_decisions"])

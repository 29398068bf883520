"""Follow one reply from the caller's last word to the caller's ear, and say where the time went.

The stamps are those of this process; the worker's share travels as durations (``Decision``), so no two
clocks are compared. The caller's last word is looked for (``turn.speech_end``) once the reply was heard
and not before, so that no reply waits for it. What a part means:

- *jitter buffer*: audio comes at the rate at which it is spoken; the quickest chunk of the seconds before
  shows how early it can be here. The chunk with the last word was later than that by jitter, or by waiting
  for a lost packet.
- *endpoint*: from the last word to the end of the chunk after which the model spoke: its patience, in
  whole chunks.
- *bus up* and *bus down* are what is left of the way there and back without queue and compute.
- *leg*: with marks, the smallest delay that the last of them showed, which contains the mark's own way
  back. Without, the wait for the next tick and half the round trip.

``total_s`` ends when the caller heard the first sample by the mark of this very turn, where the leg has
marks. So a mark that was late, or a worker that counted more time than has passed, shows as a difference
to the sum of the parts.
"""

from collections import deque
from dataclasses import dataclass

from gateway.effects import ReplyTrace
from gateway.turn.chunker import Chunk
from gateway.turn.speech_end import speech_end
from wire.audio.codecs import Codec
from wire.ids import TurnId
from wire.messages import Decision

LOOK_BACK_S = 4.0  # who has said nothing for longer is not waiting for this reply: a greeting, a reminder
PACKET_S = 0.02  # a leg without marks sends what it was given packet by packet, with the shared tick

_Heard = tuple[Chunk, float]  # a chunk of the caller's, and when it was complete


@dataclass(slots=True)
class _Reply:
    """The open turn as a reply, as far as it has come. Stamps are ``now``; None: not yet."""

    turn: TurnId
    decision: Decision | None = None
    heard: tuple[_Heard, ...] = ()
    complete_at: float = 0.0
    decided_at: float = 0.0
    voice_at: float | None = None
    sent_at: float | None = None
    plays_at: float = 0.0
    round_trip_s: float = 0.0


class ReplyStamps:
    """The stamps of the turn that is open. Tell it of things as they happen; some answer with the finished trace."""

    def __init__(self, codec: Codec, chunk_ms: int, began_at: float) -> None:
        self._codec = codec
        self._began_at = began_at
        self._heard: deque[_Heard] = deque(maxlen=max(1, round(LOOK_BACK_S * 1_000 / chunk_ms)))
        self._reply: _Reply | None = None

    @property
    def wanted(self) -> bool:
        """True while a reply is under way of which the trace was not given out."""
        return self._reply is not None

    def hear(self, chunk: Chunk, now: float) -> None:
        """A chunk of the caller is complete."""
        self._heard.append((chunk, now))

    def open(self, turn: TurnId) -> None:
        """A turn was opened; the one before is forgotten."""
        self._reply = _Reply(turn)

    def decide(self, decision: Decision, complete_at: float, now: float) -> None:
        """A decision to speak is here. Of a turn the first counts, unless its chunk came after the turn's voice did."""
        reply = self._reply
        if reply is None or reply.decision is not None or reply.turn != decision.turn:
            return
        if reply.voice_at is not None and complete_at > reply.voice_at:
            return  # the decision that opened the turn was lost: the chunk behind it is not known
        reply.decision = decision
        reply.heard = tuple(self._heard)
        reply.complete_at = complete_at
        reply.decided_at = now if reply.voice_at is None else reply.voice_at

    def voice(self, now: float) -> None:
        """A piece of the turn's voice is here."""
        reply = self._reply
        if reply is not None and reply.voice_at is None:
            reply.voice_at = now

    def send(self, plays_at: float, now: float) -> None:
        """The leg was given the first piece, which the playout clock plays at ``plays_at``."""
        reply = self._reply
        if reply is not None:
            reply.sent_at = now
            reply.plays_at = plays_at

    def measure(self, round_trip_s: float) -> None:
        """The leg told how far away the caller is."""
        if self._reply is not None:
            self._reply.round_trip_s = round_trip_s

    def played(self, delay_s: float, ear_delay_s: float) -> ReplyTrace | None:
        """A mark of the turn came back: the ear is ``delay_s`` behind the playout clock, by the last marks less."""
        reply, self._reply = self._reply, None
        if reply is None or reply.sent_at is None:
            return None
        leg_s = reply.plays_at + ear_delay_s - reply.sent_at
        return self._trace(reply, reply.sent_at, leg_s, reply.plays_at + delay_s)

    def tick(self, now: float) -> ReplyTrace | None:
        """A tick came on a leg without marks. The first one after ``send`` shows when the packets left."""
        reply = self._reply
        if reply is None or reply.sent_at is None or now <= reply.sent_at:
            return None
        self._reply = None
        wait_s = (now - reply.sent_at) % PACKET_S
        leg_s = reply.plays_at - reply.sent_at + wait_s + reply.round_trip_s / 2
        return self._trace(reply, reply.sent_at, leg_s, reply.sent_at + leg_s)

    def close(self, ear_delay_s: float, *, audible: bool) -> ReplyTrace | None:
        """The turn is over."""
        reply, self._reply = self._reply, None
        if reply is None or reply.sent_at is None or not audible:
            return None
        leg_s = reply.plays_at + ear_delay_s + reply.round_trip_s / 2 - reply.sent_at
        return self._trace(reply, reply.sent_at, leg_s, reply.sent_at + leg_s)

    def _trace(self, reply: _Reply, sent_at: float, leg_s: float, heard_at: float) -> ReplyTrace | None:
        decision, voice_at = reply.decision, reply.voice_at
        if decision is None or voice_at is None:
            return None
        heard = [(chunk, at) for chunk, at in reply.heard if chunk.index <= decision.index]
        spoken = self._last_word(heard)
        if spoken is None:
            return None
        word_at, late_s = spoken
        return ReplyTrace(
            turn=reply.turn,
            at_s=heard_at - self._began_at,
            jitter_buffer_s=late_s,
            endpoint_s=reply.complete_at - word_at,
            bus_up_s=max(0.0, decision.chunk_age_s - decision.queue_s - decision.step_s),
            queue_s=decision.queue_s,
            compute_s=decision.step_s,
            bus_down_s=max(0.0, reply.decided_at - reply.complete_at - decision.chunk_age_s),
            voice_s=voice_at - reply.decided_at,
            playout_s=sent_at - voice_at,
            leg_s=leg_s,
            total_s=heard_at - word_at + late_s,
        )

    def _last_word(self, heard: list[_Heard]) -> tuple[float, float] | None:
        """When the end of the caller's last word was here, and how much later than it could have been."""
        end = speech_end(self._codec, b"".join(chunk.payload for chunk, _ in heard))
        if end is None:
            return None
        quickest_at = min(at - self._media_s(chunk) for chunk, at in heard)
        for chunk, at in heard:
            samples = len(chunk.payload) // self._codec.bytes_per_sample
            if end <= samples:
                late_s = at - self._media_s(chunk) - quickest_at
                return at - (samples - end) / self._codec.sample_rate_hz, late_s
            end -= samples
        raise AssertionError("the end of speech lies within what was searched")

    def _media_s(self, chunk: Chunk) -> float:
        """The media time at which a chunk ends."""
        samples = chunk.start_samples + len(chunk.payload) // self._codec.bytes_per_sample
        return samples / self._codec.sample_rate_hz

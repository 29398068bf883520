"""A record that was told a small call by hand: what the tests of the story and of the feed share."""

from gateway.effects import (
    Effect,
    NoteDecision,
    NoteFirstAudio,
    NoteKey,
    NoteMissing,
    NoteMuted,
    NoteReply,
    NoteTranscript,
    NoteTurnEnded,
    NoteTurnOpened,
    ReplyTrace,
    SendAudio,
    SendUp,
    TurnEnd,
)
from gateway.runner.record import CallRecord
from gateway.seams import CallSetup
from tests.gateway.calls import CALL, RTP_LIKE
from wire.audio.codecs import Codec
from wire.ids import TurnId, WorkerId
from wire.messages import AudioChunk, Decision, DecisionKind, Playback, Transcript, Voice

LOUD = b"\x80"  # full scale in µ-law
TURN = TurnId(1)
TRACE = ReplyTrace(
    turn=TURN,
    at_s=1.05,
    jitter_buffer_s=0.06,
    endpoint_s=0.4,
    bus_up_s=0.002,
    queue_s=0.001,
    compute_s=0.05,
    bus_down_s=0.002,
    voice_s=0.1,
    playout_s=0.01,
    leg_s=0.08,
    total_s=0.71,
)


def record() -> CallRecord:
    setup = CallSetup("sip", Codec.PCMU, RTP_LIKE, "front-desk", caller="+15550100", callee="+15550199")
    return CallRecord(CALL, setup, WorkerId("w1"), "rule", started_unix_s=1_000.0)


def chunk(index: int, byte: bytes = LOUD) -> SendUp:
    return SendUp(AudioChunk(CALL, 0, index + 1, index, index * 3_200, 0.0, byte * 3_200), WorkerId("w1"))


def decided(index: int, latency_s: float = 0.01) -> NoteDecision:
    decision = Decision(CALL, 0, index, index, DecisionKind.LISTEN, p_speak=0.25, queue_s=0.001, step_s=0.004)
    return NoteDecision(decision, latency_s, at_s=0.4 * (index + 1) + latency_s)


def said(voice: Voice, text: str, at_s: float) -> NoteTranscript:
    turn = TURN if voice is Voice.AGENT else TurnId(0)
    return NoteTranscript(Transcript(CALL, 0, 0, voice, text, turn), at_s)


def barged_in(at_s: float = 2.0) -> NoteTurnEnded:
    """Of 1.2 s that were generated 0.8 s were sent and 0.6 s heard."""
    ledger = Playback(TURN, 9_600, 6_400, 4_800)
    return NoteTurnEnded(ledger, TurnEnd.BARGED_IN, "We are", "open.", at_s, stop_s=0.2, onset_at_s=at_s - 0.2)


def small_call() -> list[Effect]:
    """The caller asks, presses a key, and barges into the answer; one decision is lost and one late."""
    return [
        chunk(0),
        decided(0),
        chunk(1),
        NoteMissing(1, 0.9),
        said(Voice.CALLER, "When are you open?", 0.95),
        NoteTurnOpened(TURN, 1.0),
        said(Voice.AGENT, "We are open.", 1.01),
        NoteFirstAudio(TURN, 0.2, 1.02),
        SendAudio(LOUD * 6_400, at_s=1.4),
        NoteReply(TRACE),
        chunk(2),
        decided(2, latency_s=0.5),
        NoteKey("7", 1.8),
        barged_in(),
        NoteMuted(True, 2.1),
    ]


def told(*effects: Effect) -> CallRecord:
    """A record after these effects."""
    it = record()
    for effect in effects:
        it.note(effect)
    return it

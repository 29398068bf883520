"""Playing a turn, and knowing what was heard of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.seams import PlayoutProfile
from gateway.turn.playout import Playout
from tests.speech import is_quiet
from wire.audio.codecs import Codec
from wire.ids import TurnId

TWILIO = PlayoutProfile(lead_s=0.4, piece_s=0.1, marks=True)
RTP = PlayoutProfile(lead_s=0.02, piece_s=0.02, marks=False)


def playing(samples: int, profile: PlayoutProfile = TWILIO) -> Playout:
    playout = Playout(Codec.PCMU, profile)
    playout.open(TurnId(1))
    playout.submit(0, b"\x01" * samples)
    return playout


def test_the_leg_is_kept_four_tenths_of_a_second_ahead_of_the_ear():
    playout = playing(16_000)
    sent = {}
    for ms in range(0, 1_000, 20):
        piece = playout.take(10 + ms / 1_000)
        if piece is not None:
            sent[ms] = len(piece.payload)
    assert sent[0] == 3_200
    assert set(sent.values()) == {3_200, 800}
    assert sum(sent.values()) == 3_200 + 9 * 800


def test_rtp_gets_one_packet_a_tick():
    playout = playing(1_600, RTP)
    taken = [playout.take(10 + n * 0.02) for n in range(10)]
    assert [len(piece.payload) for piece in taken if piece] == [160] * 10


def test_barge_in_reports_what_the_caller_heard():
    playout = playing(16_000)
    playout.take(10.0)
    for tenth in range(1, 5):
        playout.take(10 + tenth / 10)
    ledger = playout.close(10.45, played_out=False)
    assert ledger.heard == 3_600
    ledger.play_to(99_999)
    assert (ledger.heard, ledger.played) == (3_600, 3_600)  # nothing plays after a barge-in


def test_a_late_worker_is_an_underrun_and_the_clock_starts_anew():
    playout = playing(800)
    playout.take(10.0)
    assert playout.take(10.2) is None
    playout.submit(800, b"\x01" * 800)
    playout.take(10.3)
    assert playout.underruns == 1
    assert abs(playout.underrun_s - 0.2) < 1e-9
    assert playout.advance(10.35).played == 800 + 400


def test_a_mark_before_the_first_sample_or_beyond_the_last_tells_nothing_of_the_ear():
    playout = playing(1_600)
    playout.take(10.0)
    assert [playout.acknowledge(acked, 10.5) for acked in (0, -1, 1_601)] == [None, None, None]
    assert playout.ear_delay_s == 0.0
    assert playout.acknowledge(1_600, 10.5) == pytest.approx(0.3)


def test_the_pause_between_turns_is_no_underrun():
    playout = playing(800)
    playout.complete(playout.ledger.generated)  # type: ignore[union-attr]
    playout.take(10.0)
    playout.close(10.1, played_out=True)
    playout.open(TurnId(2))
    playout.submit(0, b"\x01" * 800)
    playout.take(20.0)
    assert playout.underruns == 0


def test_the_tail_shorter_than_a_piece_is_played():
    playout = playing(810)
    assert len(playout.take(10.0).payload) == 810  # type: ignore[union-attr]
    playout.submit(810, b"\x01" * 10)
    assert playout.take(10.05) is None  # more may come
    playout.complete(playout.ledger.generated)  # type: ignore[union-attr]
    piece = playout.take(10.06)
    assert piece is not None
    assert piece.last
    assert piece.sent_samples == 820


def test_a_hole_in_the_speech_is_quiet_noise_and_a_double_is_trimmed():
    playout = playing(800)
    playout.submit(1_000, b"\x01" * 600)
    playout.submit(1_400, b"\x02" * 400)
    assert playout.lost_samples == 200
    playout.complete(playout.ledger.generated)  # type: ignore[union-attr]
    piece = playout.take(0.0)
    assert piece is not None
    assert piece.payload[:800] == b"\x01" * 800
    assert is_quiet(piece.payload[800:1_000])
    assert piece.payload[1_000:] == b"\x01" * 600 + b"\x02" * 200


@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=12), st.floats(0, 3))
def test_taking_on_any_grid_loses_and_repeats_nothing(sizes: list[int], jitter: float):
    playout = Playout(Codec.PCMU, TWILIO)
    playout.open(TurnId(1))
    audio = bytes(n % 251 for n in range(sum(sizes)))
    out, at, now = bytearray(), 0, 0.0
    for size in sizes:
        playout.submit(at, audio[at : at + size])
        at += size
        while (piece := playout.take(now)) is not None:
            out += piece.payload
        now += 0.02 + jitter
    playout.complete(playout.ledger.generated)  # type: ignore[union-attr]
    while not playout.all_sent():
        now = max(now + 0.001, playout.next_take() or 0.0)
        piece = playout.take(now)
        out += piece.payload if piece else b""
    assert bytes(out) == audio


class LedgerLaws(RuleBasedStateMachine):
    """Whatever happens in whatever order: generated >= sent >= played, and none ever shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout(Codec.PCMU, TWILIO)
        self.turn = 1
        self.playout.open(TurnId(1))
        self.now = 0.0
        self.completed = False
        self.before = (0, 0, 0)

    @rule(seconds=st.floats(0, 1))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.playout.advance(self.now)

    @precondition(lambda self: not self.completed)
    @rule(samples=st.integers(1, 3_200), overlap=st.integers(-50, 50))
    def speech_arrives(self, samples: int, overlap: int) -> None:
        assert self.playout.ledger
        self.playout.submit(max(0, self.playout.ledger.generated + overlap), b"\x01" * samples)

    @rule()
    def leg_is_fed(self) -> None:
        self.playout.take(self.now)

    @rule(samples=st.integers(0, 100_000))
    def mark_returns(self, samples: int) -> None:
        self.playout.acknowledge(samples, self.now)

    @precondition(lambda self: not self.completed)
    @rule()
    def worker_completes(self) -> None:
        assert self.playout.ledger
        self.playout.complete(self.playout.ledger.generated)
        self.completed = True

    @rule(played_out=st.booleans())
    def turn_ends(self, played_out: bool) -> None:
        ledger = self.playout.close(self.now, played_out=played_out)
        assert ledger.heard == ledger.played
        self.turn += 1
        self.playout.open(TurnId(self.turn))
        self.completed = False
        self.before = (0, 0, 0)

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        ledger = self.playout.ledger
        assert ledger is not None
        now = (ledger.generated, ledger.sent, ledger.played)
        assert ledger.generated >= ledger.sent >= ledger.played >= 0
        assert all(a <= b for a, b in zip(self.before, now, strict=True))
        self.before = now


TestLedgerLaws = LedgerLaws.TestCase


@given(
    speech_samples=st.lists(st.integers(1, 4_000), min_size=1, max_size=12),
    steps_ms=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    late_ms=st.lists(st.integers(0, 300), min_size=60, max_size=60),
    profile=st.sampled_from([TWILIO, RTP]),
    began_at=st.floats(0, 1e6),
)
def test_the_pieces_of_a_turn_meet_to_the_sample_except_where_an_underrun_is_counted(
    speech_samples: list[int], steps_ms: list[int], late_ms: list[int], profile: PlayoutProfile, began_at: float
):
    playout = Playout(Codec.PCMU, profile, began_at)
    playout.open(TurnId(1))
    now, end, gap_samples, gaps = began_at, None, 0, 0
    for n, step_ms in enumerate(steps_ms):
        now += step_ms / 1_000
        if n < len(speech_samples):
            ledger = playout.advance(now)
            playout.submit(ledger.generated, b"\x01" * speech_samples[n])
        while (piece := playout.take(now)) is not None:
            assert isinstance(piece.heard_at, int)
            if end is not None:
                gap_samples += piece.heard_at - end
                gaps += piece.heard_at > end
            end = piece.heard_at + len(piece.payload)
            if profile.marks:
                playout.acknowledge(piece.sent_samples, now + late_ms[n] / 1_000)
    assert gaps == playout.underruns
    assert gap_samples / 8_000 == pytest.approx(playout.underrun_s)


def test_a_lowered_voice_is_quieter_at_once_and_nothing_is_lost_or_repeated():
    playout = Playout(Codec.L16_16K, TWILIO)
    tone = (8_000 * np.sin(np.arange(32_000) / 5)).astype("<i2")
    playout.open(TurnId(1))
    playout.submit(0, tone.tobytes())
    heard = bytearray()

    def play(begin: float, end: float) -> bytes:
        """What the leg plays between the two, being told to drop the rest at ``end``."""
        out = b""
        for tick in range(round(begin * 50), round(end * 50)):
            while (piece := playout.take(tick / 50)) is not None:
                out += piece.payload
        return out[: round((end - begin) * 16_000) * 2]

    heard += play(0.0, 0.5)
    playout.lower(20.0, 0.5)
    assert playout.ledger is not None
    assert playout.ledger.played == playout.ledger.sent == 8_000
    heard += play(0.5, 0.9)
    playout.restore(0.9)
    heard += play(0.9, 1.3)
    samples = np.frombuffer(heard, "<i2").astype(float)
    level_db = [20 * np.log10(np.sqrt(np.mean(samples[at : at + 320] ** 2)) / 5_657) for at in range(0, 20_480, 320)]
    assert max(level_db[26:44]) == pytest.approx(-20, abs=0.5)  # from the packet after the ramp on
    assert level_db[:25] + level_db[46:] == pytest.approx([0.0] * 43, abs=0.1)
    assert np.array_equal(np.sign(samples[np.abs(samples) > 20]), np.sign(tone[: len(samples)][np.abs(samples) > 20]))
    assert playout.underruns == 0


def test_a_held_turn_gives_nothing_and_goes_on_from_the_word_it_is_told():
    playout = playing(16_000)
    playout.take(10.0)
    playout.take(10.3)
    playout.hold(10.35)
    assert playout.ledger is not None
    assert (playout.ledger.sent, playout.ledger.played) == (2_800, 2_800)
    assert playout.take(12.0) is None
    assert playout.next_take() is None
    playout.submit(16_000, b"\x02" * 800)  # the worker does not know yet
    playout.resume(2_000, 12.0)
    piece = playout.take(12.0)
    assert piece is not None
    assert piece.sent_samples - len(piece.payload) == 2_000
    assert piece.payload[160:] == b"\x01" * (len(piece.payload) - 160)  # after a ramp of 20 ms
    assert playout.advance(12.1).played == 2_800
    assert playout.underruns == 0


def test_a_turn_goes_back_no_further_than_was_kept():
    playout = playing(8_000 * 20)
    for tick in range(500):
        playout.take(tick / 50)
    playout.hold(10.0)
    playout.resume(0, 10.0)
    assert playout.ledger is not None
    assert 8_000 * 4 <= playout.ledger.sent <= 8_000 * 7

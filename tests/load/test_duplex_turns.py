"""Turns, echoes and added latency: tapes with known answers; and a short run of the whole instrument."""

import json
import subprocess
import sys

import numpy as np
import pytest

from load_tests.duplex.caller import Event, Made, SceneScript, Tape
from load_tests.duplex.echo import EchoPath
from load_tests.duplex.figures import EchoTally, Example, Rows, as_markdown
from load_tests.duplex.recordings import ONSETS, TURNS, cut
from load_tests.duplex.sounds import Kind, Repertoire, Sound
from load_tests.duplex.turns import TurnOutcome, added_latencies, onsets, turn_outcome
from tests.load.test_duplex import SILENCE, VOICE, frames, judged, voice
from twowire.caller.script import HangUp, Say

SPOKEN = Sound(Kind.TURN, "x", b"\x10" * 8_000)  # a second


def turn(*heard: bytes, at_s: float = 1.0) -> TurnOutcome:
    made = Made(SPOKEN, round(at_s * 50))
    return turn_outcome(Tape(heard=frames(*heard), made=[made]), made)


def test_an_answer_is_timed_from_the_end_of_the_turn():
    found = turn(SILENCE * 150, voice(0, 3))  # 1 s, the turn, 1 s
    assert found.response_s == pytest.approx(1.0)
    assert (found.answered, found.talked_into, found.took_turn) == (True, False, True)
    assert found.turn_taking == 1.0


def test_who_begins_within_the_turn_talks_into_it():
    found = turn(SILENCE * 75, voice(0, 3))
    assert found.response_s == pytest.approx(-0.5)
    assert found.talked_into
    assert found.turn_taking == 0.0


def test_what_is_never_answered_scores_nothing():
    found = turn(SILENCE * 400)
    assert (found.response_s, found.answered, found.took_turn, found.turn_taking) == (None, False, False, 0.0)


def test_a_short_word_is_no_turn_taken():
    found = turn(SILENCE * 150, voice(0, 0.5), SILENCE * 200)
    assert found.answered
    assert not found.took_turn


@pytest.mark.parametrize(
    ("response_s", "score"),
    [(-0.5, 0.0), (0.0, 0.5), (0.5, 1.0), (2.0, 1.0), (2.75, 0.5), (3.5, 0.0), (-0.1, 0.4), (None, 0.0)],
)
def test_eva_rewards_half_a_second_to_two(response_s: float | None, score: float):
    assert TurnOutcome(Kind.TURN, "", 1.0, 0, response_s, 2.0).turn_taking == pytest.approx(score)


def test_a_gap_between_words_is_no_end():
    assert list(onsets([True] * 5 + [False] * 5 + [True] * 5 + [False] * 15 + [True])) == [0, 30]


def test_added_latency_is_counted_from_the_frame_that_completed_the_chunk():
    heard = frames(SILENCE * 42, voice(0, 2), SILENCE * 60, voice(0, 1))  # chunks end with frames 39, 59, 199 ...
    assert added_latencies(Tape(heard=heard)) == pytest.approx([0.06, 0.06])
    resumed = frames(SILENCE * 42, voice(0.6, 2))
    assert added_latencies(Tape(heard=resumed)) == [], "a turn that goes on was not decided on now"


def test_what_is_heard_of_a_turn_after_its_end_is_stale():
    assert judged(voice(0, 1.6), SILENCE * 40, voice(3.1, 5)).stale
    assert not judged(voice(0, 1.6), SILENCE * 40, voice(0, 3)).stale
    assert not judged(voice(0, 1.6), SILENCE * 20, voice(1.5, 5)).stale


def test_an_echo_is_what_was_heard_later_and_lower():
    path = EchoPath(loss_db=12, delay_s=0.1, seed=1)
    came = np.concatenate([path.push(frame) for frame in frames(VOICE[:16_000])])
    assert not came[:800].any(), "not before its time"
    loss_db = 20 * np.log10(11_000 / np.sqrt(np.mean(came[1_600:] ** 2)))
    assert loss_db == pytest.approx(12, abs=6)  # a room weighs frequencies, and the voice has one at a time


def test_a_turn_waits_for_silence_after_the_agent_has_spoken():
    script = SceneScript([Event(SPOKEN, 0.5)], Tape(), rest_s=1.0, limit_s=90, listens=False)

    def tick(n: int, agent_voiced: bool) -> object:
        return script.advance(n * 0.02, None, agent_voiced=agent_voiced, agent_buffered=False, talking=False)

    assert [tick(n, False) for n in range(100)] == [None] * 100
    assert [tick(n, True) for n in range(100, 150)] == [None] * 50
    said = [n for n in range(150, 200) if isinstance(tick(n, False), Say)]
    assert said == [174]
    over = next(n for n in range(200, 400) if isinstance(tick(n, False), HangUp))
    assert over == pytest.approx(174 + 100, abs=1)


def test_every_kind_of_sound_can_be_made_and_differs_by_seed_only():
    repertoire = Repertoire()
    try:
        for kind in Kind:
            one, same = repertoire.sounds(kind, 4, 1), repertoire.sounds(kind, 4, 1)
            assert one == same
            assert len({sound.ulaw for sound in one}) == 4
            assert all(sound.kind is kind and sound.seconds > 0.003 for sound in one)
    finally:
        repertoire.close()


def test_labels_of_the_recordings_lie_within_them():
    assert all(len(cut(recording, begin_s, begin_s + 1.7)) == 13_600 for recording, begin_s in ONSETS)
    assert all(len(cut(*label)) == round((label[2] - label[1]) * 8_000) for label in TURNS)


def test_a_report_of_nothing_is_not_valid_and_one_of_something_has_its_tables():
    rows = Rows()
    assert not rows.as_json(1, 0.0)["valid"]
    rows.outcomes["oracle"] = [judged(voice(0, 1.1), voice(1.1, 1.6, -20.0), SILENCE * 150, kind=Kind.INTERRUPTION)]
    rows.turns = [turn(SILENCE * 150, voice(0, 3))]
    rows.echo = EchoTally(1, 60.0, 1, 0)
    rows.added_s, rows.late_s = [0.04], [0.001]
    body = rows.as_json(1, 1.0)
    assert body["valid"]
    assert body["policies"]["oracle"]["R_Y"] == 1.0
    text = as_markdown(json.loads(json.dumps(body)))
    assert "| oracle | 1 | 0.10 / 0.10 | 0.60 / 0.60 | 1.00 |" in text
    assert "| own echo: false barge-ins / lowered / minutes of agent | 0 / 1 / 1.0 |" in text


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    from load_tests.duplex.plots import draw

    rows = Rows()
    tape = Tape(frames(voice(0, 2)), frames(SILENCE * 100), [], [Made(Sound(Kind.COUGH, "x", b"\x10" * 800), 50)])
    overlap = {"onset_at_s": 1.0, "ducked_at_s": 1.06, "stopped_at_s": None, "at_s": 1.5, "end": "kept"}
    rows.examples["oracle"] = Example(tape, [overlap])
    rows.outcomes["oracle"] = [judged(voice(0, 1.1), voice(1.1, 1.6, -20.0), SILENCE * 150, kind=Kind.INTERRUPTION)]
    written = draw(rows, tmp_path)
    assert [path.name for path in written] == ["timeline-oracle.png", "distributions.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000 for path in written)


@pytest.mark.slow
def test_a_short_run_judges_the_gateway():
    """One sound of each kind and policy. What was heard, not when: that is for a machine that does nothing else."""
    command = [sys.executable, "-m", "load_tests.duplex", "--part", "scripted", "--each", "1", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode in (0, 4), run.stderr
    body = json.loads(run.stdout)
    assert body["failed"] == []
    oracle, adversary = body["policies"]["oracle"], body["policies"]["adversary"]
    assert (oracle["R_Y"], oracle["S_BC"], oracle["S_VT"], oracle["S_ND"]) == (1.0, 1.0, 1.0, 1.0)
    assert adversary["R_Y"] == 0.0
    assert adversary["S_BC"] == 0.0
    assert all(row["stale_turns"] == 0 for row in body["policies"].values())
    assert body["heard_words_off"]["turns"] > 20
    assert body["heard_words_off"]["more_than_one"] == 0

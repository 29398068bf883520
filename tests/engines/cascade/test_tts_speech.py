"""A voice by ``/v1/audio/speech``: what is asked, what comes back, and what ends on the server when it is dropped."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from model_worker.answers.openai_chat import MAX_FAILURES
from model_worker.duplex.cascade.build import make_tts
from model_worker.duplex.cascade.seam import VoiceWish
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.cascade.tts_requests import Limits
from model_worker.duplex.cascade.tts_speech import SpeechServer
from model_worker.duplex.remote.effects import SessionFault
from tests.engines.cascade.speaking import CALL, HASTY, OTHER, PATIENT, Ear, seconds, speaking, whose
from tests.engines.subject import Script
from tests.model_worker.answers.server import nobody_listens
from tests.peers.base import KEY
from tests.peers.speech import MODEL, SpeechPeer, Turn

TEXT = "It is open from eight until ten."  # seven words


def settings(url: str, **changes: object) -> PartSettings:
    return PartSettings.model_validate({"url": url, "model": MODEL, "key": SecretStr(KEY), **changes})


@contextmanager
def talking(
    turns: Iterable[Turn | int | None] = (),
    script: Script = Script(),  # noqa: B008  # frozen
    limits: Limits = PATIENT,
) -> Iterator[tuple[Ear, SpeechPeer]]:
    with SpeechPeer(script, turns) as peer:
        with speaking(SpeechServer(settings(peer.url, voice="nova"), limits, chance=lambda: 0.0), limits) as ear:
            yield ear, peer
        assert peer.faults == []


def test_a_part_is_said_whole_as_it_comes() -> None:
    with talking() as (ear, peer):
        pieces = ear.says(1, TEXT)
        assert seconds(pieces) == pytest.approx(1.4)
        assert whose(pieces) == 0
        assert pieces[-1].fault is None
        assert peer.asked == [
            {"model": MODEL, "input": TEXT, "voice": "nova", "response_format": "pcm", "stream_format": "audio"}
        ]
        assert whose(ear.says(2, TEXT, VoiceWish("alloy"))) == 1
        assert peer.asked[-1]["voice"] == "alloy", "the line's own voice goes before the worker's"


def test_what_comes_first_is_heard_before_the_rest_is_made() -> None:
    with talking([Turn.STALL]) as (ear, peer):
        ear.tts.ask(CALL, 1, TEXT, VoiceWish())
        while seconds(ear.pieces) < 0.7 if ear.pieces else True:
            ear.poll()
        assert not ear.pieces[-1].done
        peer.release()
        assert seconds(ear.part(1)) == pytest.approx(1.4)


def test_another_rate_that_the_type_names_is_resampled() -> None:
    with talking([Turn.SLOWER_RATE]) as (ear, _):
        pieces = ear.says(1, TEXT)
        assert seconds(pieces) == pytest.approx(1.4, abs=0.01)
        assert whose(pieces) == 0


@pytest.mark.parametrize(
    ("turn", "fault"),
    [
        (401, SessionFault.REFUSED),
        (404, SessionFault.REFUSED),
        (429, SessionFault.FULL),
        (503, SessionFault.FULL),
        (500, SessionFault.SERVER_ERROR),
        (400, SessionFault.SERVER_ERROR),
        (302, SessionFault.GARBAGE),
        (Turn.JSON, SessionFault.GARBAGE),
        (Turn.WAV, SessionFault.GARBAGE),
        (Turn.SILENT, SessionFault.GARBAGE),
        (Turn.ODD_RATE, SessionFault.GARBAGE),
        (Turn.ENDLESS, SessionFault.GARBAGE),
        (Turn.CUT, SessionFault.LOST),
    ],
    ids=str,
)
def test_a_part_that_fails_ends_with_the_reason_and_the_next_is_said(turn: Turn | int, fault: SessionFault) -> None:
    with talking([turn]) as (ear, peer), capture_logs() as logs:
        pieces = ear.says(1, TEXT)
        assert pieces[-1].fault is fault
        if turn is Turn.CUT:
            assert 0 < seconds(pieces) <= 0.7, "what came until then stands"
        assert ear.says(2, TEXT)[-1].fault is None
        assert len(peer.asked) == 2
    assert not any("nobody" in str(entry) or TEXT in str(entry) or KEY in str(entry) for entry in logs)


@pytest.mark.parametrize("turn", [Turn.HOLD, Turn.STALL])
def test_a_server_that_is_too_slow_is_not_waited_for(turn: Turn) -> None:
    with talking([turn], limits=HASTY) as (ear, peer):
        assert ear.says(1, TEXT)[-1].fault is SessionFault.TOO_SLOW
        assert peer.wait_for(lambda: peer.gone == 1)


@pytest.mark.parametrize("turn", [Turn.HOLD, Turn.STALL])
def test_a_part_that_is_not_wanted_any_more_ends_on_the_server(turn: Turn) -> None:
    with talking([turn]) as (ear, peer):
        ear.tts.ask(CALL, 1, TEXT, VoiceWish())
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        ear.tts.cancel(CALL)
        assert peer.wait_for(lambda: peer.gone == 1)
        assert ear.tts.poll() == []
        assert whose(ear.says(2, TEXT)) == 1


def test_another_part_takes_the_place_of_the_one_before() -> None:
    with talking([Turn.HOLD]) as (ear, peer):
        ear.tts.ask(CALL, 1, TEXT, VoiceWish())
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert ear.says(2, TEXT)[-1].part == 2
        assert peer.wait_for(lambda: peer.gone == 1)
        assert {piece.part for piece in ear.pieces} == {2}


def test_calls_do_not_hear_each_other() -> None:
    with talking([Turn.HOLD]) as (ear, peer):
        ear.tts.ask(CALL, 1, TEXT, VoiceWish())
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert whose(ear.says(1, TEXT, call=OTHER)) == 1
        peer.release()
        assert whose(ear.part(1)) == 0


def test_a_server_that_is_full_or_takes_no_key() -> None:
    for script, fault in ((Script(full=True), SessionFault.FULL), (Script(refuses_key=True), SessionFault.REFUSED)):
        with talking(script=script) as (ear, _):
            assert ear.says(1, TEXT)[-1].fault is fault


def test_a_server_that_is_not_there_is_left_alone_after_some_parts() -> None:
    with nobody_listens() as url, speaking(SpeechServer(settings(url), chance=lambda: 0.0)) as ear:
        with capture_logs() as logs:
            for part in range(MAX_FAILURES + 2):
                assert ear.says(part, TEXT)[-1].fault is SessionFault.UNREACHABLE
        assert [entry["event"] for entry in logs].count("voice.failed") == MAX_FAILURES
        assert [entry["event"] for entry in logs].count("voices.paused") == 1


def test_settings_that_do_not_fit() -> None:
    for changes, problem in (
        ({"model": ""}, "name the model"),
        ({"url": "tcp://127.0.0.1:1", "flavour": "speech"}, "http"),
        ({"flavour": "parrot"}, "choose speech or wyoming"),
    ):
        with pytest.raises(ValueError, match=problem):
            make_tts(settings(**{"url": "http://127.0.0.1:1/v1", **changes}))

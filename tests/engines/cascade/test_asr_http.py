"""Recognition over HTTP, against a server of ours that holds every request against OpenAI's reference."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest
from pydantic import SecretStr

from model_worker.answers.openai_chat import MAX_FAILURES, PAUSE_S
from model_worker.duplex.cascade.asr_http import HttpAsr, Limits, wav
from model_worker.duplex.cascade.asr_link import MAX_UTTERANCE_SAMPLES
from model_worker.duplex.cascade.build import make_asr
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.remote.effects import SessionFault
from model_worker.links.web_sockets import WebSocketLinks
from tests.engines.cascade.listening import CALL, Listener, listening, settings
from tests.engines.subject import Script, line_noise
from tests.model_worker.answers.server import nobody_listens
from tests.peers.base import KEY
from tests.peers.transcription import MODEL, SENTENCES, said
from tests.peers.transcriptions_http import TranscriptionsEar, Turn
from wire.ids import CallId

OTHER = CallId("call-2")
USUAL = Limits()
PATIENT = Limits(words_s=600.0)  # where it is looked at what ends a request instead
SHORT_S = 0.05  # where a time-out is what is looked at


@contextmanager
def hearing(url: str, limits: Limits = USUAL, now: list[float] | None = None) -> Iterator[Listener]:
    """A recognizer with one call that is open, and a breaker's clock that stands still."""
    clock = now or [0.0]
    asr = HttpAsr(settings(url, "openai"), limits, clock=lambda: clock[0])
    try:
        asr.open(CALL, "en-US")
        yield Listener(asr)
    finally:
        asr.shutdown()


def test_an_utterance_becomes_words_when_it_is_over():
    pcm = said(0.9)
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai"), language="de-AT") as listener:
        listener.asr.start(CALL)
        listener.says(pcm)
        assert not listener.asr.ready
        listener.asr.finish(CALL)
        assert listener.final().text == "I would like"
    assert peer.faults == []
    (asked,) = peer.asked
    assert asked.pcm.tolist() == pcm.tolist()
    assert asked.fields == {"file": "utterance.wav", "model": MODEL, "language": "de", "response_format": "json"}


def test_a_request_is_what_the_published_client_sends():
    pcm = said(1.0)
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        listener.utters(pcm)
        client = openai.OpenAI(base_url=peer.url, api_key=KEY, max_retries=0)
        told = client.audio.transcriptions.create(
            file=("utterance.wav", wav([pcm]), "audio/wav"), model=MODEL, language="en", response_format="json"
        )
        client.close()
    assert told.text == "I would like a"
    ours, theirs = peer.asked[-2:]
    assert ours.fields == theirs.fields
    assert ours.pcm.tolist() == theirs.pcm.tolist()
    assert peer.faults == []


def test_the_words_so_far_are_asked_for_once_a_second():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        listener.asr.start(CALL)
        for part, words in ((0, 4), (1, 7)):
            listener.says(said(2.0)[16_000 * part : 16_000 * (part + 1)])
            heard = listener.hears(lambda _: True)
            assert (len(heard.text.split()), heard.final) == (words, False)
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
    assert [len(asked.pcm) for asked in peer.asked] == [16_000, 32_000, 32_000]
    assert peer.faults == []


def test_one_request_of_a_call_is_under_way_at_a_time():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, listening(settings(peer.url, "openai")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        listener.says(said(2.0, 1))
        peer.release()
        assert len(listener.hears(lambda _: True).text.split()) == 4
        assert len(listener.hears(lambda _: True).text.split()) == 7  # what came meanwhile is asked about at once
    assert [len(asked.pcm) for asked in peer.asked] == [16_000, 48_000]
    assert peer.most_at_once == 1
    assert peer.faults == []


def test_the_end_of_an_utterance_takes_the_place_of_an_earlier_request():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, hearing(peer.url, PATIENT) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        listener.says(said(1.0, 1))
        listener.asr.finish(CALL)
        assert listener.hears(lambda _: True).final
        assert peer.wait_for(lambda: peer.asked[0].gone)
    assert [len(asked.pcm) for asked in peer.asked] == [16_000, 32_000]
    assert peer.faults == []


def test_a_request_for_the_words_so_far_that_fails_is_not_repeated_in_the_utterance():
    with TranscriptionsEar(turns=[429]) as peer, listening(settings(peer.url, "openai"), CALL, OTHER) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        listener.poll()
        listener.says(said(2.0, 1))
        listener.utters(said(0.5, 2), call=OTHER)  # by which time it would have been sent
        listener.asr.finish(CALL)
        heard = listener.final()
    assert (heard.text, heard.fault) == (SENTENCES[0], None)
    assert [len(asked.pcm) for asked in peer.asked] == [16_000, 8_000, 48_000]


def test_a_call_that_cancels_is_told_nothing_and_asks_no_more():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, hearing(peer.url, PATIENT) as listener:
        listener.asr.start(CALL)
        listener.says(said(0.9))
        listener.asr.finish(CALL)
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        listener.asr.cancel(CALL)
        assert peer.wait_for(lambda: peer.asked[0].gone)
        listener.says(said(3.0))
        listener.asr.finish(CALL)
        assert listener.utters(said(0.6, 1)).text == "At eight,"
        assert listener.told == []
    assert len(peer.asked) == 2
    assert peer.faults == []


def test_an_utterance_that_begins_before_the_words_of_the_last_one_takes_its_place():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, listening(settings(peer.url, "openai")) as listener:
        listener.asr.start(CALL)
        listener.says(said(0.9))
        listener.asr.finish(CALL)
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert listener.utters(said(0.6, 1)).text == "At eight,"
        peer.release()
    assert listener.told == []


def test_a_call_that_is_over_is_told_nothing():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, hearing(peer.url, PATIENT) as listener:
        listener.asr.open(OTHER, "en")
        listener.asr.start(CALL)
        listener.says(said(0.9))
        listener.asr.finish(CALL)
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        listener.asr.close(CALL)
        listener.asr.close(CALL)
        assert peer.wait_for(lambda: peer.asked[0].gone)
        assert listener.utters(said(0.6, 1), call=OTHER).fault is None
        assert listener.told == []


def test_an_utterance_without_sound_is_not_sent():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        heard = listener.utters()
        assert (heard.text, heard.fault) == ("", None)
        listener.asr.start(CALL)
        listener.asr.finish(CALL)
        listener.asr.cancel(CALL)
        assert listener.asr.poll() == []
    assert peer.asked == []


def test_what_nobody_said_has_no_words():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        heard = listener.utters(line_noise(1, 16_000))
    assert (heard.text, heard.fault) == ("", None)


def test_an_utterance_without_end_goes_on_without_its_begin():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        pcm = said(50.0)
        listener.utters(pcm)
    last = peer.asked[-1].pcm
    assert len(last) == MAX_UTTERANCE_SAMPLES
    assert last.tolist() == pcm[-len(last) :].tolist()


def test_calls_are_heard_at_once_and_do_not_know_of_each_other():
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer, listening(settings(peer.url, "openai"), CALL, OTHER) as listener:
        listener.asr.start(CALL)
        listener.says(said(0.9))
        listener.asr.finish(CALL)
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert listener.utters(said(0.6, 1), call=OTHER).text == "At eight,"
        peer.release()
        assert listener.final().text == "I would like"
    assert peer.faults == []


def test_connections_are_kept():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai")) as listener:
        for number in range(3):
            listener.utters(said(0.5, number))
    assert len(peer.asked) == 3
    assert len(peer.connections) == 1


def test_a_dropped_connection_is_followed_by_a_second_attempt():
    with TranscriptionsEar(turns=[Turn.CUT]) as peer, listening(settings(peer.url, "openai")) as listener:
        heard = listener.utters(said(0.9))
    assert (heard.text, heard.fault) == ("I would like", None)
    assert len(peer.asked) == 2


@pytest.mark.parametrize(
    ("turns", "fault", "lasting"),
    [
        ([Turn.CUT, Turn.CUT], SessionFault.UNREACHABLE, True),
        ([Turn.HALF], SessionFault.LOST, False),
        ([Turn.GARBAGE], SessionFault.GARBAGE, False),
        ([Turn.ENDLESS], SessionFault.GARBAGE, False),
        ([204], SessionFault.GARBAGE, False),
        ([302], SessionFault.GARBAGE, False),
        ([400], SessionFault.SERVER_ERROR, False),
        ([401], SessionFault.REFUSED, True),
        ([403], SessionFault.REFUSED, True),
        ([404], SessionFault.REFUSED, True),
        ([429], SessionFault.FULL, False),
        ([500], SessionFault.SERVER_ERROR, False),
        ([502], SessionFault.UNREACHABLE, True),
        ([503], SessionFault.FULL, False),
    ],
)
def test_every_failure_is_told_as_what_it_is(turns: list[Turn | int], fault: SessionFault, *, lasting: bool):
    with TranscriptionsEar(turns=turns) as peer, listening(settings(peer.url, "openai")) as listener:
        heard = listener.utters(said(0.9))
        assert (heard.text, heard.fault, heard.lasting) == ("", fault, lasting)
        assert listener.utters(said(0.9, 1)).fault is None  # and is nothing to the next utterance
    assert peer.faults == []


@pytest.mark.parametrize(
    ("script", "fault"), [(Script(full=True), SessionFault.FULL), (Script(refuses_key=True), SessionFault.REFUSED)]
)
def test_a_server_that_turns_everybody_away(script: Script, fault: SessionFault):
    with TranscriptionsEar(script) as peer, listening(settings(peer.url, "openai")) as listener:
        assert listener.utters(said(0.9)).fault is fault


def test_a_wrong_key_is_refused():
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai", key="sk-wrong")) as listener:
        assert listener.utters(said(0.9)).fault is SessionFault.REFUSED


def test_a_key_that_fits_no_header_harms_no_other_thing(caplog: pytest.LogCaptureFixture):
    with TranscriptionsEar() as peer, listening(settings(peer.url, "openai", key="sk-\r\nx")) as listener:
        assert listener.utters(said(0.9)).fault is SessionFault.SERVER_ERROR
        assert listener.utters(said(0.9)).fault is SessionFault.SERVER_ERROR
    assert "sk-" not in caplog.text


def test_nobody_listens_there():
    with nobody_listens() as url, listening(settings(url, "openai")) as listener:
        heard = listener.utters(said(0.9))
    assert (heard.fault, heard.lasting) == (SessionFault.UNREACHABLE, True)


@pytest.mark.parametrize(
    ("turn", "limits"), [(Turn.HOLD, Limits(words_s=SHORT_S)), (Turn.STALL, Limits(rest_s=SHORT_S))]
)
def test_a_server_that_does_not_answer_is_not_waited_for(turn: Turn, limits: Limits):
    with TranscriptionsEar(turns=[turn]) as peer, hearing(peer.url, limits) as listener:
        heard = listener.utters(said(0.9))
        assert (heard.fault, heard.lasting) == (SessionFault.TOO_SLOW, False)
        assert peer.wait_for(lambda: peer.asked[0].gone)


def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while():
    now = [0.0]
    with TranscriptionsEar(turns=[500] * MAX_FAILURES) as peer, hearing(peer.url, now=now) as listener:
        for _ in range(MAX_FAILURES):
            assert not listener.utters(said(0.5)).lasting
        heard = listener.utters(said(0.5))
        assert (heard.fault, heard.lasting) == (SessionFault.SERVER_ERROR, True)
        assert len(peer.asked) == MAX_FAILURES
        now[0] = PAUSE_S + 0.1
        assert listener.utters(said(0.5)).fault is None
    assert peer.faults == []


def test_recordings_that_a_server_does_not_take_are_not_held_against_it():
    with TranscriptionsEar(turns=[400] * MAX_FAILURES) as peer, hearing(peer.url) as listener:
        for _ in range(MAX_FAILURES):
            listener.utters(said(0.5))
        assert listener.utters(said(0.5)).fault is None


@pytest.mark.parametrize(("late_s", "lasting"), [(0.0, True), (60.0, False)])
def test_requests_that_callers_gave_up_count_where_they_were_late(late_s: float, *, lasting: bool):
    with (
        TranscriptionsEar(turns=[*[Turn.HOLD] * MAX_FAILURES, 500]) as peer,
        hearing(peer.url, Limits(late_s=late_s)) as listener,
    ):
        for number in range(MAX_FAILURES):
            listener.asr.start(CALL)
            listener.says(said(0.5))
            listener.asr.finish(CALL)
            assert peer.wait_for(lambda: len(peer.asked) > number)  # noqa: B023  # asked at once
            listener.asr.cancel(CALL)
        assert listener.utters(said(0.5)).lasting is lasting


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/audio/transcriptions"])
def test_the_address_may_be_the_server_s_or_the_request_s(path: str):
    with TranscriptionsEar() as peer, listening(settings(f"http://{peer.host}{path}", "openai")) as listener:
        assert listener.utters(said(0.9)).text == "I would like"


def test_neither_words_nor_keys_reach_a_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]):
    turns: list[Turn | int | None] = [500, 401, Turn.GARBAGE, Turn.HALF, None]
    with TranscriptionsEar(turns=turns) as peer, listening(settings(peer.url, "openai")) as listener:
        for number in range(len(turns)):
            listener.utters(said(0.9, number))
    logged = caplog.text + "".join(capsys.readouterr())
    assert "asr.failed" in logged
    for secret in (KEY, "would like", "nobody's log"):
        assert secret not in logged


def test_letting_go_of_it_ends_every_thread():
    before = set(threading.enumerate())
    links = WebSocketLinks()
    with TranscriptionsEar(turns=[Turn.HOLD]) as peer:
        asr, end = make_asr(settings(peer.url, "openai"), links)
        asr.open(CALL, "en")
        asr.start(CALL)
        asr.feed(CALL, said(0.9))
        asr.finish(CALL)
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert len(set(threading.enumerate()) - before) == 3  # with the server's
        end()
        end()
        assert len(set(threading.enumerate()) - before) == 1
        asr.close(CALL)  # the calls are closed after it, or not at all


@pytest.mark.parametrize(
    ("url", "model"), [("ws://127.0.0.1/v1", MODEL), ("tcp://127.0.0.1/v1", MODEL), ("http://127.0.0.1/v1", "")]
)
def test_settings_that_do_not_fit_are_refused(url: str, model: str):
    before = threading.active_count()
    with pytest.raises(ValueError, match=r"expected http|name the model"):
        HttpAsr(PartSettings(url=url, flavour="openai", model=model, key=SecretStr(KEY)))
    assert threading.active_count() == before

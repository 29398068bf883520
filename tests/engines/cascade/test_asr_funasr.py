"""FunASR's protocol, against a server of ours that speaks it as the two published ones do."""

import numpy as np
import pytest

from model_worker.duplex.cascade.asr_funasr import PIECE_SAMPLES, FunAsr, join_words
from model_worker.duplex.cascade.asr_link import AsrEvent, Failed, Final, Partial
from model_worker.duplex.remote.effects import Frame, SessionFault
from model_worker.duplex.remote.json_frames import write
from model_worker.seams import Pcm
from tests.engines.cascade.listening import CALL, listening, settings
from tests.engines.subject import Script, line_noise
from tests.peers.funasr import FunAsrEar
from tests.peers.transcription import RATE_HZ, SENTENCES, Fate, said

SILENCE: Pcm = np.zeros(RATE_HZ, np.int16)
either = pytest.mark.parametrize("python", [True, False], ids=["python", "c++"])


@either
def test_words_come_as_they_are_said_and_are_corrected_at_the_end(*, python: bool):
    with FunAsrEar(python=python) as peer, listening(settings(peer.url, "funasr")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.3))
        assert listener.hears(lambda heard: len(heard.text.split()) >= 4).text == "i would like a"
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
    assert peer.faults == []


@either
def test_a_segment_that_the_server_ends_is_followed_by_the_next(*, python: bool):
    with FunAsrEar(python=python) as peer, listening(settings(peer.url, "funasr")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.3), SILENCE)
        assert listener.hears(lambda heard: heard.text.startswith("I ")).text == "I would like a table"
        listener.says(said(0.6, 1))
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
    assert peer.faults == []


@either
def test_an_utterance_whose_words_are_all_corrected_already_ends_too(*, python: bool):
    with FunAsrEar(python=python) as peer, listening(settings(peer.url, "funasr")) as listener:
        assert listener.utters(said(2.0), SILENCE).text == SENTENCES[0]
    assert peer.faults == []


@either
def test_what_nobody_said_has_no_words(*, python: bool):
    with FunAsrEar(python=python) as peer, listening(settings(peer.url, "funasr")) as listener:
        heard = listener.utters(line_noise(1, 16_000))
    assert (heard.text, heard.fault) == ("", None)
    assert peer.faults == []


@either
def test_each_utterance_has_a_connection_of_its_own(*, python: bool):
    with FunAsrEar(python=python) as peer, listening(settings(peer.url, "funasr")) as listener:
        assert [listener.utters(said(1.0, number)).text for number in range(3)] == list(SENTENCES)
        assert [len(session.received) for session in peer.sessions[:3]] == [2 + 17] * 3
    assert peer.faults == []


def test_sound_arrives_sample_by_sample_in_pieces_that_are_filled_up():
    pcm = said(1.0)
    with FunAsrEar() as peer, listening(settings(peer.url, "funasr")) as listener:
        listener.utters(pcm[:333], pcm[333:7_000], pcm[7_000:])
    (heard,) = peer.utterances
    assert len(heard) % PIECE_SAMPLES == 0
    assert heard[: len(pcm)].tolist() == pcm.tolist()
    assert not heard[len(pcm) :].any()
    assert peer.faults == []


def test_a_cut_in_the_middle_of_an_utterance_costs_no_word():
    with FunAsrEar(Script(replies=(), cuts_at_s=0.6)) as peer, listening(settings(peer.url, "funasr")) as listener:
        listener.asr.start(CALL)
        listener.says(said(0.6))
        while len(peer.sessions) < 2:
            listener.poll()
        listener.says(said(1.4, 1))
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
        (heard,) = peer.utterances
        assert heard[:32_000].tolist() == [*said(0.6).tolist(), *said(1.4, 1).tolist()]
    assert peer.faults == []


@pytest.mark.parametrize("fate", [Fate.CUT, Fate.ERROR])
def test_final_words_that_do_not_come_are_asked_for_a_second_time(fate: Fate):
    with FunAsrEar(fates=[fate]) as peer, listening(settings(peer.url, "funasr")) as listener:
        heard = listener.utters(said(2.0))
    assert (heard.text, heard.fault) == (SENTENCES[0], None)
    assert peer.faults == []


def test_a_server_that_fails_twice_fails_the_utterance_and_hears_the_next():
    with FunAsrEar(fates=[Fate.ERROR] * 2) as peer, listening(settings(peer.url, "funasr")) as listener:
        heard = listener.utters(said(1.0))
        assert (heard.fault, heard.lasting) == (SessionFault.LOST, False)
        assert listener.utters(said(1.0, 1)).fault is None
    assert peer.faults == []


def test_garbage_is_the_end_for_the_call():
    with FunAsrEar(fates=[Fate.GARBAGE]) as peer, listening(settings(peer.url, "funasr")) as listener:
        heard = listener.utters(said(1.0))
    assert (heard.fault, heard.lasting) == (SessionFault.GARBAGE, True)


def test_words_that_are_late_are_not_told_to_the_next_utterance():
    with FunAsrEar(fates=[Fate.HOLD]) as peer, listening(settings(peer.url, "funasr")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        listener.asr.finish(CALL)
        listener.hears(lambda heard: heard.text != "")
        assert peer.wait_for(lambda: len(peer.utterances) == 1)
        listener.asr.start(CALL)
        peer.release()
        listener.says(said(1.0, 1))
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[1]
    assert peer.faults == []


def test_a_server_that_is_full_says_so_at_once():
    with FunAsrEar(Script(full=True)) as peer, listening(settings(peer.url, "funasr")) as listener:
        heard = listener.final()
    assert (heard.fault, heard.lasting) == (SessionFault.FULL, True)


def result(mode: str | None, text: str, *, is_final: bool | None = None) -> str:
    fields = {"mode": mode, "text": text, "wav_name": "call", "is_final": is_final}
    return write({name: value for name, value in fields.items() if value is not None})


def answers(*frames: str, before: int = 0) -> list[AsrEvent]:
    """What these results are taken for, ``before`` of which come before the end of the utterance."""
    protocol = FunAsr()
    protocol.begin()
    events: list[AsrEvent] = []
    for index, frame in enumerate(frames):
        if index == before:
            protocol.finish()
        events += protocol.receive(frame)
    return events


def test_a_result_that_was_under_way_when_the_utterance_ended_is_not_its_end():
    first = result("2pass-online", "a table", is_final=False)
    segment = result("2pass-offline", "A table", is_final=False)
    last = result("2pass-offline", "for two.", is_final=True)
    assert answers(first, segment, last, before=1) == [
        Partial("a table"),
        Partial("A table"),
        Final("A table for two."),
    ]


def test_the_last_result_of_a_server_that_tells_the_end_may_be_one_of_any_mode():
    first = result("2pass-online", "a table", is_final=False)
    last = result("2pass-online", "for two", is_final=True)
    assert answers(first, last, before=1)[-1] == Final("a table for two")


def test_words_that_the_correction_found_no_speech_in_stand():
    first = result("2pass-online", "yes", is_final=True)
    last = result("2pass-offline", "", is_final=False)
    assert answers(first, last, before=1) == [Partial("yes"), Final("yes")]


def test_a_result_without_a_mode_is_the_end_of_what_had_no_words():
    assert answers(result(None, "", is_final=True)) == [Final("")]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00",
        "",
        "[]",
        '{"mode":"2pass-online"}',
        '{"mode":7,"text":"a"}',
        '{"mode":"2pass-online","text":7}',
        '{"mode":"2pass-online","text":"a","is_final":"x"}',
        "[" * 100_000,
    ],
)
def test_frames_that_are_none_of_the_protocol_break_nothing(frame: Frame):
    assert FunAsr().receive(frame) == [Failed(SessionFault.GARBAGE)]


def test_a_server_that_does_not_stop_talking_is_stopped():
    protocol = FunAsr()
    results = [protocol.receive(result("2pass-online", "a" * 5_000)) for _ in range(5)]
    assert results[-1] == [Failed(SessionFault.GARBAGE)]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [("a", "table", "a table"), ("我要", "一张桌子", "我要一张桌子"), ("", "a", "a"), ("a ", "table", "a table")],
)
def test_words_are_joined_as_their_language_writes_them(one: str, other: str, both: str):
    assert join_words(one, other) == both

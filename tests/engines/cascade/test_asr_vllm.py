"""vLLM's transcription protocol, against a server of ours that speaks it."""

import pytest

from model_worker.duplex.cascade.asr_link import Failed, Final, Partial, Prepared
from model_worker.duplex.cascade.asr_vllm import MAX_TEXT_CHARACTERS, VllmTranscription
from model_worker.duplex.remote.effects import Frame, SessionFault
from model_worker.duplex.remote.json_frames import write
from tests.engines.cascade.listening import CALL, listening, settings
from tests.engines.subject import Script, line_noise
from tests.peers.transcription import MODEL, SENTENCES, Fate, VllmEar, said
from wire.ids import CallId

OTHER = CallId("call-2")


def test_the_words_of_an_utterance_come_one_by_one_and_then_all():
    with VllmEar() as peer, listening(settings(peer.url, "vllm")) as listener:
        listener.asr.start(CALL)
        listener.says(line_noise(1, 4_800), said(1.0))
        early = listener.hears(lambda heard: len(heard.text.split()) >= 3)
        assert not early.final
        assert SENTENCES[0].startswith(early.text)
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
    assert peer.faults == []


def test_a_connection_serves_one_utterance_after_the_other():
    with VllmEar() as peer, listening(settings(peer.url, "vllm")) as listener:
        words = [listener.utters(said(1.0, number)).text for number in range(3)]
    assert words == list(SENTENCES)
    assert peer.faults == []
    assert len(peer.sessions) == 1


def test_an_utterance_arrives_sample_by_sample():
    with VllmEar() as peer, listening(settings(peer.url, "vllm")) as listener:
        pcm = said(1.2345)
        listener.utters(pcm)
    (heard,) = peer.utterances
    assert heard.tolist() == pcm.tolist()


def test_what_nobody_said_has_no_words():
    with VllmEar() as peer, listening(settings(peer.url, "vllm")) as listener:
        heard = listener.utters(line_noise(1, 16_000))
    assert (heard.text, heard.fault) == ("", None)
    assert peer.faults == []


def test_a_cut_in_the_middle_of_an_utterance_costs_no_word():
    with VllmEar(Script(replies=(), cuts_at_s=0.8)) as peer, listening(settings(peer.url, "vllm")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        while len(peer.sessions) < 2:
            listener.poll()
        listener.says(said(1.0, 1))
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[0]
        (heard,) = peer.utterances
        assert heard.tolist() == [*said(1.0).tolist(), *said(1.0, 1).tolist()]
    assert peer.faults == []


@pytest.mark.parametrize("fate", [Fate.CUT, Fate.ERROR])
def test_final_words_that_do_not_come_are_asked_for_a_second_time(fate: Fate):
    with VllmEar(fates=[fate]) as peer, listening(settings(peer.url, "vllm")) as listener:
        heard = listener.utters(said(1.0))
    assert (heard.text, heard.fault) == (SENTENCES[0], None)
    assert len(peer.sessions) == 2
    assert peer.faults == []


def test_a_server_that_fails_twice_fails_the_utterance_and_hears_the_next():
    with VllmEar(fates=[Fate.ERROR] * 2) as peer, listening(settings(peer.url, "vllm")) as listener:
        heard = listener.utters(said(1.0))
        assert (heard.fault, heard.lasting) == (SessionFault.SERVER_ERROR, False)
        assert listener.utters(said(1.0, 1)).fault is None
    assert peer.faults == []


def test_garbage_is_the_end_for_the_call():
    with VllmEar(fates=[Fate.GARBAGE]) as peer, listening(settings(peer.url, "vllm")) as listener:
        heard = listener.utters(said(1.0))
    assert (heard.fault, heard.lasting) == (SessionFault.GARBAGE, True)


def test_words_that_are_late_are_not_told_to_the_next_utterance():
    with VllmEar(fates=[Fate.HOLD]) as peer, listening(settings(peer.url, "vllm")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        listener.asr.finish(CALL)
        listener.hears(lambda heard: len(heard.text.split()) == 4)  # all that one second tells
        assert peer.wait_for(lambda: len(peer.utterances) == 1)
        listener.asr.cancel(CALL)
        listener.told.clear()
        listener.asr.start(CALL)
        peer.release()
        listener.says(said(1.0, 1))
        listener.asr.finish(CALL)
        assert listener.final().text == SENTENCES[1]
    assert peer.faults == []


def test_an_utterance_may_be_over_before_the_server_is_ready():
    with VllmEar(Script(replies=(), opens_slowly=True)) as peer, listening(settings(peer.url, "vllm")) as listener:
        listener.asr.start(CALL)
        listener.says(said(1.0))
        listener.asr.finish(CALL)
        peer.release()
        assert listener.final().text == SENTENCES[0]
    assert peer.faults == []


@pytest.mark.parametrize(
    ("script", "fault"),
    [(Script(full=True), SessionFault.FULL), (Script(refuses_key=True), SessionFault.REFUSED)],
)
def test_a_server_that_turns_the_call_away_says_so_at_once(script: Script, fault: SessionFault):
    with VllmEar(script) as peer, listening(settings(peer.url, "vllm")) as listener:
        heard = listener.final()
    assert (heard.fault, heard.lasting) == (fault, True)


def test_a_wrong_key_is_refused():
    with VllmEar() as peer, listening(settings(peer.url, "vllm", key="sk-wrong")) as listener:
        assert listener.final().fault is SessionFault.REFUSED


def test_a_model_that_is_not_there_is_refused():
    with VllmEar() as peer, listening(settings(peer.url, "vllm", model="ear-7b")) as listener:
        heard = listener.final()
    assert (heard.fault, heard.lasting) == (SessionFault.REFUSED, True)


def test_two_calls_are_heard_at_once():
    with VllmEar() as peer, listening(settings(peer.url, "vllm"), CALL, OTHER) as listener:
        for call in (CALL, OTHER):
            listener.asr.start(call)
        for at in range(0, 16_000, 3_200):
            listener.says(said(1.0, 1)[at : at + 3_200], call=CALL)
            listener.says(said(1.0, 2)[at : at + 3_200], call=OTHER)
        listener.asr.finish(CALL)
        listener.asr.finish(OTHER)
        assert {listener.final(CALL).text, listener.final(OTHER).text} == set(SENTENCES[:2])
    assert len(peer.sessions) == 2
    assert peer.faults == []


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00",
        "",
        "[]",
        '"x"',
        '{"type":7}',
        '{"type":"transcription.delta"}',
        '{"type":"transcription.delta","delta":null}',
        '{"type":"transcription.done","text":["a"]}',
        "[" * 100_000,
    ],
)
def test_frames_that_are_none_of_the_protocol_break_nothing(frame: Frame):
    assert VllmTranscription(MODEL).receive(frame) == [Failed(SessionFault.GARBAGE)]


def test_a_server_that_does_not_stop_talking_is_stopped():
    protocol = VllmTranscription(MODEL)
    piece = "a" * (MAX_TEXT_CHARACTERS // 2)
    delta = write({"type": "transcription.delta", "delta": piece})
    assert protocol.receive(delta) == [Partial(piece)]
    assert protocol.receive(delta) == [Partial(piece * 2)]
    assert protocol.receive(delta) == [Failed(SessionFault.GARBAGE)]
    done = write({"type": "transcription.done", "text": piece * 3})
    assert VllmTranscription(MODEL).receive(done) == [Failed(SessionFault.GARBAGE)]


def test_the_words_so_far_are_of_one_utterance():
    protocol = VllmTranscription(MODEL)
    delta = write({"type": "transcription.delta", "delta": "yes"})
    for _ in range(2):
        protocol.begin()
        assert protocol.receive(delta) == [Partial("yes")]
        protocol.receive(write({"type": "transcription.done", "text": "yes"}))


def test_events_of_a_newer_server_are_passed_over():
    protocol = VllmTranscription(MODEL)
    created = '{"type":"session.created","id":"sess-1","created":1,"region":"eu"}'
    assert protocol.receive(created) == [Prepared()]
    assert protocol.receive(created) == []
    assert protocol.receive('{"type":"transcription.progress","x":1}') == []
    assert protocol.receive('{"type":"transcription.delta","delta":""}') == []
    assert protocol.receive('{"type":"transcription.done","text":"yes","usage":null}') == [Final("yes")]

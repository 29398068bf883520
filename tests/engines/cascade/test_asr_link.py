"""Recognition over links that are lists, by a protocol that says what it does in plain words."""

import numpy as np
import pytest

from model_worker.duplex.cascade.asr_link import (
    MAX_UTTERANCE_SAMPLES,
    AsrEvent,
    Failed,
    Final,
    LinkedAsr,
    Partial,
    Prepared,
)
from model_worker.duplex.cascade.seam import HeardWords
from model_worker.duplex.remote.effects import Frame, Request, SessionFault
from model_worker.duplex.remote.seam import LinkEvent, LinkId, Lost, Received
from model_worker.links.web_sockets import MAX_UNSENT_BYTES
from model_worker.seams import Pcm
from tests.engines.remote.fakes import FakeLinks
from wire.ids import CallId

CALL = CallId("call-1")
OTHER = CallId("call-2")


class PlainProtocol:
    """A message of its server is ``prepared``, ``partial words``, ``final words``, or nothing that it knows."""

    prepared_on_connect = False

    def __init__(self, language: str, *, one_utterance: bool) -> None:
        self.one_utterance = one_utterance
        self._language = language

    def connected(self) -> list[Frame]:
        return [f"hello in {self._language}"]

    def receive(self, frame: Frame) -> list[AsrEvent]:
        kind, _, text = str(frame).partition(" ")
        match kind:
            case "prepared":
                return [Prepared()]
            case "partial":
                return [Partial(text)]
            case "final":
                return [Final(text, 0.5)]
        return [Failed(SessionFault.GARBAGE)]

    def begin(self) -> list[Frame]:
        return ["begin"]

    def audio(self, pcm: Pcm) -> list[Frame]:
        return [f"sound {' '.join(str(level) for level in pcm[::6_400])}"]

    def finish(self) -> list[Frame]:
        return ["finish"]


class Bench:
    """A recognizer with one call that is open; links are numbered from 1."""

    def __init__(self, *, one_utterance: bool = False, prepared: bool = True) -> None:
        self.links = FakeLinks()
        self.asr = LinkedAsr(
            self.links, Request("ws://ear"), lambda language: PlainProtocol(language, one_utterance=one_utterance)
        )
        self.asr.open(CALL, "en")
        if prepared:
            self.server("prepared")

    def server(self, *frames: str, link: int = 0) -> list[HeardWords]:
        """A link's server, the newest one's if not told, sends these; what is told of it."""
        return self.becomes(*[Received(frame) for frame in frames], link=link)

    def loses(self, fault: SessionFault, link: int = 0) -> list[HeardWords]:
        return self.becomes(Lost(fault, "for a reason"), link=link)

    def becomes(self, *events: LinkEvent, link: int = 0) -> list[HeardWords]:
        self.links.events += [(LinkId(link or len(self.links.opened)), event) for event in events]
        return self.asr.poll()

    def says(self, *levels: int, call: CallId = CALL) -> None:
        for level in levels:
            self.asr.feed(call, np.full(6_400, level, np.int16))

    def sent(self, link: int) -> list[Frame]:
        """What a link's server was told after the greeting."""
        return [frame for to, frame in self.links.sent if to == link and not str(frame).startswith("hello")]


def test_the_connection_is_made_before_the_first_word():
    bench = Bench(prepared=False)
    assert len(bench.links.opened) == 1
    assert bench.asr.poll() == []
    assert bench.links.sent == [(LinkId(1), "hello in en")]


def test_sound_waits_until_the_connection_takes_it():
    bench = Bench(prepared=False)
    bench.asr.start(CALL)
    bench.says(1, 2)
    bench.asr.poll()
    assert bench.sent(1) == []
    bench.server("prepared")
    bench.says(3)
    assert bench.sent(1) == ["begin", "sound 1 2", "sound 3"]


def test_an_utterance_that_is_over_before_the_connection_stands_is_heard_all_the_same():
    bench = Bench(prepared=False)
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.finish(CALL)
    bench.says(2)  # not a part of it any more
    assert bench.server("prepared") == []
    assert bench.sent(1) == ["begin", "sound 1", "finish"]
    assert bench.server("final yes") == [HeardWords(CALL, "yes", final=True, confidence=0.5)]


def test_words_are_told_as_they_come_and_the_next_utterance_goes_over_the_same_connection():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    assert bench.server("partial a", "partial a table") == [HeardWords(CALL, "a"), HeardWords(CALL, "a table")]
    bench.asr.finish(CALL)
    bench.server("final a table")
    bench.asr.start(CALL)
    bench.says(2)
    assert bench.sent(1) == ["begin", "sound 1", "finish", "begin", "sound 2"]
    assert len(bench.links.opened) == 1


def test_where_a_connection_is_good_for_one_utterance_the_next_one_is_made_at_its_end():
    bench = Bench(one_utterance=True)
    bench.asr.start(CALL)
    bench.asr.finish(CALL)
    bench.server("final yes")
    assert bench.links.closed == [LinkId(1)]
    assert len(bench.links.opened) == 2


def test_nothing_is_told_of_what_was_cancelled():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.cancel(CALL)
    assert bench.server("partial a", "final a", link=1) == []
    bench.asr.start(CALL)
    bench.server("prepared")
    bench.says(2)
    assert bench.sent(2) == ["begin", "sound 2"]  # on a connection that was told nothing of it


def test_what_is_cancelled_before_the_server_knew_of_it_leaves_the_connection_as_it_is():
    bench = Bench(prepared=False)
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.cancel(CALL)
    bench.asr.start(CALL)
    bench.says(2)
    bench.server("prepared")
    assert len(bench.links.opened) == 1
    assert bench.sent(1) == ["begin", "sound 2"]


def test_an_utterance_that_begins_before_the_final_words_of_the_last_one_takes_its_place():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.finish(CALL)
    bench.asr.start(CALL)
    assert bench.server("final the old one", link=1) == []
    bench.server("prepared")
    bench.says(2)
    bench.asr.finish(CALL)
    assert bench.sent(2) == ["begin", "sound 2", "finish"]
    assert [heard.text for heard in bench.server("final the new one")] == ["the new one"]


def test_after_a_broken_connection_another_one_hears_the_utterance_from_its_begin():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1, 2)
    assert bench.loses(SessionFault.LOST) == []
    bench.says(3)
    bench.server("prepared")
    bench.says(4)
    assert bench.sent(2) == ["begin", "sound 1 2 3", "sound 4"]


def test_a_connection_that_breaks_while_the_final_words_are_awaited_is_followed_by_another():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.finish(CALL)
    bench.loses(SessionFault.LOST)
    bench.server("prepared")
    assert bench.sent(2) == ["begin", "sound 1", "finish"]
    assert [heard.text for heard in bench.server("final yes")] == ["yes"]


def test_a_server_that_breaks_twice_is_not_asked_again_before_the_next_utterance():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    bench.loses(SessionFault.LOST)
    told = bench.loses(SessionFault.SERVER_ERROR)
    assert told == [HeardWords(CALL, "", final=True, fault=SessionFault.SERVER_ERROR)]
    assert len(bench.links.opened) == 2
    bench.says(2)  # the rest of it
    bench.asr.finish(CALL)
    assert bench.asr.poll() == []
    bench.asr.start(CALL)
    bench.loses(SessionFault.LOST)  # which has two attempts again
    assert len(bench.links.opened) == 4


def test_a_connection_that_breaks_between_two_utterances_is_made_anew_once():
    bench = Bench()
    assert bench.loses(SessionFault.LOST) == []
    assert bench.loses(SessionFault.LOST) == []
    assert len(bench.links.opened) == 2
    bench.asr.start(CALL)
    bench.says(1)
    bench.server("prepared")
    assert bench.sent(3) == ["begin", "sound 1"]


@pytest.mark.parametrize("fault", [SessionFault.FULL, SessionFault.REFUSED, SessionFault.UNREACHABLE])
def test_a_call_learns_before_its_first_word_that_it_will_not_be_heard(fault: SessionFault):
    bench = Bench(prepared=False)
    assert bench.loses(fault) == [HeardWords(CALL, "", final=True, fault=fault, lasting=True)]
    assert len(bench.links.opened) == 1


def test_a_server_that_is_full_in_the_midst_of_a_call_is_asked_again_for_the_next_utterance():
    bench = Bench(one_utterance=True)
    bench.asr.start(CALL)
    bench.asr.finish(CALL)
    bench.server("final yes")
    assert bench.loses(SessionFault.FULL) == []  # between two utterances
    bench.asr.start(CALL)
    assert bench.loses(SessionFault.FULL) == [HeardWords(CALL, "", final=True, fault=SessionFault.FULL)]
    bench.asr.start(CALL)
    assert len(bench.links.opened) == 4


def test_what_is_not_of_the_protocol_ends_it_for_the_call():
    bench = Bench()
    bench.asr.start(CALL)
    assert bench.server("?") == [HeardWords(CALL, "", final=True, fault=SessionFault.GARBAGE, lasting=True)]
    assert bench.links.closed == [LinkId(1)]


def test_a_connection_that_never_took_the_sound_is_given_up_with_the_utterance():
    bench = Bench(prepared=False)
    bench.asr.start(CALL)
    bench.says(1)
    bench.asr.finish(CALL)
    bench.asr.cancel(CALL)  # whoever listens has waited long enough
    assert bench.links.closed == [LinkId(1)]
    bench.asr.start(CALL)
    bench.says(2)
    assert bench.server("prepared", link=1) == []
    bench.server("prepared")
    assert bench.sent(2) == ["begin", "sound 2"]


def test_a_server_that_ends_an_utterance_by_itself_hears_it_again():
    bench = Bench()
    bench.asr.start(CALL)
    bench.says(1)
    assert bench.server("final too early") == []
    bench.server("prepared")
    bench.says(2)
    assert bench.sent(2) == ["begin", "sound 1", "sound 2"]
    assert bench.server("final too early") == [
        HeardWords(CALL, "", final=True, fault=SessionFault.SERVER_ERROR, lasting=False)
    ]


def test_final_words_that_nobody_awaits_are_passed_over():
    bench = Bench()
    assert bench.server("final what", "partial what") == []
    assert len(bench.links.opened) == 1


@pytest.mark.parametrize("prepared", [True, False])
def test_an_utterance_without_end_is_heard_again_without_its_begin(*, prepared: bool):
    bench = Bench(prepared=prepared)
    bench.asr.start(CALL)
    chunks = MAX_UTTERANCE_SAMPLES // 6_400
    bench.says(*range(chunks + 5))
    bench.loses(SessionFault.LOST)
    bench.server("prepared")
    begin, *sound = bench.sent(2)
    assert begin == "begin"
    assert sound == [f"sound {n} {n + 1} {n + 2} {n + 3} {n + 4}" for n in range(5, chunks + 5, 5)]
    assert MAX_UTTERANCE_SAMPLES * 2 * 4 / 3 < MAX_UNSENT_BYTES  # in base64
    bench.says(-1)
    assert bench.sent(2)[-1] == "sound -1"


def test_calls_do_not_know_of_each_other():
    bench = Bench()
    bench.asr.open(OTHER, "de")
    bench.server("prepared")
    for call, level in ((CALL, 1), (OTHER, 2)):
        bench.asr.start(call)
        bench.says(level, call=call)
        bench.asr.finish(call)
    assert bench.sent(2) == ["begin", "sound 2", "finish"]
    assert (LinkId(2), "hello in de") in bench.links.sent
    assert bench.server("final zwei", link=2) == [HeardWords(OTHER, "zwei", final=True, confidence=0.5)]
    assert bench.loses(SessionFault.LOST, link=1) == []
    assert len(bench.links.opened) == 3


def test_a_call_that_is_over_is_told_nothing():
    bench = Bench()
    bench.asr.start(CALL)
    bench.asr.close(CALL)
    bench.asr.close(CALL)
    assert bench.links.closed == [LinkId(1)]
    assert bench.server("final yes", link=1) == []

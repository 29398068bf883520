"""A call whose words a chat model finds goes over to another worker, whose chat model finds other words."""

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from msgspec.structs import replace as changed

from model_worker.answers.seam import Answers
from model_worker.duplex.audio_interaction.tokens import Emotion
from model_worker.engine import EngineLoop
from model_worker.tts.paced_voice import Rendered
from tests.model_worker.audio_interaction.fakes import render
from tests.model_worker.audio_interaction.test_words_of_a_server import Clerk, Nobody, engine_of
from tests.model_worker.host.fakes import Caller, Clock
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.ids import NO_TURN, TurnId
from wire.messages import (
    AudioChunk,
    CallRules,
    Decision,
    DecisionKind,
    DownMessage,
    Line,
    Past,
    Playback,
    SpeechChunk,
    Transcript,
    TurnDone,
    UpMessage,
    Voice,
)

OLD, NEW = "We are open until five today, and until noon tomorrow.", "Yes, of course, whenever you like to come to us."
ONE, TWO = TurnId(1), TurnId(2)


def voice(text: str, emotion: Emotion) -> Rendered:
    """As the fakes' voice, a level of its own for each word."""
    plain = render(text, emotion)
    levels = [crc32(word.text.encode()) % 20_000 for word in plain.words]
    return replace(plain, pcm=np.repeat(np.array(levels, np.int16), len(plain.pcm) // len(levels)))


def loop_of(answers: Answers) -> EngineLoop:
    return EngineLoop(engine_of(answers, voice=voice), Clock())


def sound(index: int) -> bytes:
    noise = np.random.default_rng(index).integers(-3_000, 3_000, 3_200).astype(np.int16)
    return g711.encode(Codec.PCMU, noise)


def run(loop: EngineLoop, given: Sequence[UpMessage]) -> list[DownMessage]:
    for message in given:
        loop.receive(message, 0.0, 0.0)
    outgoing: list[DownMessage] = []
    while loop.due:
        outgoing += [message for _, message in loop.step(0.0)]
    assert loop.take_faults() == []
    return [message for message in outgoing if not isinstance(message, CallRules)]


def speech_of(outgoing: Sequence[DownMessage], turn: TurnId) -> list[SpeechChunk]:
    return [message for message in outgoing if isinstance(message, SpeechChunk) and message.turn == turn]


def words_of(outgoing: Sequence[DownMessage], turn: TurnId) -> str:
    return " ".join(" ".join(piece.text for piece in speech_of(outgoing, turn)).split())


def past_of(first: Sequence[DownMessage], decided: int, said: tuple[Line, ...] = ()) -> Past:
    """What a gateway has of a call in the middle of its newest turn."""
    decisions = [message for message in first if isinstance(message, Decision)]
    turn = decisions[-1].turn
    here = b"".join(piece.payload for piece in speech_of(first, turn))
    told = sum(isinstance(message, Transcript) for message in first)
    return Past(decided, told, turn, len(here), True, crc32(here), said=said)


def heard(caller: Caller, index: int, turn: TurnId = NO_TURN, generated: int = 0) -> AudioChunk:
    playback = Playback(turn, generated, generated, generated) if turn else None
    return caller.speaks(sound(index), playback)


def first_worker(*answers: str) -> tuple[list[DownMessage], list[int]]:
    """A call in which every chunk begins a turn; what came out, and the samples of each turn."""
    loop, caller = loop_of(Clerk(*answers)), Caller()
    out = run(loop, [caller.opens("desk")])
    samples = [0]
    for index in range(len(answers)):
        out += run(loop, [heard(caller, index, TurnId(index), samples[-1])])
        samples.append(sum(len(piece.payload) for piece in speech_of(out, TurnId(index + 1))))
    return out, samples


@pytest.mark.parametrize("answers", [Clerk(NEW), Nobody()], ids=["other words", "none yet"])
def test_the_old_words_end_where_they_are_and_the_call_goes_on(answers: Answers) -> None:
    first, (_, samples) = first_worker(OLD)
    assert samples == 16_000, "two seconds of it, the rest is not said yet"
    loop, caller = loop_of(answers), Caller(epoch=1)
    replay: list[UpMessage] = [changed(caller.opens("desk"), past=past_of(first, 1)), heard(caller, 0)]
    assert run(loop, replay) == [], "nothing of the replay is news, and new words do not go on in the old ones"
    out = run(loop, [heard(caller, 1, ONE, samples)])
    assert isinstance(out[0], TurnDone)
    assert (out[0].turn, out[0].total_samples) == (ONE, samples)
    assert loop.stats.diverged_turns == 1
    (decision,) = [message for message in out if isinstance(message, Decision)]
    assert (decision.index, decision.kind, decision.turn) == (1, DecisionKind.SPEAK, TWO)
    assert speech_of(out, ONE) == []
    if isinstance(answers, Clerk):
        assert NEW.startswith(words_of(out, TWO))
        assert words_of(out, TWO)


def test_the_same_words_go_on_where_they_stopped() -> None:
    first, (_, samples) = first_worker(OLD)
    loop, caller = loop_of(Clerk(OLD)), Caller(epoch=1)
    run(loop, [changed(caller.opens("desk"), past=past_of(first, 1)), heard(caller, 0)])
    run(loop, [heard(caller, 1, ONE, samples)])
    assert loop.stats.diverged_turns == 0


def test_turns_that_were_over_are_not_asked_about_again() -> None:
    first, (_, one, two) = first_worker(OLD, "A second one.")
    said = (Line(Voice.AGENT, words_of(first, ONE)),)
    clerk = Clerk(NEW)
    loop, caller = loop_of(clerk), Caller(epoch=1)
    opened = changed(caller.opens("desk"), past=past_of(first, 2, said))
    out = run(loop, [opened, heard(caller, 0), heard(caller, 1, ONE, one)])
    assert out == []
    (question,) = clerk.questions
    assert question[2] == ("assistant", said[0].text)
    out = run(loop, [heard(caller, 2, TWO, two)])
    assert [message.turn for message in out if isinstance(message, Decision)] == [TurnId(3)]
    assert loop.stats.diverged_turns == 1

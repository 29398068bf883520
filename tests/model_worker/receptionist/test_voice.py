"""From prompts to sound."""

import wave
from pathlib import Path

import numpy as np

from model_worker.dialog.agent import Clip
from model_worker.duplex.receptionist.utterance import AgentTurn
from model_worker.duplex.receptionist.voice import VoiceBox, parts_of
from tests.model_worker.receptionist.fakes import WordTts
from wire.ids import TurnId


def test_text_is_spoken_by_sentences_and_long_sentences_by_clauses() -> None:
    assert list(parts_of("One. Two? Three: four, five.")) == ["One.", "Two?", "Three:", "four, five."]
    long = f"{'word ' * 20}first, {'word ' * 20}second."
    assert [str(part)[-7:] for part in parts_of(long)] == [" first,", "second."]
    assert list(parts_of("No stop")) == ["No stop"]


def test_a_recording_is_played_at_the_output_rate_with_its_words(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(np.full(8_000, 500, "<i2").tobytes())
    turn = AgentTurn(TurnId(1), [Clip(clip=path, text="hello there")], VoiceBox(WordTts()).render)
    pieces = turn.speak()
    assert turn.done
    assert abs(turn.generated_samples - 16_000) <= 160
    assert [piece.text for piece in pieces] == ["hello", "there", ""]
    assert turn.heard_text(0.45) == "hello"


def test_a_prompt_is_synthesized_once() -> None:
    tts = WordTts()
    box = VoiceBox(tts)
    assert box.render("Hello.") is box.render("Hello.")
    assert tts.spoken == ["Hello."]

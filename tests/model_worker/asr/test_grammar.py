import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.asr.grammar import UnknownWordError, build_grammar, check_phrases, normalize_phrase, without_fillers
from model_worker.dialog.agent import Agent
from model_worker.dialog.load import SHIPPED_AGENTS, load_agents
from model_worker.dialog.understanding import normalize


def test_the_dictionary_holds_the_words_of_the_grammar_with_all_their_pronunciations():
    entries = {line.split(" ", 1)[0] for line in build_grammar(["opening hours"]).dictionary.splitlines()}
    assert {"opening", "hours", "hours(2)", "_please"} <= entries
    assert "what" not in entries


def test_a_phrase_given_twice_stands_once():
    assert build_grammar(["Opening hours?", "opening hours"]).jsgf.count("opening hours") == 1


def test_an_unknown_word_is_named_with_its_phrase():
    with pytest.raises(UnknownWordError) as caught:
        check_phrases(["opening hours", "are you open 24 hours"])
    assert (caught.value.word, caught.value.phrase) == ("24", "are you open 24 hours")
    assert "as words" in str(caught.value)


@pytest.mark.parametrize("phrases", [[], [""], ["?!"]])
def test_a_grammar_needs_a_word(phrases: list[str]):
    with pytest.raises(ValueError, match="at least one phrase"):
        build_grammar(phrases)


def test_fillers_are_taken_out_and_the_same_words_of_a_phrase_stay():
    assert without_fillers("_um please hold _please") == "please hold"


def test_a_phrase_cannot_smuggle_grammar_in():
    jsgf = build_grammar(["open <x> | {y}; [yes]"]).jsgf
    assert "<phrase> = open x y yes;" in jsgf


@given(st.text())
def test_a_phrase_reads_the_same_to_the_recognizer_and_to_the_dialog(text: str):
    once = normalize_phrase(text)
    assert once == normalize(text)
    assert normalize_phrase(once) == once


@given(st.lists(st.sampled_from(["opening hours", "Goodbye!", "what's that", "_please_", "o'clock"]), min_size=1))
def test_a_phrase_comes_out_of_its_fillers_as_it_went_in(phrases: list[str]):
    for phrase in map(normalize_phrase, phrases):
        assert without_fillers(f"_um {phrase} _thank _you") == phrase


@pytest.mark.parametrize("agent", load_agents(SHIPPED_AGENTS).values(), ids=lambda agent: agent.name)
def test_every_phrase_of_a_shipped_agent_can_be_recognized(agent: Agent):
    check_phrases(phrase for phrases in agent.phrases().values() for phrase in phrases)

import pytest

from model_worker.asr.grammar import UnknownWordError, build_grammar, check_phrases, without_fillers


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

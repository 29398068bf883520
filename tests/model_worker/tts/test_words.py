from hypothesis import given
from hypothesis import strategies as st

from model_worker.seams import Word
from model_worker.tts.words import place_words


def test_several_marks_in_a_word_count_once_and_a_word_without_lies_between():
    text = "costs $12 of the rest"
    marks = [(0, 0), (6, 100), (7, 150), (10, 200), (17, 400)]
    assert place_words(text, marks, 500) == [
        Word("costs", 0),
        Word("$12", 100),
        Word("of", 200),
        Word("the", 285),
        Word("rest", 400),
    ]


def test_without_marks_words_lie_in_proportion():
    assert place_words("ab cd", (), 50) == [Word("ab", 0), Word("cd", 30)]


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(-2, 50), st.integers(0, 2_000)), max_size=10),
    st.integers(0, 1_000),
)
def test_whatever_a_voice_marks_words_join_to_the_text_in_order(text: str, marks: list[tuple[int, int]], total: int):
    words = place_words(text, marks, total)
    starts = [word.start_samples for word in words]
    assert [word.text for word in words] == text.split()
    assert starts == sorted(starts)
    assert all(0 <= start <= total for start in starts)

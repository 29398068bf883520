"""Words and samples of a turn."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.turn.text_spans import TextSpans


def test_words_with_timings_are_split_to_the_sample():
    spans = TextSpans()
    spans.add(0, "we are open", (100, 2_000, 3_100))
    spans.add(3_200, "until six", (3_300, 5_000))
    split = spans.split(3_101, 6_400)
    assert (split.heard, split.unheard, split.estimated) == ("we are open", "until six", False)
    assert spans.split(3_100, 6_400).heard == "we are"
    assert [spans.word_at(at, 6_400) for at in (50, 100, 1_999, 2_000, 6_000)] == [50, 100, 100, 2_000, 5_000]


def test_words_without_timings_share_the_sound_until_the_next_words_and_say_so():
    spans = TextSpans()
    spans.add(0, "aaa bbb")
    spans.add(8_000, "ccc", (8_000,))
    assert spans.split(4_000, 16_000).heard == "aaa"
    assert spans.split(4_001, 16_000).heard == "aaa bbb"
    assert spans.split(4_001, 16_000).estimated
    assert not spans.split(16_000, 16_000).estimated


def test_the_last_words_spread_as_the_turn_grows():
    spans = TextSpans()
    spans.add(0, "aaa bbb")
    assert spans.split(1_000, 2_000).heard == "aaa"
    assert spans.split(1_001, 2_000).heard == "aaa bbb"
    assert spans.split(1_001, 8_000).heard == "aaa"


@given(
    st.lists(st.tuples(st.text("ab ", max_size=9), st.integers(1, 4_000), st.booleans()), max_size=12),
    st.integers(0, 50_000),
)
def test_no_word_is_lost_or_doubled_wherever_the_cut_is(pieces: list[tuple[str, int, bool]], heard: int):
    spans, at, words = TextSpans(), 0, []
    for text, samples, timed in pieces:
        split = text.split()
        spans.add(at, text, tuple(at + n for n in range(len(split))) if timed else ())
        words += split
        at += samples
    result = spans.split(heard, at)
    assert f"{result.heard} {result.unheard}".split() == words

"""Who shall have the floor."""

import pytest

from model_worker.duplex.overlap_judge import OBJECTION_S, QUIET_S, Evidence, Words, judge, sort_words
from wire.messages import Floor


@pytest.mark.parametrize(
    ("speech_s", "quiet_s", "words", "floor"),
    [
        (0.2, 0.0, Words.AWAITED, None),  # may become anything
        (OBJECTION_S, 0.0, Words.AWAITED, Floor.YIELD),  # it goes on
        (OBJECTION_S, 0.4, Words.NOTHING, Floor.YIELD),  # long, though not understood
        (0.3, QUIET_S, Words.AWAITED, None),  # short: its words decide
        (0.3, 0.7, Words.NOTHING, Floor.KEEP),
        (0.3, 0.7, Words.QUESTION, Floor.YIELD),
        (0.2, 0.7, Words.OBJECTION, Floor.YIELD),
        (0.06, QUIET_S, Words.AWAITED, Floor.KEEP),  # a cough
        (0.0, 0.1, Words.AWAITED, None),  # the detector may yet hear it
    ],
)
def test_the_table_of_evidence(speech_s: float, quiet_s: float, words: Words, floor: Floor | None) -> None:
    assert judge(Evidence(speech_s, quiet_s, words)) is floor


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", Words.NOTHING),
        ("mhm", Words.NOTHING),
        ("okay", Words.NOTHING),
        ("stop", Words.OBJECTION),
        ("your address", Words.QUESTION),
        ("um your address please", Words.QUESTION),
    ],
)
def test_words_are_sorted_by_what_the_dialog_expects(text: str, words: Words) -> None:
    assert sort_words(text, ("your address", "opening hours"), ("stop", "Hold on")) is words
    assert sort_words("hold on", (), ("stop", "Hold on")) is Words.OBJECTION

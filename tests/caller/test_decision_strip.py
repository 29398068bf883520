from typing import Any

from twowire.caller.decision_strip import CHUNKS_PER_LINE, MAX_CHUNKS, decision_strip


def decided(kinds: str, first: int = 0) -> list[dict[str, Any]]:
    return [{"index": first + n, "kind": {".": "listen", "#": "speak"}.get(kind, kind)} for n, kind in enumerate(kinds)]


def test_every_chunk_has_one_character():
    assert decision_strip(decided("..##.")) == ["    0  ..##."]


def test_a_chunk_without_a_decision_and_one_of_an_unknown_kind_are_seen():
    assert decision_strip([*decided("."), *decided("#x", first=3)]) == ["    0  .??#!"]


def test_of_two_decisions_for_a_chunk_the_later_one_counts():
    assert decision_strip([*decided("..."), *decided("#", first=1)]) == ["    0  .#."]


def test_a_long_call_takes_several_lines_each_with_the_index_of_its_first_chunk():
    lines = decision_strip(decided("." * CHUNKS_PER_LINE + "##", first=7))
    assert lines == ["    7  " + "." * CHUNKS_PER_LINE, f"{7 + CHUNKS_PER_LINE:5d}  ##"]


def test_a_record_without_indexed_decisions_has_no_strip():
    assert decision_strip([]) == []
    assert decision_strip([{"kind": "listen"}, {"index": "1"}, {"index": -1}]) == []


def test_an_index_from_far_away_does_not_make_the_strip_endless():
    lines = decision_strip([*decided("."), *decided("#", first=10**9)])
    assert len(lines) == MAX_CHUNKS // CHUNKS_PER_LINE
    assert lines[-1].endswith("?#")

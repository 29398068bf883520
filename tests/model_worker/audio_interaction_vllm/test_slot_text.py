"""What stands in a slot, held against a plain list in which every chunk is a token of its own kind."""

import random

import pytest

from model_worker.duplex.audio_interaction_vllm.slot_text import SlotText

PAD = 0
Plain = list[tuple[int, str | None]]
"""Tokens, with the chunk that begins at each."""


def plain(text: SlotText[str]) -> Plain:
    begins = dict(text.chunks)
    return [(token, begins.get(at)) for at, token in enumerate(text.tokens)]


def block(number: int) -> tuple[list[int], list[tuple[int, str]]]:
    """A token, three places of a chunk, a token."""
    return [number, PAD, PAD, PAD, -number], [(1, f"chunk {number}")]


@pytest.mark.parametrize("seed", range(20))
def test_a_text_is_what_was_put_less_what_was_taken_out(seed: int):
    chance = random.Random(seed)
    text: SlotText[str] = SlotText()
    expected: Plain = []
    text.put(0, [7, 8], [])
    expected = [(7, None), (8, None)]
    for number in range(1, 40):
        back = chance.choice((0, 0, 0, 5, 10))
        start = max(2, len(expected) - back)
        tokens, chunks = block(number)
        text.put(start, tokens, chunks)
        begins = dict(chunks)
        expected = [*expected[:start], *((token, begins.get(at)) for at, token in enumerate(tokens))]
        if len(expected) > 50:
            dropped = 5 * chance.randint(1, 5)
            text.evict(2, dropped)
            del expected[2 : 2 + dropped]
        assert plain(text) == expected


def test_a_part_counts_from_its_own_beginning():
    text: SlotText[str] = SlotText()
    text.put(0, *block(1))
    text.put(5, *block(2))
    assert text.part(5, 10) == ([2, PAD, PAD, PAD, -2], [(1, "chunk 2")])
    assert text.part(0, 5) == block(1)
    assert text.part(10, 10) == ([], [])


def test_nothing_is_put_behind_a_gap():
    text: SlotText[str] = SlotText()
    text.put(0, [1, 2], [])
    with pytest.raises(ValueError, match="expected to go on at 2 or before, got 3"):
        text.put(3, [4], [])

"""Bytes to other bytes: the changes that parsers stumble over."""

import random
from collections.abc import Sequence

_NUMBERS = (
    b"0",
    b"00",
    b"1",
    b"127",
    b"128",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"9" * 30,
)
_OCTETS = (0, 1, 9, 10, 13, 32, 34, 37, 44, 58, 59, 60, 62, 64, 92, 127, 128, 192, 255)
_LARGE_IN = 200  # one input of so many may grow to the largest size: those are slow, and few suffice


class Mutator:
    """Changes seeds, and what was slow so far; the same ``seed`` and notes give the same inputs."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], max_bytes: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._seeds = list(seeds)
        self._tokens = list(tokens)
        self._max_bytes = max_bytes
        self._longest = max(len(one) for one in seeds)
        self._slow: list[tuple[float, bytes]] = []

    def next(self) -> bytes:
        chance = self._random
        data = chance.choice(self._slow)[1] if self._slow and chance.random() < 0.05 else chance.choice(self._seeds)
        large = chance.randrange(_LARGE_IN) == 0
        for _ in range(chance.choice((1, 1, 1, 2, 2, 4, 8))):
            kind = chance.random()
            if kind < 0.65:
                data = self._touch(data)
            elif kind < 0.85:
                data = self._move_lines(data)
            else:
                data = self._break(data, large)
        return data[: self._max_bytes if large else min(self._max_bytes, 2 * self._longest)]

    def note(self, data: bytes, seconds: float) -> None:
        """Remember the slowest, to make them slower."""
        if len(self._slow) < 8 or seconds > self._slow[-1][0]:
            self._slow = sorted([*self._slow, (seconds, data)], key=lambda item: -item[0])[:8]

    def _touch(self, data: bytes) -> bytes:
        """A small change, behind which most of the input still means what it did."""
        chance = self._random
        at = chance.randrange(len(data) + 1)
        end = at + chance.randrange(1, 9)
        match chance.randrange(6):
            case 0:
                return data[:at] + data[end:]
            case 1:
                return data[:end] + data[at:]
            case 2:
                return data[:at] + chance.choice(self._tokens) + data[at if chance.random() < 0.5 else end :]
            case 3:
                return self._change_number(data)
            case 4 if at < len(data):
                return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
            case _:
                return data[:at] + bytes((chance.choice(_OCTETS),)) + data[at + 1 :]

    def _move_lines(self, data: bytes) -> bytes:
        """A line lost, doubled, moved, or taken from elsewhere; the first stays."""
        chance = self._random
        first, *lines = data.splitlines(keepends=True) or [b""]
        if not lines:
            return data
        at = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines) + 1), lines[at])
            case 2:
                lines.insert(chance.randrange(len(lines)), lines.pop(at))
            case _:
                others = chance.choice(self._seeds).splitlines(keepends=True)
                lines[at : at + chance.randrange(2)] = [chance.choice(others)]
        return first + b"".join(lines)

    def _break(self, data: bytes, large: bool) -> bytes:
        """A large change: cut off, repeated often, or continued as another seed."""
        chance = self._random
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + (1 << chance.randrange(9)))
        match chance.randrange(5):
            case 0:
                return data[:start] + data[end:]
            case 1:
                return data[:start]
            case 2 | 3:
                times = 1 << chance.randrange(14 if large else 6)
                unit = chance.choice(self._tokens) if chance.random() < 0.5 else data[start:end]
                return data[:start] + (unit * times)[: self._max_bytes] + data[start:]
            case _:
                other = chance.choice(self._seeds)
                return data[:start] + other[chance.randrange(len(other) + 1) :]

    def _change_number(self, data: bytes) -> bytes:
        """Another number in the place of one, where digits stand."""
        chance = self._random
        at = chance.randrange(len(data) + 1)
        start = next((n for n in range(at, min(at + 64, len(data))) if 48 <= data[n] <= 57), None)
        if start is None:
            return data + chance.choice(_NUMBERS)
        end = start
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        return data[:start] + chance.choice(_NUMBERS) + data[end:]

"""What the caller was played of late, on the clock of the call."""

from wire.audio.codecs import Codec

KEPT_S = 4.0  # what a leg has ahead, the longest echo, and what is looked at of it


class PlayedAudio:
    """The last seconds of sound, and those to come, in a leg's codec; silence elsewhere.

    Positions are samples since the call began. Kept as it was sent: most calls never look at it.
    """

    def __init__(self, codec: Codec) -> None:
        self._silence = codec.silence
        self._width = codec.bytes_per_sample
        self._size = round(KEPT_S * codec.sample_rate_hz)
        self._ring = bytearray(codec.silence * self._size)
        self._end = 0

    def write(self, start: int, audio: bytes) -> None:
        """``audio`` is played from ``start`` on, whatever was to be played then."""
        end = start + len(audio) // self._width
        if end - start > self._size:
            start = end - self._size
            audio = audio[-self._size * self._width :]
        if start < 0 or start < self._end - self._size:
            return  # nobody asks for what is over
        if start > self._end:
            self._fill(max(self._end, start - self._size), start)
        self._put(start, audio)
        self._end = max(self._end, end)

    def clear(self, start: int) -> None:
        """Nothing is played from ``start`` on after all."""
        start = max(start, 0)
        if start < self._end:
            self._fill(max(start, self._end - self._size), self._end)
            self._end = start

    def read(self, start: int, count: int) -> bytes:
        """``count`` samples from ``start``; silence for what is not known (any more)."""
        begin, end = max(start, self._end - self._size, 0), min(start + count, self._end)
        if begin >= end:
            return self._silence * count
        return self._silence * (begin - start) + self._get(begin, end - begin) + self._silence * (start + count - end)

    def _fill(self, start: int, end: int) -> None:
        self._put(start, self._silence * (end - start))

    def _put(self, start: int, audio: bytes) -> None:
        at = start % self._size * self._width
        first = min(len(audio), len(self._ring) - at)
        self._ring[at : at + first] = audio[:first]
        self._ring[: len(audio) - first] = audio[first:]

    def _get(self, start: int, count: int) -> bytes:
        at, wanted = start % self._size * self._width, count * self._width
        audio = bytes(self._ring[at : at + wanted])
        return audio + bytes(self._ring[: wanted - len(audio)])

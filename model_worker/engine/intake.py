"""From what callers said to what the engine hears: decode and resample all due chunks at once.

A line that sends digital silence is given quiet noise instead.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from model_worker.seams import Pcm
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import enliven
from wire.audio.resample import BatchResampler
from wire.ids import CallId


class Intake:
    """Turns chunks of any codec into int16 at the engine's rate, one batch per codec and length."""

    def __init__(self, rate_hz: int) -> None:
        self._resamplers = {codec: BatchResampler(codec.sample_rate_hz, rate_hz) for codec in Codec}
        self._histories: dict[CallId, Pcm] = {}

    def convert(self, chunks: Sequence[tuple[CallId, Codec, int, bytes]]) -> dict[tuple[CallId, int], Pcm]:
        """Whole chunks by call and index; several of one call come in order, and always with the same codec."""
        waves: list[list[tuple[CallId, Codec, int, bytes]]] = []
        seen: dict[CallId, int] = defaultdict(int)
        for chunk in chunks:
            wave = seen[chunk[0]]
            seen[chunk[0]] += 1
            if wave == len(waves):
                waves.append([])
            waves[wave].append(chunk)
        heard: dict[tuple[CallId, int], Pcm] = {}
        for chunks_of_all in waves:
            self._convert_one_each(chunks_of_all, heard)
        return heard

    def _convert_one_each(
        self, chunks: Sequence[tuple[CallId, Codec, int, bytes]], heard: dict[tuple[CallId, int], Pcm]
    ) -> None:
        groups: dict[tuple[Codec, int], list[tuple[CallId, int, bytes]]] = defaultdict(list)
        for call, codec, index, payload in chunks:
            groups[codec, len(payload)].append((call, index, payload))
        for (codec, _), group in groups.items():
            resampler = self._resamplers[codec]
            octets = np.frombuffer(b"".join([payload for *_, payload in group]), np.uint8).reshape(len(group), -1)
            new = resampler.new_history()
            histories = np.stack([self._histories.get(call, new) for call, *_ in group])
            sound = enliven(g711.decode(codec, octets), codec.sample_rate_hz)
            pcm, histories = resampler.push(histories, sound)
            for row, (call, index, _) in enumerate(group):
                heard[call, index] = pcm[row]
                self._histories[call] = histories[row]

    def forget(self, call: CallId) -> None:
        """The call is over; unknown ones are ignored."""
        self._histories.pop(call, None)

"""Recognize utterances while they are spoken: two PocketSphinx decoders for each.

One decoder knows the grammar and nothing else, so it fits any sound into it. The other, a phone
loop, knows no words and takes whatever phones fit best. How much worse the grammar explains the
sound tells whether the caller said something of the grammar at all.

Both subtract the mean cepstrum of the line. It is not known before the utterance is over, and the
guess that PocketSphinx starts from is that of a studio: with it, 54 % of phrases over the telephone
were right, 95 % with the telephone's (2026-11-23; 96 % with each utterance's own, which would leave
all the work, 0.1 to 0.2 s of it, for after the last word). Means of human and of synthetic speech
differ little on the telephone: what shows is its band.
"""

import math
import tempfile
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
from pocketsphinx import Config, Decoder, get_model_path

from model_worker.asr.protocol import Hypothesis
from model_worker.seams import Pcm

# Mean cepstra, in the form PocketSphinx reads: of espeak-ng and human voices, µ-law at 8 kHz, and the same at 16 kHz.
TELEPHONE_MEAN = "42.9,22.1,-40.8,36.9,-39.8,11.9,-10.2,-16.8,15.8,-22.0,17.4,-9.9,-0.5"
WIDEBAND_MEAN = "58.0,11.1,-6.3,10.3,-14.5,-4.7,-13.5,-11.0,-1.1,-3.0,6.1,-0.8,-5.5"

RATE_HZ = 16_000
_FRAME_BYTES = RATE_HZ // 100 * 2  # 10 ms: what a score is counted per
_PROBE_BYTES = RATE_HZ  # 0.5 s: enough to tell the kind of line by
MAX_OPEN = 64
"""Utterances at once; the one begun first is given up for the next. 10 MB each."""
KEPT_DECODERS = 16
"""Decoders kept for another utterance; 3 to 5 MB and 10 ms of CPU each."""
_PHONE_LOOP = ""  # stands for the grammar of a decoder that has none
_NOTHING = Hypothesis("", 0.0)


class Recognizer:
    """Many utterances by number. Not for many threads. A decoder may hang: see ``sphinx_child``."""

    def __init__(self) -> None:
        self._pool = _DecoderPool()
        self._open: OrderedDict[int, _Utterance] = OrderedDict()
        self._pool.give(_PHONE_LOOP, self._pool.take(_PHONE_LOOP, ""))  # not on the first caller's time

    def begin(self, utterance: int, jsgf: str, dictionary: str) -> None:
        """Begin an utterance. Raises RuntimeError when PocketSphinx refuses the grammar."""
        if len(self._open) >= MAX_OPEN:
            self.drop(next(iter(self._open)))
        self._open[utterance] = _Utterance(self._pool, jsgf, dictionary)

    def feed(self, utterance: int, pcm: bytes) -> None:
        """Decode some more. Unknown utterances are ignored."""
        if (known := self._open.get(utterance)) is not None:
            known.feed(pcm)

    def finish(self, utterance: int) -> Hypothesis:
        """What was said; nothing in an unknown utterance."""
        known = self._open.pop(utterance, None)
        return _NOTHING if known is None else known.finish()

    def drop(self, utterance: int) -> None:
        """Forget an utterance."""
        self.finish(utterance)  # decoders serve again only after the end of what they began


class _Utterance:
    def __init__(self, pool: "_DecoderPool", jsgf: str, dictionary: str) -> None:
        self._pool = pool
        self._jsgf = jsgf
        self._words = pool.take(jsgf, dictionary)
        self._phones = pool.take(_PHONE_LOOP, "")
        self._held: bytearray | None = bytearray()  # until the kind of line is known
        self._frames = 0

    def feed(self, pcm: bytes) -> None:
        if self._held is None:
            self._decode(pcm)
            return
        self._held += pcm
        if len(self._held) >= _PROBE_BYTES:
            self._start()

    def finish(self) -> Hypothesis:
        if self._held:
            self._start()
        words, score, phone_score = "", 0.0, 0.0
        if self._held is None:
            for decoder in (self._words, self._phones):
                decoder.end_utt()
            words, score = _best(self._words)
            _, phone_score = _best(self._phones)
        self._pool.give(self._jsgf, self._words)
        self._pool.give(_PHONE_LOOP, self._phones)
        return Hypothesis(words, (phone_score - score) / max(1, self._frames) * 1e4) if words else _NOTHING

    def _start(self) -> None:
        assert self._held is not None, "an utterance starts once"
        held, self._held = bytes(self._held), None
        mean = TELEPHONE_MEAN if is_telephone(np.frombuffer(held, np.int16)) else WIDEBAND_MEAN
        for decoder in (self._words, self._phones):
            _forget_noise(decoder)
            decoder.set_cmn(mean)
            decoder.start_utt()
        self._decode(held)

    def _decode(self, pcm: bytes) -> None:
        self._frames += len(pcm) // _FRAME_BYTES
        if pcm:
            self._words.process_raw(pcm)
            self._phones.process_raw(pcm)


class _DecoderPool:
    """Decoders between utterances, by grammar; the least used are let go."""

    def __init__(self) -> None:
        self._models = Path(get_model_path()) / "en-us"
        self._free: OrderedDict[str, list[Decoder]] = OrderedDict()

    def take(self, jsgf: str, dictionary: str) -> Decoder:
        free = self._free.get(jsgf)
        if free:
            return free.pop()
        if jsgf == _PHONE_LOOP:
            # A wider beam than 1e-10 costs a third more and finds nothing else.
            return self._decoder(
                allphone=str(self._models / "en-us-phone.lm.bin"), lw=2.0, beam=1e-10, pbeam=1e-10, dict=None
            )
        with tempfile.NamedTemporaryFile("w", suffix=".dict", encoding="utf-8") as words:
            words.write(dictionary)
            words.flush()
            decoder = self._decoder(dict=words.name)
        decoder.add_jsgf_string("phrases", jsgf)
        decoder.activate_search("phrases")
        return decoder

    def give(self, jsgf: str, decoder: Decoder) -> None:
        self._free.setdefault(jsgf, []).append(decoder)
        self._free.move_to_end(jsgf)
        while sum(map(len, self._free.values())) > KEPT_DECODERS:
            oldest = next(key for key, free in self._free.items() if free)
            self._free[oldest].pop()
        for key in [key for key, free in self._free.items() if not free]:
            del self._free[key]

    def _decoder(self, **options: object) -> Decoder:
        # bestpath=True was seen to hang for minutes at the end of an utterance.
        return Decoder(
            Config(hmm=str(self._models / "en-us"), lm=None, cmn="live", bestpath=False, loglevel="FATAL", **options)
        )


def is_telephone(pcm: Pcm) -> bool:
    """Whether 16 kHz int16 holds nothing above 5 kHz: it has come through an 8 kHz line."""
    windowed = pcm * np.hanning(len(pcm))  # else the edges, where sound is cut, fill the whole band
    power = np.abs(np.fft.rfft(windowed)) ** 2 * 2 / (3 / 8 * max(1, len(pcm)) ** 2)  # sums to the mean square
    high = len(power) * 5 // 8
    # Rounding to 16 bits leaves 1/12 everywhere; the resampler's stop band lies 60 dB below the speech.
    return bool(power[high:].sum() < max(1.0, 1e-5 * power[:high].sum()))


def _forget_noise(decoder: Decoder) -> None:
    """Let go of the noise estimate of the caller before, which else shows in the scores of the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "unnecessary", says the wheel; the scores say otherwise
        decoder.start_stream()


def _best(decoder: Decoder) -> tuple[str, float]:
    """The words and their natural log score."""
    hypothesis = decoder.hyp()
    if hypothesis is None or hypothesis.best_score <= 0:
        return "", 0.0
    return hypothesis.hypstr, math.log(hypothesis.best_score)

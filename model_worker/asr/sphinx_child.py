"""PocketSphinx in a process that can be killed: utterances in on stdin, hypotheses out on stdout.

Run by ``model_worker.asr.sphinx`` as ``python -m model_worker.asr.sphinx_child``. Both directions are frames
of a 4-byte big-endian length and a MessagePack body: in ``[jsgf, dictionary, pcm_bytes]`` (16 kHz
int16), out ``[hypothesis, distance]``. ``distance`` is how much better per frame a free loop of phones explains the
audio than the grammar does, in units of 1e-4 log probability; it grows with speech that is not in the grammar.

An utterance is decoded whole, with the cepstral mean of its own. Decoding while the caller speaks would
save some 50 ms, but the running mean starts from a guess, and a wrong guess costs half of all first
utterances (2026-11-23: 13 of 27 understood from the stock guess, 25 of 27 from the utterance's own mean).
"""

import math
import struct
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import msgspec
from pocketsphinx import Config, Decoder, get_model_path

KEPT_DECODERS = 32  # 3 MB each; an agent has a handful of grammars
_PHONE_LOOP = {"lw": 2.0, "beam": 1e-20, "pbeam": 1e-20}  # the values of PocketSphinx's own phone recognition
_NOTHING = ("", 0.0)


class Decoders:
    """A decoder per grammar, the least used forgotten, and the phone loop they are compared with."""

    def __init__(self) -> None:
        self._models = Path(get_model_path()) / "en-us"
        self._kept: OrderedDict[str, Decoder] = OrderedDict()
        self._phones = self._decoder(allphone=str(self._models / "en-us-phone.lm.bin"), **_PHONE_LOOP)

    def recognize(self, jsgf: str, dictionary: str, pcm: bytes) -> tuple[str, float]:
        """The hypothesis and its distance; an empty one when no path through the grammar fits."""
        hypothesis, score = _decode(self._of(jsgf, dictionary), pcm)
        if not hypothesis:
            return _NOTHING
        _, best = _decode(self._phones, pcm)
        frames = max(1, len(pcm) // 320)  # 10 ms each
        return hypothesis, (best - score) / frames * 1e4

    def _of(self, jsgf: str, dictionary: str) -> Decoder:
        decoder = self._kept.get(jsgf)
        if decoder is None:
            with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
                words.write(dictionary)
                words.flush()
                decoder = self._decoder(dict=words.name)
            decoder.add_jsgf_string("phrases", jsgf)
            decoder.activate_search("phrases")
            self._kept[jsgf] = decoder
            if len(self._kept) > KEPT_DECODERS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(jsgf)
        return decoder

    def _decoder(self, **options: object) -> Decoder:
        # bestpath=True was seen to hang for minutes at the end of an utterance.
        return Decoder(
            Config(hmm=str(self._models / "en-us"), lm=None, cmn="batch", bestpath=False, loglevel="FATAL", **options)
        )


def _decode(decoder: Decoder, pcm: bytes) -> tuple[str, float]:
    """The words and their log probability."""
    decoder.start_utt()
    decoder.process_raw(pcm, False, True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    if hypothesis is None or hypothesis.best_score <= 0:
        return _NOTHING
    return hypothesis.hypstr, math.log(hypothesis.best_score)


def main() -> None:
    pipe_in, pipe_out = sys.stdin.buffer, sys.stdout.buffer
    decoders = Decoders()
    while len(head := pipe_in.read(4)) == 4:
        (length,) = struct.unpack("!I", head)
        jsgf, dictionary, pcm = msgspec.msgpack.decode(pipe_in.read(length), type=tuple[str, str, bytes])
        answer = msgspec.msgpack.encode(decoders.recognize(jsgf, dictionary, pcm))
        pipe_out.write(struct.pack("!I", len(answer)) + answer)
        pipe_out.flush()


if __name__ == "__main__":
    main()

"""Which words of a turn lie before a sample: the map from the ledger to the transcript."""

from bisect import bisect_left

MAX_SPANS = 4_096  # an hour of speech in 1 s pieces; a turn that long is a fault upstream


class TextSpans:
    """Words of one turn by the sample at which the piece that carries them begins."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._texts: list[str] = []

    def add(self, start_samples: int, text: str) -> None:
        """Note words that begin at ``start_samples``; pieces come in order. Empty text is ignored."""
        if text and len(self._starts) < MAX_SPANS:
            self._starts.append(start_samples)
            self._texts.append(text)

    def split(self, heard_samples: int) -> tuple[str, str]:
        """The text that began before ``heard_samples``, and the rest."""
        at = bisect_left(self._starts, heard_samples)
        return " ".join(self._texts[:at]).strip(), " ".join(self._texts[at:]).strip()

"""When the caller's audio was said, as far as arrivals tell: the caller's clock is steady, the way here is not."""

_WINDOW_S = 2.5
_STEP_S = 0.02


class MediaTime:
    """Places what came on the clock of the call, in samples.

    What arrives late was not said late: of the last seconds the quickest arrival counts, and a change of less than
    20 ms is none, so that what was learned about an echo's delay stays true.
    """

    def __init__(self, rate_hz: int) -> None:
        self._window = round(_WINDOW_S * rate_hz)
        self._step = round(_STEP_S * rate_hz)
        self._came = 0
        self._offset: int | None = None
        self._quickest: list[int] = []  # of the last window and of this one
        self._turn_at = 0

    def take(self, samples: int, arrived: int) -> int:
        """``samples`` more came by ``arrived``; returns when they ended."""
        self._came += samples
        offset = arrived - self._came
        if self._came >= self._turn_at or not self._quickest:
            self._turn_at = self._came + self._window
            self._quickest = [*self._quickest[-1:], offset]
        self._quickest[-1] = min(self._quickest[-1], offset)
        quickest = min(self._quickest)
        if self._offset is None or abs(quickest - self._offset) > self._step:
            self._offset = quickest
        return self._came + self._offset

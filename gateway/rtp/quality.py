"""How good a call sounded: the E-model (``e_model``) with what a gateway can measure, its delay and its loss.

Everything else is at the model's defaults. Delay counts as one-way delay, as half of the round trip and as the
delay of an echo 65 dB down, so that 150 ms cost 3.7 points, 400 ms 31 (the curve of G.114).

Codecs enter by the planning values of ITU-T G.113, appendix I. Those of the narrow-band scale exist for G.711 only,
among ours. G.722 and Opus carry more of a voice than a telephone and have values on other scales (G.107.1, G.107.2)
or none at all; here they count as G.711 with concealment, so that calls can be compared for what their networks did
to them, and not for how rich they sound.
"""

from dataclasses import dataclass

from gateway.rtp.e_model import Connection, mean_opinion, rating_factor


@dataclass(frozen=True, slots=True)
class Impairment:
    """``equipment`` is Ie, the codec's own damage; ``robustness`` is Bpl, the loss (%) that halves what is left."""

    equipment: float
    robustness: float


G711_WITH_CONCEALMENT = Impairment(equipment=0.0, robustness=25.1)
"""G.711 with a receiver that conceals (G.711 appendix I), random loss; ours does."""

G711_WITHOUT_CONCEALMENT = Impairment(equipment=0.0, robustness=4.3)

BEST_R = rating_factor(Connection())


def rating(
    delay_s: float, loss: float, impairment: Impairment = G711_WITH_CONCEALMENT, burst_ratio: float = 1.0
) -> float:
    """R, from 0 (useless) to 93.2. ``delay_s`` is one way, mouth to ear; ``loss`` the part of packets not played.

    ``burst_ratio`` is the mean length of runs of loss over that of random loss (G.107: 1 to 2, 1 for random).
    """
    delay_ms = max(0.0, delay_s) * 1_000
    connection = Connection(
        talker_echo_ms=delay_ms,
        round_trip_ms=2 * delay_ms,
        absolute_ms=delay_ms,
        equipment=impairment.equipment,
        robustness=impairment.robustness,
        loss_percent=100 * min(1.0, max(0.0, loss)),
        burst_ratio=max(1.0, burst_ratio),
    )
    return max(0.0, rating_factor(connection))


def estimate_mos(
    round_trip_s: float | None, buffer_delay_s: float, loss: float, impairment: Impairment = G711_WITH_CONCEALMENT
) -> float:
    """MOS of what we hear. The delay is half the round trip (None: unknown, taken as 0) and our jitter buffer's."""
    return mean_opinion(rating((round_trip_s or 0.0) / 2 + buffer_delay_s, loss, impairment))

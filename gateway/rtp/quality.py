"""How good a call sounded, estimated from its delay and loss: the E-model, simplified.

ITU-T G.107 (06/2015) with all parameters at their defaults but three: absolute delay, packet loss and the codec.
Then ``Ro - Is`` is 93.2 and ``R = 93.2 - Id - Ie,eff``. ``Id`` is the piecewise line that R. G. Cole and
J. H. Rosenbluth fitted to the model ("Voice over IP performance monitoring", ACM SIGCOMM CCR 31-2, 2001), for calls
without echo. ``Ie,eff`` is equation 7-29 of G.107 with the planning values of G.113, appendix I.
"""

from dataclasses import dataclass

BEST_R = 93.2
_WORST_IE = 95.0
_CONVERSATION_SUFFERS_MS = 177.3  # Cole and Rosenbluth: from here on people talk into one another


@dataclass(frozen=True, slots=True)
class Impairment:
    """``equipment`` is Ie, the codec's own damage; ``robustness`` is Bpl, the loss (%) that halves what is left."""

    equipment: float
    robustness: float


G711_WITH_CONCEALMENT = Impairment(equipment=0.0, robustness=25.1)
"""G.711 with a receiver that conceals (G.711 appendix I); also used for G.722.

G.722 has values on the wideband scale only (G.107.1). Rated on this one it compares with the gateway's other calls,
and not with a MOS-LQ of a wideband test."""

G711_WITHOUT_CONCEALMENT = Impairment(equipment=0.0, robustness=4.3)


def rating(
    delay_s: float, loss: float, impairment: Impairment = G711_WITH_CONCEALMENT, burst_ratio: float = 1.0
) -> float:
    """R, from 0 (useless) to 93.2. ``delay_s`` is one way, mouth to ear; ``loss`` the part of packets not played.

    ``burst_ratio`` is the mean length of runs of loss over that of random loss (G.107: 1 to 2, 1 for random).
    """
    delay_ms = max(0.0, delay_s) * 1_000
    delay_impairment = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _CONVERSATION_SUFFERS_MS)
    loss_percent = 100 * min(1.0, max(0.0, loss))
    damage = loss_percent / (loss_percent / max(1.0, burst_ratio) + impairment.robustness)
    effective = impairment.equipment + (_WORST_IE - impairment.equipment) * damage
    return max(0.0, BEST_R - delay_impairment - effective)


def mean_opinion(r: float) -> float:
    """MOS-CQE of a rating, 1.0 to 4.5 (G.107, annex B; its cubic dips below 1 under R = 6.5, which is cut off)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def estimate_mos(
    round_trip_s: float | None, buffer_delay_s: float, loss: float, impairment: Impairment = G711_WITH_CONCEALMENT
) -> float:
    """MOS of what we hear. The delay is half the round trip (None: unknown, taken as 0) and our jitter buffer's."""
    return mean_opinion(rating((round_trip_s or 0.0) / 2 + buffer_delay_s, loss, impairment))

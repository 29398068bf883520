"""The E-model: how people would rate a telephone connection, from what is known of it (ITU-T G.107, 06/2015).

``R = Ro - Is - Id - Ie,eff + A`` (7-1): the signal over the noise, less what spoils it at the same time, less what
comes back late, less what coding and loss take away, plus what people forgive for convenience. Equation numbers are
those of that edition. It is a model for planning: it tells which of two connections is worse, and by about how much.

Levels are in dBm0p or dBmp, loudness ratings in dB (a larger one is quieter), times in milliseconds.
"""

from dataclasses import dataclass
from math import exp, log2, log10, sqrt

_RECEIVER_NOISE_DBM = 64.0  # the noise floor that 7-10 and the default of Nfor refer to
_WORST_IE = 95.0


@dataclass(frozen=True, slots=True)
class Connection:
    """One direction of a connection, mouth to ear. The defaults are those of clause 7.7: a perfect one."""

    slr: float = 8.0
    """Loudness of the sending side."""
    rlr: float = 2.0
    """Loudness of the receiving side."""
    stmr: float = 15.0
    """How much the listener hears of his own voice in his own handset (sidetone)."""
    lstr: float = 18.0
    """How much he hears of his own room in it."""
    ds: float = 3.0
    """How much worse the sending handset takes up the room than the voice."""
    telr: float = 65.0
    """How weak the talker's echo is."""
    wepl: float = 110.0
    """How weak the echo of an echo is."""
    talker_echo_ms: float = 0.0
    """T: mean one-way delay of the echo's path."""
    round_trip_ms: float = 0.0
    """Tr: round trip in the four-wire loop."""
    absolute_ms: float = 0.0
    """Ta: delay from mouth to ear."""
    qdu: float = 1.0
    """Quantisation: how often the voice was coded as G.711 does it."""
    equipment: float = 0.0
    """Ie: what the codec takes away without loss (G.113)."""
    robustness: float = 4.3
    """Bpl: the loss in percent that takes half of the rest away (G.113)."""
    loss_percent: float = 0.0
    """Ppl."""
    burst_ratio: float = 1.0
    """BurstR: mean length of runs of loss over that of random loss; 1 for random, up to 2."""
    circuit_noise_dbm: float = -70.0
    """Nc."""
    floor_noise_dbm: float = -64.0
    """Nfor: noise floor at the receiving side."""
    sending_room_db: float = 35.0
    """Ps: noise of the talker's room, dB(A)."""
    receiving_room_db: float = 35.0
    """Pr: noise of the listener's room, dB(A)."""
    advantage: float = 0.0
    """A: 0 for a wired telephone."""


def rating_factor(connection: Connection) -> float:
    """R (7-1). About 0 (useless) to 100; 93.2 with every default."""
    noise = noise_dbm(connection)
    signal = signal_to_noise(connection, noise)
    sidetone = sidetone_impairment(connection)
    return (
        signal
        - simultaneous_impairment(connection, noise, signal, sidetone)
        - delay_impairment(connection, noise, signal, sidetone)
        - effective_equipment_impairment(connection)
        + connection.advantage
    )


def noise_dbm(connection: Connection) -> float:
    """No (7-3): circuit, both rooms and the floor, as powers added at the 0 dBr point."""
    c = connection
    overall = c.slr + c.rlr
    sending = c.sending_room_db - c.slr - c.ds - 100 + 0.004 * (c.sending_room_db - overall - c.ds - 14) ** 2  # 7-4
    effective = c.receiving_room_db + 10 * log10(1 + 10 ** ((10 - c.lstr) / 10))  # 7-6: the room through the sidetone
    receiving = c.rlr - 121 + effective + 0.008 * (effective - 35) ** 2  # 7-5
    floor = c.floor_noise_dbm + c.rlr  # 7-7
    return 10 * log10(sum(10 ** (level / 10) for level in (c.circuit_noise_dbm, sending, receiving, floor)))


def signal_to_noise(connection: Connection, noise: float) -> float:
    """Ro (7-2)."""
    return 15 - 1.5 * (connection.slr + noise)


def simultaneous_impairment(connection: Connection, noise: float, signal: float, sidetone: float) -> float:
    """Is (7-8): a connection that is too loud (Iolr), its sidetone (Ist), its quantisation (Iq)."""
    c = connection
    loudness = (c.slr + c.rlr + 0.2 * (_RECEIVER_NOISE_DBM + noise - c.rlr)) / 8  # Xolr / 8, 7-10
    too_loud: float = 20 * ((1 + loudness**8) ** (1 / 8) - loudness)  # 7-9
    q = 37 - 15 * log10(c.qdu)  # 7-17
    g = 1.07 + 0.258 * q + 0.0602 * q**2  # 7-16
    y = (signal - 100) / 15 + 46 / 8.4 - g / 9  # 7-14
    z = 46 / 30 - g / 40  # 7-15
    quantisation = 15 * log10(1 + 10**y + 10**z)  # 7-13
    return too_loud + sidetone + quantisation


def sidetone_impairment(connection: Connection) -> float:
    """Ist (7-11), of a sidetone that is too loud or too weak for the echo that follows it."""
    c = connection
    stmro = -10 * log10(10 ** (-c.stmr / 10) + exp(-c.talker_echo_ms / 4) * 10 ** (-c.telr / 10))  # 7-12
    impairment: float = (
        12 * (1 + ((stmro - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((stmro + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((stmro - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    return impairment


def delay_impairment(connection: Connection, noise: float, signal: float, sidetone: float) -> float:
    """Id (7-18): the talker's echo, the listener's echo, and delay as such."""
    return (
        talker_echo_impairment(connection, noise, sidetone)
        + listener_echo_impairment(connection, signal)
        + absolute_delay_impairment(connection.absolute_ms)
    )


def talker_echo_impairment(connection: Connection, noise: float, sidetone: float) -> float:
    """Idte (7-19 to 7-24). Loud sidetone (below 9 dB) masks echo, weak sidetone (above 20) is an impairment itself.

    Between 1 and 5 ms, where echo is as good as sidetone, the equations give a little less than 0.
    """
    c = connection
    delay_ms = c.talker_echo_ms
    if delay_ms < 1:
        return abs(sidetone) if c.stmr > 20 else 0.0  # what comes back so early is no echo but sidetone
    terv = c.telr - 40 * log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * exp(-0.3 * delay_ms**2)  # 7-22
    if c.stmr < 9:
        terv += sidetone / 2  # 7-23
    half = (-1.5 * (noise - c.rlr) - (80 + 2.5 * (terv - 14))) / 2  # (Roe - Re) / 2, 7-20 and 7-21
    impairment = (half + sqrt(half**2 + 100) - 1) * (1 - exp(-delay_ms))
    return sqrt(impairment**2 + sidetone**2) if c.stmr > 20 else impairment  # 7-24


def listener_echo_impairment(connection: Connection, signal: float) -> float:
    """Idle (7-25, 7-26)."""
    rle: float = 10.5 * (connection.wepl + 7) * (connection.round_trip_ms + 1) ** -0.25
    half = (signal - rle) / 2
    return half + sqrt(half**2 + 169)


def absolute_delay_impairment(delay_ms: float) -> float:
    """Idd (7-27, 7-28), for people who talk as most do (sT = 1, mT = 100 ms)."""
    if delay_ms <= 100:
        return 0.0
    x = log2(delay_ms / 100)
    impairment: float = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return impairment


def effective_equipment_impairment(connection: Connection) -> float:
    """Ie,eff (7-29): the codec with the loss it meets."""
    c = connection
    damage = c.loss_percent / (c.loss_percent / c.burst_ratio + c.robustness)
    return c.equipment + (_WORST_IE - c.equipment) * damage


def mean_opinion(r: float) -> float:
    """MOS-CQE of a rating, 1.0 to 4.5 (B-4). Its cubic dips below 1 under R = 6.5, which is cut off."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)

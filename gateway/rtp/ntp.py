"""NTP time stamps as RTCP writes them (RFC 3550 §4), and the round trip they give (§6.4.1).

A stamp is 64 bits, seconds since 1900 over 2**-32 s; the middle 32 bits count 1/65,536 s and wrap every 18 hours.
"""

_UNIX_EPOCH_S = 2_208_988_800  # 1900 to 1970, 17 leap days
_WRAP_64 = 1 << 64
_WRAP_32 = 1 << 32

MIDDLE_HZ = 65_536


def ntp_stamp(wall_s: float) -> int:
    """The 64-bit stamp of a Unix time in seconds; era 1, after 2036, begins again at 0."""
    return round((wall_s + _UNIX_EPOCH_S) * _WRAP_32) % _WRAP_64


def middle(stamp: int) -> int:
    """The middle 32 bits of a stamp: what LSR quotes."""
    return stamp >> 16 & 0xFFFF_FFFF


def short_duration(seconds: float) -> int:
    """A duration in 1/65,536 s, as DLSR has it; what is longer than 18 hours stays at the most it can say."""
    return min(max(0, round(seconds * MIDDLE_HZ)), _WRAP_32 - 1)


def round_trip_s(arrival: int, last_report: int, delay: int) -> float | None:
    """Arrival - LSR - DLSR in seconds, all three middle 32 bits; None when it comes out negative.

    A peer that rounds its delay up gives a little less than nothing on a fast path: down to -10 ms count as 0.
    """
    trip = (arrival - last_report - delay) % _WRAP_32
    if trip >= _WRAP_32 // 2:
        trip -= _WRAP_32
    if trip < -MIDDLE_HZ // 100:
        return None
    return max(0, trip) / MIDDLE_HZ

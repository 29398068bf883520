"""What a peer asks of Opus in ``a=fmtp``, and what we ask for (RFC 7587 §6.1)."""

from dataclasses import dataclass

NO_LIMIT_BPS = 510_000
"""More than Opus has any use for."""

# One channel of 16 kHz is all that a model hears, and a voice that pauses need not be sent.
OUR_WISHES = "minptime=10;maxplaybackrate=16000;stereo=0;sprop-stereo=0;useinbandfec=1;usedtx=1"

_LEAST_BPS = 6_000


@dataclass(frozen=True, slots=True)
class OpusWishes:
    """``bitrate_bps`` is the most that it takes; ``fec`` says that repeats of lost packets are of use to it.

    All else that a peer can ask for is left to us, or is about what it sends, which a decoder sees by itself.
    """

    bitrate_bps: int = NO_LIMIT_BPS
    fec: bool = False


NO_WISHES = OpusWishes()


def read_wishes(fmtp: str) -> OpusWishes:
    """Read ``name=value;name=value``; what is missing, unknown or faulty counts as not asked for."""
    found: dict[str, str] = {}
    for part in fmtp.split(";", 64)[:64]:
        name, _, value = part.partition("=")
        found.setdefault(name.strip().lower(), value.strip())
    limit = found.get("maxaveragebitrate", "")
    bitrate_bps = int(limit) if limit.isascii() and limit.isdigit() and len(limit) <= 6 else NO_LIMIT_BPS
    return OpusWishes(min(max(bitrate_bps, _LEAST_BPS), NO_LIMIT_BPS), found.get("useinbandfec") == "1")

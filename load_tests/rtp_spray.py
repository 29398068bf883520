"""``python -m load_tests.rtp_spray``: strangers' packets at the media ports of a gateway on this machine.

What a scanner or a confused phone sends: loud RTP of another source, digits, an RTCP BYE, STUN,
DTLS, scraps and noise. None of it may be heard in a call, end one, or be answered.
"""

import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, sleep

import click

from load_tests.command import CONTEXT, end_cleanly_when_told
from load_tests.loopback import NotLoopbackError, check_loopback
from load_tests.sip_caller import RTP_HEADER
from load_tests.tally import LOUD

TICK_S = 0.005
KINDS = ("rtp", "digit", "rtcp_bye", "rtcp_report", "stun", "dtls", "short", "noise", "empty")
_MAX_NOISE_BYTES = 1_400
_STUN_COOKIE = 0x2112A442  # RFC 8489 §5


def foreign_packet(kind: str, chance: random.Random) -> bytes:
    """One datagram of a kind in ``KINDS``; well formed where the kind has a form. Raises ValueError."""
    ssrc, sequence, timestamp = chance.getrandbits(32), chance.getrandbits(16), chance.getrandbits(32)
    match kind:
        case "rtp":
            return RTP_HEADER.pack(0x80, chance.choice((0x00, 0x80)), sequence, timestamp, ssrc) + LOUD
        case "digit":  # RFC 4733: key 5, its end
            return RTP_HEADER.pack(0x80, 101, sequence, timestamp, ssrc) + struct.pack("!BBH", 5, 0x8A, 800)
        case "rtcp_bye":
            return struct.pack("!BBHI", 0x80, 201, 1, ssrc) + struct.pack("!BBHI", 0x81, 203, 1, ssrc)
        case "rtcp_report":
            return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, chance.getrandbits(64), timestamp, 50, 8_000)
        case "stun":
            return struct.pack("!HHI12s", 1, 0, _STUN_COOKIE, chance.randbytes(12))
        case "dtls":
            return b"\x16\xfe\xfd" + chance.randbytes(60)
        case "short":
            return b"\x80\x00" + chance.randbytes(chance.randrange(0, 9))
        case "noise":
            return chance.randbytes(chance.randrange(1, _MAX_NOISE_BYTES))
        case "empty":
            return b""
    raise ValueError(f"expected one of {KINDS}, got {kind!r}")


def foreign_packets(seed: int = 1, kinds: Sequence[str] = KINDS) -> Iterator[tuple[str, bytes]]:
    """(kind, datagram) without end, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        for kind in kinds:
            yield kind, foreign_packet(kind, chance)


@dataclass(frozen=True, slots=True)
class Sprayed:
    """What was sent, by kind, and what came back."""

    sent: dict[str, int]
    answers: int
    """Datagrams that came back; a gateway owes a stranger none."""
    late_s: float
    """How late the last packet was."""


def spray(
    ports: Sequence[int],
    seconds: float,
    packets_per_s: float,
    *,
    host: str = "127.0.0.1",
    source: str = "127.0.0.3",
    kinds: Sequence[str] = KINDS,
    seed: int = 1,
) -> Sprayed:
    """Send to each port in turn, on an even grid; blocks that long. Raises NotLoopbackError, OSError, ValueError.

    Every port gets every kind, provided that there is time for as many packets as ports times kinds.
    """
    check_loopback(host)
    check_loopback(source)
    if not ports:
        raise ValueError("expected at least one port, got none")
    packets = foreign_packets(seed, kinds)
    sent: Counter[str] = Counter()
    total = round(seconds * packets_per_s)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.setblocking(False)
        start = due = monotonic()
        for number in range(total):
            due = start + number / packets_per_s
            while (ahead_s := due - monotonic()) > 0:
                sleep(max(TICK_S, ahead_s))
            # A round of all ports for each kind, whatever the two counts have in common.
            if number % len(ports) == 0:
                kind, datagram = next(packets)
            try:
                sock.sendto(datagram, (host, ports[number % len(ports)]))
            except BlockingIOError:
                continue  # full: what was not sent is not counted
            sent[kind] += 1
        late_s = monotonic() - due
        answers = 0
        while True:
            try:
                sock.recv(1)
            except BlockingIOError:
                break
            answers += 1
    return Sprayed(dict(sent), answers, late_s)


@click.command(context_settings=CONTEXT)
@click.option("--ports", nargs=2, type=click.IntRange(1_024, 65_535), required=True, help="First and last port.")
@click.option("--rate", type=click.FloatRange(1, 20_000), default=1_000, show_default=True, help="Packets a second.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=5, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the ports are.")
@click.option("--source", default="127.0.0.3", show_default=True, help="Address to send from.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(ports: tuple[int, int], rate: float, seconds: float, host: str, source: str, seed: int) -> None:
    """Spray a range of UDP ports on this machine with what does not belong there."""
    end_cleanly_when_told()
    try:
        first, last = ports
        sprayed = spray(range(first, last + 1), seconds, rate, host=host, source=source, seed=seed)
    except (NotLoopbackError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    print(json.dumps({"sent": sprayed.sent, "answers": sprayed.answers, "late_ms": round(1e3 * sprayed.late_s, 3)}))


if __name__ == "__main__":
    main()

"""``python -m load_tests.udp_floor``: what the system calls of a call's media cost, with nothing else.

One receive and one send per call and 20 ms, on as many loopback sockets as there are calls, in
one tick for all. Each socket sends to itself, so a send pays for the delivery of a packet just
as the gateway's and the caller's sends do. No gateway in Python can be cheaper.
"""

import json
import socket
import time
from dataclasses import asdict, dataclass

import click

from load_tests.command import CONTEXT, end_cleanly_when_told
from load_tests.figures import ms_per_call_second, percentile
from load_tests.open_files import allow_open_files
from load_tests.tally import FRAME_BYTES
from wire.bus.embedded import HOST

TICK_S = 0.02
SLICE_TICKS = 50
_HEADER_BYTES = 12
_MAX_DATAGRAM = 2_048


@dataclass(frozen=True, slots=True)
class Floor:
    """Of one measurement."""

    calls: int
    packets: int
    """Received; as many were sent."""
    cpu_ms_per_call_second: float
    """Of the cheapest second: what it takes when nothing else is in the way."""
    tick_late_p99_ms: float


def measure_floor(calls: int, seconds: float) -> Floor:
    """Spend ``seconds`` on it, in this process. Raises OSError."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(calls)]
    try:
        for sock in sockets:
            sock.bind((HOST, 0))
            sock.setblocking(False)
        ends = [(sock.recvfrom, sock.sendto, sock.getsockname()) for sock in sockets]
        packet = bytes(_HEADER_BYTES + FRAME_BYTES)
        for _, send, own in ends:
            send(packet, own)
        late_s = []
        ticks = max(1, round(seconds / TICK_S))
        spent_s, slices = time.process_time(), []
        start = since = time.monotonic()
        for tick in range(1, ticks + 1):
            due = start + tick * TICK_S
            time.sleep(max(0.0, due - time.monotonic()))
            late_s.append(time.monotonic() - due)
            for receive, send, own in ends:
                receive(_MAX_DATAGRAM)
                send(packet, own)
            if tick % SLICE_TICKS == 0 or tick == ticks:
                now, now_spent_s = time.monotonic(), time.process_time()
                slices.append(ms_per_call_second(now_spent_s - spent_s, calls, now - since))
                since, spent_s = now, now_spent_s
    finally:
        for sock in sockets:
            sock.close()
    return Floor(calls, ticks * calls, round(min(slices), 4), round(1_000 * percentile(late_s, 0.99), 3))


@click.command(context_settings=CONTEXT)
@click.option("--calls", type=click.IntRange(1, 5_000), default=100, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5, show_default=True)
def main(calls: int, seconds: float) -> None:
    """Measure the floor and print it as JSON."""
    end_cleanly_when_told()
    allow_open_files(calls)
    print(json.dumps(asdict(measure_floor(calls, seconds))))


if __name__ == "__main__":
    main()

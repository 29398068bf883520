"""The UDP ports of the media: pairs out of one range, RTP on the even one (RFC 3550 §11)."""

import random
import socket
from collections import deque
from dataclasses import dataclass

_EXPEDITED_FORWARDING = 46 << 2  # RFC 4594 §4.1: what routers know voice by
_BUFFER_BYTES = 64 * 1024  # a third of a second of packets: a gateway that is further behind plays old news


class NoPortError(Exception):
    """Every media port is taken; the text names the setting."""


@dataclass(slots=True)
class PortPair:
    """Two bound sockets. ``close`` gives the ports back."""

    rtp: socket.socket
    rtcp: socket.socket
    port: int
    ports: "RtpPorts"

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()
        self.ports.give_back(self.port)


class RtpPorts:
    """Hands out port pairs of one address, the one that was freed longest ago first.

    A port that was just freed may still get packets of the call before; the order begins at random,
    so that nobody can tell which port the next call has.
    """

    def __init__(self, host: str, low: int, high: int) -> None:
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        even = list(range(low + low % 2, high, 2))
        random.SystemRandom().shuffle(even)
        self._free = deque(even)
        self.range = (low, high)

    def take(self) -> PortPair:
        """Bind a pair. Raises NoPortError when none is free."""
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return self._bind(port)
            except OSError:
                self._free.append(port)  # another program has it
        raise NoPortError(f"no media port is free in rtp_ports {self.range[0]}-{self.range[1]}; widen the range")

    def give_back(self, port: int) -> None:
        self._free.append(port)

    def _bind(self, port: int) -> PortPair:
        rtp = self._socket(port)
        try:
            rtcp = self._socket(port + 1)
        except OSError:
            rtp.close()
            raise
        return PortPair(rtp, rtcp, port, self)

    def _socket(self, port: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((self._host, port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if self._family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)
        except OSError:
            sock.close()
            raise
        return sock

"""One caller at the SIP door: sends PCMU on the grid, listens to what comes back.

Its socket is read when the caller has its turn on the grid, once in 20 ms; when a packet came is
the kernel's own stamp. So neither the reading nor its delay can make the gateway look late.
"""

import socket
import struct
from time import monotonic, time

from load_tests.asking import AskingCaller
from load_tests.pace import PACKET_SAMPLES, Pace
from load_tests.schedule import Questions
from load_tests.sip_text import Address
from load_tests.tally import FRAME_BYTES, LOUD, LOUD_ABOVE, Tally, line_noise
from wire.audio.codecs import Codec
from wire.audio.g711 import decode

SO_TIMESTAMPNS = 35  # socket(7), asm-generic/socket.h; Python has no name for it
RTP_HEADER = struct.Struct("!BBHII")
_TIMESPEC = struct.Struct("@ll")
_STAMP_SPACE = socket.CMSG_SPACE(_TIMESPEC.size)
_VERSION_2 = 0x80
_MARKER = 0x80
_MAX_DATAGRAM = 2_048
_NOISE = line_noise()

_LOUD_SAMPLE = bytes(abs(int(decode(Codec.PCMU, bytes((code,)))[0])) > LOUD_ABOVE for code in range(256))
_LOUD_SAMPLES = FRAME_BYTES // 4  # of a packet, so that one with the end of an answer in it counts


def sounds(ulaw: bytes) -> bool:
    """Whether a packet holds a part of an answer; cheaper than ``tally.is_loud``, for every packet."""
    return ulaw.translate(_LOUD_SAMPLE).count(1) >= _LOUD_SAMPLES


def open_media_socket(host: str) -> socket.socket:
    """A socket on a free even port (RFC 3550 §11), whose packets are stamped by the kernel. Raises OSError."""
    for _ in range(100):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        if sock.getsockname()[1] % 2 == 0:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            return sock
        sock.close()
    raise OSError(f"expected a free even port on {host} within 100 tries")


class SipCaller(AskingCaller):
    """The far end of one call's media. A ``load_tests.generator.Caller``."""

    __slots__ = (
        "_buffer",
        "_buffers",
        "_sequence",
        "_socket",
        "_ssrc",
        "_timestamp",
        "garbage",
        "rtcp",
        "socket_errors",
    )

    def __init__(self, number: int, questions: Questions, answer_ms: int, tally: Tally, sock: socket.socket) -> None:
        """Takes a socket of ``open_media_socket`` and owns it."""
        super().__init__(number, questions, answer_ms, tally, Pace())
        self.rtcp = 0
        self.garbage = 0
        """Datagrams that are no plain RTP with PCMU."""
        self.socket_errors = 0
        self._socket = sock
        self._buffer = bytearray(_MAX_DATAGRAM)
        self._buffers = [self._buffer]
        self._ssrc = 0x7700_0000 + number
        self._sequence = number * 7 & 0xFFFF
        self._timestamp = number * 1_009 & 0xFFFF_FFFF

    def connect(self, remote: Address) -> None:
        """Talk to this address, and hear nobody else. Raises OSError."""
        self._socket.connect(remote)

    def send_frame(self, due: float) -> None:
        """Send the next 20 ms, which are due at ``due``; then take what came."""
        frame = self.frames_sent
        self.frames_sent = frame + 1
        payload = _NOISE
        if frame == self._next_loud:
            payload = LOUD
            self._ask_at(frame, due)
        self._sequence = sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = timestamp = self._timestamp + PACKET_SAMPLES & 0xFFFF_FFFF
        kind = 0 if frame else _MARKER
        try:
            self._socket.send(RTP_HEADER.pack(_VERSION_2, kind, sequence, timestamp, self._ssrc) + payload)
        except OSError:
            self.socket_errors += 1
        self._tally.lateness_s.append(monotonic() - due)
        self.receive()

    def close(self) -> None:
        """Take what is left, and let go; what is still unanswered counts as missing."""
        self.receive()
        self._close_question()
        self._socket.close()

    def receive(self) -> None:
        """Take all packets that came since the last time."""
        buffer, buffers, receive = self._buffer, self._buffers, self._socket.recvmsg_into
        clock_offset_s = time() - monotonic()
        while True:
            try:
                size, ancillary, _, _ = receive(buffers, _STAMP_SPACE)
            except BlockingIOError:
                return
            except OSError:
                self.socket_errors += 1  # the gateway's port is closed: it has hung up, or not begun
                return
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            self.take(bytes(buffer[:size]), seconds - clock_offset_s + nanoseconds * 1e-9)

    def take(self, datagram: bytes, at: float) -> None:
        """A datagram that arrived at ``at`` on the monotonic clock."""
        if len(datagram) < RTP_HEADER.size or datagram[0] != _VERSION_2 or datagram[1] & 0x7F:
            if len(datagram) > 1 and datagram[0] >> 6 == 2 and 192 <= datagram[1] <= 223:  # RFC 5761 §4
                self.rtcp += 1
            else:
                self.garbage += 1
            return
        _, _, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(datagram)
        self.pace.note(ssrc, sequence, timestamp, at)
        self.take_sound(sounds(datagram[RTP_HEADER.size :]), at)

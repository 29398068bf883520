"""One caller at the SIP door: sends PCMU on the grid, listens to what comes back.

Its socket is read when the caller has its turn on the grid, once in 20 ms; when a packet came is
the kernel's own stamp. So neither the reading nor its delay can make the gateway look late.
"""

import socket
import struct
from time import monotonic, time

from load_tests.figures import MISSING
from load_tests.pace import PACKET_SAMPLES, Pace
from load_tests.schedule import FRAME_MS, FRAMES_PER_CHUNK, Questions
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

SEARCH_ROUNDS = 2
_FIRST_TRY_CHUNKS = 3  # the place where it should be gets time for a slow answer


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


class SipCaller:
    """The far end of one call's media. A ``load_tests.generator.Caller``."""

    __slots__ = (
        "_answer_frames",
        "_buffer",
        "_buffers",
        "_counting",
        "_heard_frames",
        "_in_gap",
        "_next_loud",
        "_question_due",
        "_questions",
        "_search_due",
        "_searches_left",
        "_sequence",
        "_socket",
        "_ssrc",
        "_tally",
        "_timestamp",
        "_unasked",
        "first_tick",
        "frames_sent",
        "garbage",
        "lost",
        "number",
        "pace",
        "rtcp",
        "shift_frames",
        "socket_errors",
    )

    def __init__(self, number: int, questions: Questions, answer_ms: int, tally: Tally, sock: socket.socket) -> None:
        """Takes a socket of ``open_media_socket`` and owns it."""
        self.number = number
        self.first_tick = 0
        self.frames_sent = 0
        self.lost = False
        self.pace = Pace()
        self.shift_frames: int | None = None
        """Where the gateway's chunks end, in frames before the end of ours; None before it was found."""
        self.rtcp = 0
        self.garbage = 0
        """Datagrams that are no plain RTP with PCMU."""
        self.socket_errors = 0
        self._socket = sock
        self._buffer = bytearray(_MAX_DATAGRAM)
        self._buffers = [self._buffer]
        self._questions = questions
        self._tally = tally
        self._ssrc = 0x7700_0000 + number
        self._sequence = number * 7 & 0xFFFF
        self._timestamp = number * 1_009 & 0xFFFF_FFFF
        self._counting = False
        self._answer_frames = -(-answer_ms // FRAME_MS)
        self._heard_frames = self._answer_frames  # nothing is being waited for
        self._in_gap = False
        self._unasked = False
        self._next_loud = -1
        self._question_due: float | None = None
        self._search_due = 0.0
        self._searches_left = 0

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

    def search(self) -> None:
        """Find out which frame completes a chunk of the gateway: ask in each chunk, one frame earlier each time.

        A gateway need not begin its first chunk with our first packet: it may have filled in silence before it.
        """
        self._searches_left = SEARCH_ROUNDS * FRAMES_PER_CHUNK
        self._next_loud = (self.frames_sent // FRAMES_PER_CHUNK + 1) * FRAMES_PER_CHUNK - 1

    @property
    def searching(self) -> bool:
        return self._searches_left > 0

    def stop_search(self) -> None:
        self._searches_left = 0
        self._next_loud = -1

    def ask(self) -> None:
        """From now on, ask and count."""
        shift = self.shift_frames or 0
        self._next_loud = self._questions.first_frame(self.number, self.frames_sent + shift) - shift
        self._counting = True
        self.pace.begin = monotonic()

    def ask_no_more(self) -> None:
        self._next_loud = -1
        self.pace.end = monotonic()

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
        loud = sounds(datagram[RTP_HEADER.size :])
        if self._counting:
            self._hear(loud, at)
        elif loud and self._searches_left > 0:
            self._found(at)

    def _ask_at(self, frame: int, due: float) -> None:
        if self._searches_left > 0:
            self._searches_left -= 1
            first = self._searches_left == SEARCH_ROUNDS * FRAMES_PER_CHUNK - 1
            self._next_loud = frame + FRAMES_PER_CHUNK * (_FIRST_TRY_CHUNKS if first else 1) - 1
            self._search_due = due
            if self._searches_left == 0:
                self._next_loud = -1
        else:
            self._close_question()
            self._question_due = due
            self._heard_frames = 0
            self._next_loud = self._questions.next_frame(frame)

    def _found(self, at: float) -> None:
        tries = SEARCH_ROUNDS * FRAMES_PER_CHUNK - self._searches_left
        if at < self._search_due:  # it was sent before the frame that we sent last
            tries -= 1
        if tries > 0:
            self.shift_frames = (tries - 1) % FRAMES_PER_CHUNK
            self.stop_search()

    def _hear(self, loud: bool, at: float) -> None:
        heard = self._heard_frames
        if not loud:
            self._unasked = False
            if 0 < heard < self._answer_frames and not self._in_gap:
                self._in_gap = True
                self._tally.gaps += 1
            return
        self._in_gap = False
        if self._question_due is not None and at >= self._question_due:
            self._tally.latencies_s.append(at - self._question_due)
            self._question_due = None
            self._heard_frames = 1
        elif 0 < heard < self._answer_frames:
            self._heard_frames = heard + 1
        elif not self._unasked:
            self._unasked = True
            self._tally.wrong_answers += 1

    def _close_question(self) -> None:
        if self._question_due is not None:
            self._tally.latencies_s.append(MISSING)
            self._question_due = None
        elif self._heard_frames != self._answer_frames:
            self._tally.wrong_answers += 1
        self._heard_frames = self._answer_frames

"""One caller at the browser door: sends packets that were encoded before, listens to what comes back.

A packet is stamped when the event loop hands it over; a generator that hands it over late is late with its own packets
as well, and says so.
"""

import random
import struct
from time import monotonic

from load_tests.asking import AskingCaller
from load_tests.pace import Pace
from load_tests.schedule import Questions
from load_tests.tally import Tally
from load_tests.webrtc_peer import LightPeer
from load_tests.webrtc_sound import Voice

RTP_HEADER = struct.Struct("!BBHII")
_VERSION_2 = 0x80
_MARKER = 0x80


class WebRtcCaller(AskingCaller):
    """The far end of one call's media. A ``load_tests.generator.Caller``. Set ``peer`` before the first frame."""

    __slots__ = (
        "_chance",
        "_ear",
        "_loss",
        "_question",
        "_sequence",
        "_ssrc",
        "_timestamp",
        "_voice",
        "dropped",
        "peer",
        "session",
        "strange",
    )

    def __init__(
        self,
        number: int,
        questions: Questions,
        answer_ms: int,
        tally: Tally,
        voice: Voice,
        *,
        loss: float = 0.0,
    ) -> None:
        """``loss``: the share of packets that get lost on their way to the other side; those of a question do not."""
        super().__init__(number, questions, answer_ms, tally, Pace(voice.clock_hz), voice.spill_frames)
        self.peer: LightPeer | None = None
        self.session = ""
        """Where the call is ended, as the other side named it."""
        self.dropped = 0
        """Packets that were lost on purpose."""
        self.strange = 0
        """RTP packets with another payload type than ours."""
        self._voice = voice
        self._ear = voice.ear()
        self._loss = loss
        self._chance = random.Random(number)
        self._question = len(voice.question)  # how much of it was sent
        self._ssrc = 0x7700_0000 + number
        self._sequence = number * 7 & 0x7FFF  # RFC 3711 §3.3.1: not near the wrap
        self._timestamp = number * 1_009 & 0xFFFF_FFFF

    def send_frame(self, due: float) -> None:
        """Send the next 20 ms, which are due at ``due``."""
        frame = self.frames_sent
        self.frames_sent = frame + 1
        voice = self._voice
        if frame == self._next_loud:
            self._question = 0
            self._ask_at(frame, due)
        asking = self._question < len(voice.question)
        if asking:
            payload = voice.question[self._question]
            self._question += 1
        else:
            payload = voice.noise[frame % len(voice.noise)]
        self._sequence = sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = timestamp = self._timestamp + voice.packet_ticks & 0xFFFF_FFFF
        if self._loss and not asking and self._chance.random() < self._loss:
            self.dropped += 1
        elif self.peer is not None:
            kind = voice.payload_type | (0 if frame else _MARKER)
            self.peer.send(RTP_HEADER.pack(_VERSION_2, kind, sequence, timestamp, self._ssrc) + payload)
        self._tally.lateness_s.append(monotonic() - due)

    def close(self) -> None:
        """What is still unanswered counts as missing."""
        self._close_question()

    def take(self, packet: bytes, at: float) -> None:
        """An RTP packet in the clear that arrived at ``at`` on the monotonic clock."""
        if len(packet) < RTP_HEADER.size or packet[1] & 0x7F != self._voice.payload_type:
            self.strange += 1
            return
        _, _, sequence, timestamp, ssrc = RTP_HEADER.unpack_from(packet)
        self.pace.note(ssrc, sequence, timestamp, at)
        self.take_sound(self._ear(packet[payload_offset(packet) :]), at)


def payload_offset(packet: bytes) -> int:
    """Where the payload begins, behind contributing sources and header extensions (RFC 3550 §5.1, §5.3.1)."""
    offset = RTP_HEADER.size + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10 and len(packet) >= offset + 4:
        offset += 4 + 4 * int.from_bytes(packet[offset + 2 : offset + 4])
    return offset

"""A sender, a path and a clock of numbers for the tests of incoming RTP."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.rtp.packet import build_header
from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from wire.audio.codecs import Codec

PCMU = ReceiverConfig(Codec.PCMU, payload_type=0, dtmf_type=101, cn_type=13)
SSRC = 0x1234_5678

Arrival = tuple[float, bytes]


def packet(
    sequence: int, timestamp: int, payload: bytes, *, payload_type: int = 0, ssrc: int = SSRC, marker: bool = False
) -> bytes:
    return build_header(payload_type, sequence, timestamp, ssrc, marker) + payload


@dataclass
class Sender:
    """Numbers packets as a phone does."""

    sequence: int = 1_000
    timestamp: int = 160_000
    ssrc: int = SSRC

    def next(self, payload: bytes, marker: bool = False) -> bytes:
        data = packet(self.sequence, self.timestamp, payload, ssrc=self.ssrc, marker=marker)
        self.sequence += 1
        self.timestamp += len(payload)
        return data

    def skip(self, packets: int, payload_bytes: int = 160) -> None:
        """These are lost on the way."""
        self.sequence += packets
        self.timestamp += packets * payload_bytes

    def pause(self, ticks: int) -> None:
        """Nothing is sent for so long."""
        self.timestamp += ticks


@dataclass
class Line:
    """Drives a receiver through virtual time, as the runner does: datagrams first, then deadlines."""

    config: ReceiverConfig = PCMU
    now: float = 0.0
    audio: bytearray = field(default_factory=bytearray)
    outputs: list[tuple[float, int]] = field(default_factory=list)  # when, and the length of the audio by then

    def __post_init__(self) -> None:
        self.receiver = RtpReceiver(self.config, self.now)

    def arrive(self, datagram: bytes) -> bytes:
        return self._note(self.receiver.receive(datagram, self.now))

    def run_until(self, end: float) -> bytes:
        """Let time pass without a packet."""
        audio = b""
        while (due := self.receiver.next_deadline()) <= end:
            self.now = max(self.now, due)
            audio += self._note(self.receiver.handle_deadline(self.now))
        self.now = end
        return audio

    def run(self, arrivals: Iterable[Arrival]) -> None:
        for at, datagram in sorted(arrivals, key=lambda arrival: arrival[0]):
            self.run_until(at)
            self.arrive(datagram)

    def _note(self, audio: bytes) -> bytes:
        if audio:
            self.audio += audio
            self.outputs.append((self.now, len(self.audio)))
        return audio

"""Opus in Ogg as a stream that goes on and on (RFC 3533, RFC 7845): pages out of packets, packets out of bytes.

One logical stream, one voice. What carries it keeps order and loses nothing, so page numbers are written and not read:
servers number theirs as they like, and give positions in whatever clock they have.
"""

import zlib

HEAD, TAGS = b"OpusHead", b"OpusTags"
MAX_PACKET_BYTES = 61_440
"""48 frames of 1,275 bytes with their lengths: no packet of one Opus stream is larger (RFC 7845 §6)."""

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_CONTINUED, _FIRST = 1, 2
_CHECKSUM = slice(22, 26)
_MIRRORED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


class OggError(Exception):
    """The bytes are no Ogg stream of one voice in Opus. The text quotes nothing of them."""


def checksum(page: bytes) -> int:
    """CRC of a page whose own checksum is zero: polynomial 0x04C11DB7, from zero, highest bit first (RFC 3533 §6)."""
    # zlib has the same polynomial lowest bit first and starts and ends inverted.
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


class OggOpusWriter:
    """``begin`` once, then ``page`` for ever."""

    def __init__(self, rate_hz: int, pre_skip_ticks: int = 312, serial: int = 1) -> None:
        """``rate_hz``: what it was made from, for information.

        ``pre_skip_ticks``: of 48 kHz, what a player drops first; 312 is the look-ahead of libopus.
        """
        self._rate_hz = rate_hz
        self._pre_skip_ticks = pre_skip_ticks
        self._serial = serial
        self._pages = 0
        self._position_ticks = 0

    def begin(self) -> bytes:
        """The two pages that every stream begins with (RFC 7845 §5)."""
        head = b"".join(
            (
                HEAD,
                bytes((1, 1)),  # version, channels
                self._pre_skip_ticks.to_bytes(2, "little"),
                self._rate_hz.to_bytes(4, "little"),
                bytes(3),  # gain, mapping family
            )
        )
        tags = TAGS + len(b"twowire").to_bytes(4, "little") + b"twowire" + bytes(4)
        return self._write([head], _FIRST) + self._write([tags], 0)

    def page(self, packets: list[bytes], ticks: int) -> bytes:
        """A page of whole packets, of 255 segments at most; ``ticks`` of 48 kHz long together."""
        self._position_ticks += ticks
        return self._write(packets, 0)

    def _write(self, packets: list[bytes], flags: int) -> bytes:
        lacing = b"".join(bytes((255,)) * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
        assert len(lacing) <= 255, "the caller puts less than a page can hold into one"
        header = b"".join(
            (
                _CAPTURE,
                bytes((0, flags)),
                self._position_ticks.to_bytes(8, "little"),
                self._serial.to_bytes(4, "little"),
                self._pages.to_bytes(4, "little"),
                bytes(4),
                bytes((len(lacing),)),
                lacing,
            )
        )
        self._pages += 1
        page = header + b"".join(packets)
        return page[:22] + checksum(page).to_bytes(4, "little") + page[26:]


class OggOpusReader:
    """``push`` bytes as they come, in any split; it gives the packets of sound that they complete."""

    def __init__(self) -> None:
        self.pre_skip_ticks: int | None = None
        """Of 48 kHz, what is to be dropped of the begin of the sound; None until that is known."""
        self._buffer = bytearray()
        self._packet = bytearray()
        self._within = False
        """A packet goes on in the next page."""
        self._serial: bytes | None = None
        self._headers = 0

    def push(self, octets: bytes) -> list[bytes]:
        """Raises OggError; the stream is lost then."""
        self._buffer += octets
        packets: list[bytes] = []
        while (page := self._next_page()) is not None:
            for packet in self._read(page):
                self._headers += 1
                match self._headers:
                    case 1:
                        self._read_head(packet)
                    case 2:
                        if not packet.startswith(TAGS):
                            raise OggError("no tags after the head")
                    case _:
                        packets.append(packet)
        return packets

    def _next_page(self) -> bytes | None:
        buffer = self._buffer
        if not _CAPTURE.startswith(bytes(buffer[:4])):
            raise OggError("no page where one has to begin")
        if len(buffer) < _HEADER_BYTES or len(buffer) < _HEADER_BYTES + buffer[26]:
            return None
        size = _HEADER_BYTES + buffer[26] + sum(buffer[_HEADER_BYTES : _HEADER_BYTES + buffer[26]])
        if len(buffer) < size:
            return None
        page = bytes(buffer[:size])
        del buffer[:size]
        return page

    def _read(self, page: bytes) -> list[bytes]:
        """The packets that a page completes."""
        if page[4] != 0:
            raise OggError(f"a page of version {page[4]}")
        if checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[_CHECKSUM], "little"):
            raise OggError("a page with a wrong checksum")
        if self._serial not in (None, page[14:18]):
            raise OggError("a page of another stream")
        self._serial = page[14:18]
        if bool(page[5] & _CONTINUED) != self._within:
            raise OggError("a page that does not go on where the one before it ended")
        packets: list[bytes] = []
        segments = page[_HEADER_BYTES : _HEADER_BYTES + page[26]]
        at = _HEADER_BYTES + len(segments)
        for size in segments:
            self._packet += page[at : at + size]
            at += size
            if len(self._packet) > MAX_PACKET_BYTES:
                raise OggError(f"a packet of more than {MAX_PACKET_BYTES} bytes")
            if size < 255:
                packets.append(bytes(self._packet))
                self._packet.clear()
        if segments:
            self._within = segments[-1] == 255
        return packets

    def _read_head(self, packet: bytes) -> None:
        if not packet.startswith(HEAD) or len(packet) < 19 or packet[8] >> 4:
            raise OggError("no head of an Opus stream, or one of an unknown version")
        if packet[9] not in (1, 2) or packet[18]:
            raise OggError("a stream of more than one voice")
        self.pre_skip_ticks = int.from_bytes(packet[10:12], "little")

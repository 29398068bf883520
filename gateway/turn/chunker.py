"""Cut the caller's audio into the chunks the model decides on."""

from collections.abc import Sequence
from dataclasses import dataclass

from wire.audio.codecs import Codec


@dataclass(frozen=True, slots=True)
class Chunk:
    """One whole chunk: ``payload`` is in the leg's codec, ``start_samples`` its media time."""

    index: int
    start_samples: int
    payload: bytes


class Chunker:
    """Turn a leg's byte stream into chunks of one length, the first of which may differ.

    Feed it bytes of any length; it gives whole chunks and keeps the rest. Lost audio must
    arrive as concealment, so that a chunk always covers its own span of media time. The
    lengths are the engine's: 0.4 s, 80 ms, or 1.0 s with a first unit of 1.035 s.
    """

    def __init__(self, codec: Codec, chunk_ms: int, first_chunk_ms: int) -> None:
        bytes_per_ms, remainder = divmod(codec.sample_rate_hz * codec.bytes_per_sample, 1_000)
        assert remainder == 0, "every codec of ours has a whole number of bytes per millisecond"
        self._bytes_per_sample = codec.bytes_per_sample
        self._chunk_bytes = chunk_ms * bytes_per_ms
        self._wanted_bytes = first_chunk_ms * bytes_per_ms
        self._pending = bytearray()
        self._index = 0
        self._start_samples = 0

    @property
    def missing_bytes(self) -> int:
        """How many more bytes complete the chunk that is being filled; at least 1."""
        return self._wanted_bytes - len(self._pending)

    def push(self, payload: bytes | bytearray) -> Sequence[Chunk]:
        """The chunks that ``payload`` completes, usually none or one."""
        self._pending += payload
        if len(self._pending) < self._wanted_bytes:
            return ()
        chunks = []
        while len(self._pending) >= self._wanted_bytes:
            chunk = Chunk(self._index, self._start_samples, bytes(self._pending[: self._wanted_bytes]))
            del self._pending[: self._wanted_bytes]
            self._index += 1
            self._start_samples += len(chunk.payload) // self._bytes_per_sample
            self._wanted_bytes = self._chunk_bytes
            chunks.append(chunk)
        return chunks

"""Paraformer behind FunASR's WebSocket server (``runtime/docs/websocket_protocol.md``): streaming, then corrected.

``2pass-online`` are the words as they come, piece by piece; ``2pass-offline`` the corrected words of a whole segment,
in place of those. Two servers are published, and they differ. The one in C++ sends ``is_final`` with its last result
alone, which has no mode where there were no words. The one in Python sends the opposite of it; there the corrected
text that follows our own end is the last one, and an empty one where its detector found no speech.
"""

import msgspec

from model_worker.duplex.cascade.asr_link import AsrEvent, Failed, Final, Partial
from model_worker.duplex.remote.effects import Frame, SessionFault
from model_worker.duplex.remote.json_frames import MAX_FRAME_CHARACTERS, write
from model_worker.seams import Pcm

CHUNK_SIZE = (5, 10, 5)  # 600 ms, with 300 ms of what is before and behind: the published default
PIECE_SAMPLES = 960  # 60 ms, ten of which are a chunk: the server counts messages, not samples
MAX_TEXT_CHARACTERS = 20_000


class _Result(msgspec.Struct):
    text: str
    mode: str = ""
    is_final: bool | None = None


_result = msgspec.json.Decoder(_Result)


class FunAsr:
    """An ``AsrProtocol``; another connection for every utterance, since servers do not forget the one before."""

    one_utterance = True
    prepared_on_connect = True

    def __init__(self) -> None:
        self._segments = ""  # corrected
        self._online = ""  # of the segment that is not corrected yet
        self._rest = b""
        self._ended = False
        self._tells_the_end = False  # by is_final: one of its results before our end had it false

    def connected(self) -> list[Frame]:
        return []  # the server has no word of its own for it

    def receive(self, frame: Frame) -> list[AsrEvent]:
        if not isinstance(frame, str) or len(frame) > MAX_FRAME_CHARACTERS:
            return [Failed(SessionFault.GARBAGE)]
        try:
            result = _result.decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [Failed(SessionFault.GARBAGE)]
        if result.mode.endswith("offline"):
            self._segments = join_words(self._segments, result.text or self._online)
            self._online = ""
        elif result.mode.endswith("online"):
            self._online = join_words(self._online, result.text)
        words = join_words(self._segments, self._online)
        if len(words) > MAX_TEXT_CHARACTERS:
            return [Failed(SessionFault.GARBAGE)]
        return [Final(words) if self._is_last(result) else Partial(words)]

    def begin(self) -> list[Frame]:
        return [
            write(
                {
                    "mode": "2pass",
                    "wav_name": "call",
                    "wav_format": "pcm",
                    "audio_fs": 16_000,
                    "chunk_size": list(CHUNK_SIZE),
                    "chunk_interval": 10,
                    "itn": True,
                    "is_speaking": True,
                }
            )
        ]

    def audio(self, pcm: Pcm) -> list[Frame]:
        octets = self._rest + pcm.astype("<i2").tobytes()
        whole = len(octets) - len(octets) % (2 * PIECE_SAMPLES)
        self._rest = octets[whole:]
        return [octets[at : at + 2 * PIECE_SAMPLES] for at in range(0, whole, 2 * PIECE_SAMPLES)]

    def finish(self) -> list[Frame]:
        self._ended = True
        # Filled up with silence: the server in Python counts back by the length of the piece that it has at hand.
        rest, self._rest = self._rest.ljust(2 * PIECE_SAMPLES, b"\0") if self._rest else b"", b""
        return [*([rest] if rest else []), write({"is_speaking": False})]

    def _is_last(self, result: _Result) -> bool:
        if not self._ended:
            self._tells_the_end = self._tells_the_end or result.is_final is False
            return False
        if self._tells_the_end:
            return result.is_final is True
        return not result.mode.endswith("online")


def join_words(one: str, other: str) -> str:
    """A blank between them where both sides are written with blanks: Chinese is not."""
    if one and other and one[-1].isascii() and other[0].isascii() and not (one[-1].isspace() or other[0].isspace()):
        return f"{one} {other}"
    return one + other

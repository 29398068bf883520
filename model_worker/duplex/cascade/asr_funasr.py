"""Paraformer behind FunASR's WebSocket server (``runtime/docs/websocket_protocol.md``): streaming, then corrected.

``2pass-online`` are the words as they come, piece by piece; ``2pass-offline`` the corrected words of a whole segment,
in place of those. The published servers differ in ``is_final`` (the one in Python sends the opposite), so what tells
the end is the corrected text that follows our own end.
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
    mode: str
    text: str


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
            self._segments = join_words(self._segments, result.text)
            self._online = ""
        elif result.mode.endswith("online"):
            self._online = join_words(self._online, result.text)
        words = join_words(self._segments, self._online)
        if len(words) > MAX_TEXT_CHARACTERS:
            return [Failed(SessionFault.GARBAGE)]
        if self._ended and result.mode.endswith("offline"):
            return [Final(words)]
        return [Partial(words)]

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
        rest, self._rest = self._rest, b""
        return [*([rest] if rest else []), write({"is_speaking": False})]


def join_words(one: str, other: str) -> str:
    """A blank between them where both sides are written with blanks: Chinese is not."""
    if one and other and one[-1].isascii() and other[0].isascii() and not (one[-1].isspace() or other[0].isspace()):
        return f"{one} {other}"
    return one + other

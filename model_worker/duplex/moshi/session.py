"""One call's session on a Moshi server: a stream of sound in, one of the same length out, words beside it.

The model decides in every 80 ms whether it speaks, and hears the caller all the while; nothing in the protocol says
where a turn begins or ends, so its sound does (``SpeechGate``). It cannot be told to stop either: after an
interruption its output is held back until it falls silent, which it does because it hears the caller.

As much comes back as was sent, so the difference is how far the server is behind. One that falls behind would stay so
for the rest of the call; pauses of the caller are then left out until it has caught up.
"""

from collections import deque

import numpy as np

from model_worker.duplex.moshi.messages import GarbageError, Kind, read, read_version, write_audio
from model_worker.duplex.moshi.voice import RATE_HZ, VoiceIn, VoiceOut
from model_worker.duplex.remote.effects import (
    Broken,
    Effect,
    Frame,
    Ready,
    Send,
    SessionFault,
    Sound,
    Words,
)
from model_worker.duplex.remote.speech_gate import SpeechGate
from model_worker.seams import Pcm
from wire.audio.ogg_opus import OggError

# -50 dBFS: above the hiss that a neural codec may make of silence, below any voice. A limit too low would make a turn
# that never ends, one too high costs the breath before a word; not measured with the weights.
LOUD_RMS = 0.003
QUIET_RMS = 0.005  # of the caller's sound, full scale: below is a pause on all but the worst lines
BEHIND_S = 3.0  # a session that took a while to begin is caught up with in as much; more would be felt for long
FAR_BEHIND_S = 8.0  # a talker who does not pause: what is heard so late is answered to nobody
STALLED_S = 25.0  # more than a new session is given at once, which is 15 s of before and what it took to begin
MAX_WAITING_WORDS = 1_000


class MoshiSession:
    """A ``ServerSession``."""

    def __init__(self) -> None:
        """Raises OpusMissingError."""
        self._out = VoiceOut()
        self._in = VoiceIn()
        self._gate = SpeechGate(RATE_HZ, LOUD_RMS)
        self._effects: deque[Effect] = deque()
        self._ready = False
        self._over = False
        self._behind_s = 0.0
        """Sound that was sent, and did not come back."""
        self._unheard_s = 0.0
        """Of the caller, since the server sent sound last."""
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING_WORDS)
        """Words whose sound did not come yet."""

    def connected(self) -> None:
        """The server begins: it says when it is ready."""

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            if (message := read(frame)) is not None:
                self._take(*message)
        except (GarbageError, OggError) as error:
            self._break(SessionFault.GARBAGE, str(error))

    def hear(self, pcm: Pcm) -> None:
        if self._over:
            return
        seconds = len(pcm) / RATE_HZ
        self._unheard_s += seconds
        if self._unheard_s > STALLED_S:
            self._break(SessionFault.LOST, "no sound comes any more")
            return
        if self._behind_s > FAR_BEHIND_S or (self._behind_s > BEHIND_S and _is_quiet(pcm)):
            return
        self._behind_s += seconds
        self._effects.append(Send(write_audio(self._out.write(pcm))))

    def played(self, heard_s: float) -> None:
        """A Moshi server cannot be told; its stream is played as it comes."""

    def interrupt(self, heard_s: float) -> None:
        self._gate.mute()
        self._waiting.clear()

    def press(self, keys: str) -> None:
        """There is no way to tell the model; a telephone's tones are taken out of the sound."""

    def say(self, text: str) -> None:
        """There is no way to make it say given words: the capabilities say so."""

    def end(self) -> None:
        """The protocol has no word for it: the connection is closed."""

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _take(self, kind: Kind, content: bytes) -> None:
        match kind:
            case Kind.HANDSHAKE:
                if version := read_version(content):
                    raise GarbageError(f"version {version} of the protocol, expected 0")
                if not self._ready:
                    self._ready = True
                    self._effects.append(Ready())
            case Kind.AUDIO:
                self._take_sound(self._in.read(content))
            case Kind.TEXT:
                self._take_words(content)
            case Kind.ERROR:
                self._break(SessionFault.SERVER_ERROR, "the server says that it failed")

    def _take_sound(self, pcm: Pcm) -> None:
        self._unheard_s = 0.0
        self._behind_s = max(0.0, self._behind_s - len(pcm) / RATE_HZ)
        for event in self._gate.push(pcm):
            self._effects.append(event)
            if isinstance(event, Sound):
                self._tell_words()

    def _take_words(self, content: bytes) -> None:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise GarbageError("text that is not UTF-8") from None
        if text and not self._gate.muted:
            self._waiting.append(text)
            if self._gate.speaking:
                self._tell_words()

    def _tell_words(self) -> None:
        self._effects.extend(map(Words, self._waiting))
        self._waiting.clear()

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))


def _is_quiet(pcm: Pcm) -> bool:
    return bool(np.sqrt(np.mean(np.square(pcm, dtype=np.float32))) < QUIET_RMS * 32_768)

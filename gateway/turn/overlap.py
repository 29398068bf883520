"""Listen to the caller while the agent is audible, and say what the agent's voice has to do about it.

Runs only then, on the 20 ms frames of phone audio. WebRTC's VAD sees speech within one or two
frames (facts measured on µ-law: onset 16 ms median in quiet, 46 ms at 5 dB), but also in clicks
and coughs: its word is enough to lower the voice, not to end a turn. Who decides is told in
``turn.floor``; here are the ears, and the lengths that the rules speak of. All of it is in the
caller's media time, so that the same audio has the same effect however it is delivered.
"""

from collections import deque
from collections.abc import Iterator

import webrtcvad

from gateway.turn.floor import FloorAction, FloorEvent, FloorMachine, FloorState
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, quiet_codes
from wire.messages import Floor, OverlapRules

FRAME_MS = 20
AGGRESSIVENESS = 3  # WebRTC's mode: errs on the side of not hearing line noise

_FRAME_S = FRAME_MS / 1_000
# Slow speakers pause for longer than an overlap needs to be over, and who was not heard tries again: what was said
# this shortly before counts as well. A "mhm" every second does not add up.
_AGAIN_S = 0.8


class OverlapWatch:
    """The caller's sound over one agent's voice, and where the floor is."""

    def __init__(self, codec: Codec, rules: OverlapRules) -> None:
        self.onset_s = 0.0
        """Media time of the caller at which the overlap began that is under way, or the last one."""
        self._frame_bytes = codec.sample_rate_hz * codec.bytes_per_sample * FRAME_MS // 1_000
        self._is_speech = SpeechFrames(codec, AGGRESSIVENESS).is_speech
        self._floor = FloorMachine()
        self._window: deque[bool] = deque()
        self._pending = b""
        self._voiced = 0  # frames of speech in the window
        self._spoken_frames = 0  # of this overlap, and of one shortly before
        self._quiet_frames = 0  # since the last of them
        self._age_frames = 0  # since its onset
        self._judged = False
        self.follow(rules)

    def follow(self, rules: OverlapRules) -> None:
        """Take other rules from now on."""
        self.rules = rules
        self._window = deque(self._window, maxlen=rules.trigger_window)
        self._voiced = sum(self._window)

    @property
    def state(self) -> FloorState:
        return self._floor.state

    @property
    def undecided(self) -> bool:
        """True while it is open whose turn it is."""
        return self._floor.undecided

    @property
    def overlap_s(self) -> float:
        """How long ago the overlap began whose outcome is open; 0 when none is."""
        return self._age_frames * _FRAME_S if self._floor.undecided else 0.0

    @property
    def wanted_bytes(self) -> int:
        """What is worth a wake-up: a frame while speech may be beginning, else two (on average 10 ms later)."""
        one = self._voiced or self._floor.state is not FloorState.CLEAR
        return self._frame_bytes * (1 if one else 2) - len(self._pending)

    def push(self, audio: bytes | bytearray, ends_at_s: float) -> Iterator[FloorAction]:
        """Feed audio that ends at ``ends_at_s`` of the caller's media time; what the voice has to do, in order.

        Leave the iterator once the turn is over: what follows is not looked at.
        """
        heard = self._pending + audio
        size = self._frame_bytes
        whole = len(heard) // size * size
        self._pending = heard[whole:]
        frame_ends_at_s = ends_at_s - (len(heard) / size - 1) * _FRAME_S
        for at in range(0, whole, size):
            action = self._take(self._is_speech(heard[at : at + size]), frame_ends_at_s)
            frame_ends_at_s += _FRAME_S
            if action is not FloorAction.NOTHING:
                yield action

    def judge(self, floor: Floor) -> FloorAction:
        """The engine says what the overlap under way was."""
        self._judged = True
        if floor is Floor.KEEP:
            self._spoken_frames = 0  # it does not count again
        return self._floor.apply(FloorEvent.YIELD if floor is Floor.YIELD else FloorEvent.KEEP)

    def reset(self) -> None:
        """Forget what was heard: a turn begins, or nothing is audible any more."""
        self._floor.reset()
        self._window.clear()
        self._voiced = 0
        self._pending = b""
        self._age_frames = self._spoken_frames = self._quiet_frames = 0

    @property
    def _judge_awaited(self) -> bool:
        waited_s = self._age_frames * _FRAME_S
        return self.rules.model_judges and not self._judged and waited_s < self.rules.judged_within_s

    def _take(self, speech: bool, ends_at_s: float) -> FloorAction:
        if len(self._window) == self._window.maxlen:
            self._voiced -= self._window[0]
        self._window.append(speech)
        self._voiced += speech
        state = self._floor.state
        self._quiet_frames = 0 if speech else self._quiet_frames + 1
        if state is FloorState.CLEAR:
            return self._begin(ends_at_s) if self._voiced >= self.rules.trigger_frames else self._rest()
        self._age_frames += 1
        self._spoken_frames += speech
        if state is FloorState.REGAINED:
            if self._voiced >= self.rules.trigger_frames:
                return self._floor.apply(FloorEvent.ONSET)
            return FloorAction.NOTHING if self._judge_awaited else self._floor.apply(FloorEvent.OVERDUE)
        return self._measure(speech)

    def _begin(self, ends_at_s: float) -> FloorAction:
        voiced = list(self._window)
        ago = len(voiced) - voiced.index(True)
        self.onset_s = ends_at_s - ago * _FRAME_S
        self._age_frames = ago
        self._spoken_frames += self._voiced
        self._judged = False
        return self._floor.apply(FloorEvent.ONSET)

    def _rest(self) -> FloorAction:
        if self._quiet_frames * _FRAME_S > self.rules.over_after_s + _AGAIN_S:
            self._spoken_frames = 0
        return FloorAction.NOTHING

    def _measure(self, speech: bool) -> FloorAction:
        """What the lengths say: of the quiet always, of the speech when no engine is waited for."""
        rules, awaited = self.rules, self._judge_awaited
        if not speech:
            over = self._quiet_frames * _FRAME_S >= rules.over_after_s - 1e-9
            return self._floor.apply(FloorEvent.OVER, judge_awaited=awaited) if over else FloorAction.NOTHING
        if awaited:
            return FloorAction.NOTHING
        spoken_s = self._spoken_frames * _FRAME_S + 1e-9
        if self._floor.state is FloorState.HELD:
            return self._floor.apply(FloorEvent.SURE) if spoken_s >= rules.sure_after_s else FloorAction.NOTHING
        return self._floor.apply(FloorEvent.LONG) if spoken_s >= rules.stop_after_s else FloorAction.NOTHING


class SpeechFrames:
    """Tells speech from other sound, frame by frame of 20 ms. One after the other: the detector adapts to the line."""

    def __init__(self, codec: Codec, aggressiveness: int) -> None:
        self._codec = codec
        self._quiet = quiet_codes(codec)
        self._vad = webrtcvad.Vad(aggressiveness)

    def is_speech(self, frame: bytes) -> bool:
        """Judge the next frame."""
        if self._quiet and len(frame.translate(None, self._quiet)) * 10 < len(frame):
            return False  # nine samples in ten below -42 dBFS: one pass in C spares the decoder and the VAD
        return bool(self._vad.is_speech(decode(self._codec, frame).tobytes(), self._codec.sample_rate_hz))

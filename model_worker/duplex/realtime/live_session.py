"""One call's session on a server of OpenAI's Live API: one stream in, one stream out, silence included.

The model itself decides in every moment whether it speaks, and nothing in the protocol says that a turn begins or
ends, was interrupted, or has been heard. Turns are cut out of the stream by its sound (``SpeechGate``), as our side
needs them; of an interruption the model learns by the caller's voice, as a person does, and by a note of ours. A
server's buffer cannot be cleared: what still comes of an interrupted turn is held back until the model is silent.
"""

from collections import deque
from typing import Any

from model_worker.dialog.brief import Mode
from model_worker.duplex.realtime import live_messages as m
from model_worker.duplex.realtime.faults import fatal
from model_worker.duplex.remote import prompts
from model_worker.duplex.remote.effects import (
    Broken,
    Do,
    Effect,
    Frame,
    Heard,
    Ready,
    Send,
    SessionFault,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.json_frames import GarbageError, sound_of, write
from model_worker.duplex.remote.seam import Opening
from model_worker.duplex.remote.speech_gate import SpeechGate
from model_worker.duplex.remote.tools import ACCEPTED, FunctionCall, NoSuchToolError, meaning, refusal
from model_worker.seams import Action, Pcm, SoundHeard, Translated
from wire.audio import g711
from wire.audio.codecs import Codec

UTTERANCE_S = 1.0  # of no further words: the caller's are final
UNSPOKEN_S = 4.0  # a model that says nothing about what it wants done will not; then it is done without a word
MAX_WAITING_WORDS = 1_000
_REASONS = {
    "expired": SessionFault.EXPIRED,
    "content": SessionFault.REFUSED,
}


class LiveSession:
    """A ``ServerSession``. Audio crosses in ``codec``; ``tool_model`` calls the line's functions."""

    def __init__(self, opening: Opening, codec: Codec, model: str = "", tool_model: str = "") -> None:
        self._opening = opening
        self._brief = opening.brief
        self._codec = codec
        self._model = model
        self._tool_model = tool_model
        self._gate = SpeechGate(codec.sample_rate_hz)
        self._effects: deque[Effect] = deque()
        self._ready = False
        self._over = False
        self._sent = 0
        self._waiting: deque[m.OutputTranscript] = deque(maxlen=MAX_WAITING_WORDS)
        """Words whose sound did not come yet."""
        self._fence_ms = 0.0
        """Words of before are of a turn that was interrupted."""
        self._said = ""
        self._caller: list[m.InputTranscript] = []
        self._actions: list[Action] = []
        self._act_at_ms = 0.0

    def connected(self) -> None:
        self._send(m.start(self._opening, self._codec, self._model, self._tool_model))

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self._take(m.EVENTS.read(frame))
        except GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))

    def hear(self, pcm: Pcm) -> None:
        self._send(m.append(g711.encode(self._codec, pcm)))

    def played(self, heard_s: float) -> None:
        """A Live session cannot be told; the stream is played as it comes."""

    def interrupt(self, heard_s: float) -> None:
        self._gate.mute()
        self._waiting.clear()
        self._said = ""
        self._actions.clear()
        self._fence_ms = self._stream_ms
        self._send(m.silent(prompts.cut_short(heard_s)))

    def press(self, keys: str) -> None:
        self._send(m.instruct(prompts.keys_pressed(keys)))

    def say(self, text: str) -> None:
        self._send(m.speakable(text))

    def end(self) -> None:
        if self._ready:
            self._send(m.close())

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    @property
    def _stream_ms(self) -> float:
        return self._gate.passed_samples * 1_000 / self._codec.sample_rate_hz

    def _take(self, event: object) -> None:
        match event:
            case m.Started() if not self._ready:
                self._begin()
            case m.AudioDelta(delta=octets):
                self._take_sound(sound_of(octets, self._codec))
            case m.OutputTranscript():
                self._take_words(event)
            case m.InputTranscript():
                self._caller.append(event)
            case m.DelegationCreated(m.Delegation(id=delegation_id, target="client")):
                self._send(m.speakable(prompts.NO_HELP, delegation_id))
            case m.ResponseEvent(event=nested):
                self._take_helper(nested)
            case m.Closed(reason):
                self._break(_REASONS.get(reason, SessionFault.LOST), "the server closed the session")
            case m.Error(error):
                self._take_error(error)

    def _begin(self) -> None:
        self._ready = True
        if self._brief.greeting and not self._opening.said and self._brief.mode in (Mode.DIALOG, Mode.TRANSLATION):
            self._send(m.speakable(prompts.exactly(self._brief.greeting)))
        self._effects.append(Ready())

    def _take_sound(self, pcm: Pcm) -> None:
        was_speaking, was_muted = self._gate.speaking, self._gate.muted
        for event in self._gate.push(pcm):
            if isinstance(event, TurnOver):
                self._end_turn()
                was_speaking = False
                continue
            if not was_speaking:
                self._tell_caller_words()
                was_speaking = True
            self._tell_words()
            self._effects.append(event)
        if was_muted and not self._gate.muted:
            self._fence_ms = self._stream_ms
        if self._caller and self._stream_ms > self._caller[-1].end_ms + UTTERANCE_S * 1_000:
            self._tell_caller_words()
        if self._actions and not self._gate.speaking and self._stream_ms > self._act_at_ms:
            self._act()

    def _take_words(self, words: m.OutputTranscript) -> None:
        """They come a little before their sound or after it; those of a turn that ended stand before the next."""
        if self._gate.muted or words.end_ms <= self._fence_ms:
            return
        self._waiting.append(words)
        if self._gate.speaking:
            self._tell_words()

    def _tell_words(self) -> None:
        while self._waiting:
            text = self._waiting.popleft().delta
            self._said += text
            self._effects.append(Words(text))

    def _tell_caller_words(self) -> None:
        text = "".join(words.delta for words in self._caller).strip()
        self._caller.clear()
        if text:
            self._effects.append(Heard(text))

    def _end_turn(self) -> None:
        said, self._said = self._said.strip(), ""
        if said and self._brief.mode is Mode.TRANSLATION:
            self._effects.append(Translated(said, self._brief.into or ""))
        self._act()
        self._effects.append(TurnOver())

    def _act(self) -> None:
        self._effects.extend(Do(action) for action in self._actions)
        self._actions.clear()

    def _take_helper(self, event: m.NestedEvent) -> None:
        """What the model that has the functions wants; its words go to the Live model without us."""
        if event.type != "response.output_item.done":
            return
        match event.item:
            case m.Item("function_call", str(name), str(call_id), arguments):
                self._call(FunctionCall(call_id, name, arguments or ""))

    def _call(self, call: FunctionCall) -> None:
        try:
            meant = meaning(call, self._brief)
        except NoSuchToolError as error:
            self._send(m.function_output(call.call_id, refusal(error)))
        else:
            self._send(m.function_output(call.call_id, ACCEPTED))
            if isinstance(meant, SoundHeard):
                self._effects.append(meant)
            else:
                self._actions = [meant]
                self._act_at_ms = self._stream_ms + UNSPOKEN_S * 1_000
        self._send(m.go_on())

    def _take_error(self, error: m.ErrorDetails) -> None:
        if (fault := fatal(error.type, error.code)) is not None:
            self._break(fault, "an error of the server that ends the session")
        elif not self._ready:
            self._break(SessionFault.REFUSED, "the server does not take the session's settings")
        elif error.type == "server_error":
            self._break(SessionFault.SERVER_ERROR, "the server says that it failed")
        # Whatever else it is, it was one event of ours: a delegation that is over, a note that is too long.

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))

    def _send(self, event: dict[str, Any]) -> None:
        self._sent += 1
        self._effects.append(Send(write({"event_id": f"event_{self._sent}", **event})))

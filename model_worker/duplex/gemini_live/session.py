"""One call's session on a Gemini Live server.

The server finds where the caller's turns end and answers by itself. Its turns have no ids, and it makes one at a time:
after an interruption everything is passed over until it says that the turn at hand was interrupted or is complete.
"""

from collections import deque

import numpy as np

from model_worker.dialog.brief import Mode
from model_worker.duplex.gemini_live import messages as m
from model_worker.duplex.gemini_live.ear import Ear, Playback
from model_worker.duplex.remote import prompts
from model_worker.duplex.remote.effects import (
    Broken,
    Do,
    Effect,
    Expiring,
    Frame,
    Heard,
    Ready,
    Resumable,
    Send,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.seam import Opening
from model_worker.duplex.remote.tools import ACCEPTED, FunctionCall, NoSuchToolError, meaning, refusal
from model_worker.seams import Action, Pcm, SoundHeard, Translated
from wire.audio.codecs import Codec

KEYS_AFTER_S = 1.2  # of no further key: a number has been typed
UTTERANCE_S = 1.5  # of no further words: the caller's are final, where the server does not say so
UNSPOKEN_S = 5.0  # what a model does not begin to say within this, asked for it or not, it will not say
MAX_CALLS = 8  # of functions at once; more is no plan of what to do
MAX_TEXT = 10_000  # characters of one turn
MAX_HANDLE = 8_192


class GeminiSession:
    """A ``ServerSession``; ``model`` as the server names it."""

    def __init__(self, opening: Opening, model: str) -> None:
        self._opening = opening
        self._brief = opening.brief
        self._model = model
        self._effects: deque[Effect] = deque()
        self._ear = Ear(Codec.L16_16K)
        self._playback = Playback()
        self._ready = False
        self._over = False
        self._heard_s = 0.0
        self._at_work = False
        """The server is in a turn of its own."""
        self._all_sent = False
        """Of that turn nothing more comes."""
        self._fenced = False
        """That turn was interrupted: what still comes of it is passed over."""
        self._speaking = False
        """Sound of it was told, and not its end."""
        self._waiting = ""
        """Its words, before its sound."""
        self._said = ""
        self._wanted: deque[str] = deque()
        """To be said by the model when its turn is over: a greeting, an operator's words, a goodbye."""
        self._caller = ""
        self._caller_at_s = 0.0
        self._keys = ""
        self._keys_at_s = 0.0
        self._actions: dict[str, Action] = {}
        """By the ids of the calls that want them."""
        self._act_at_s = 0.0
        self._parted = False
        """It was asked for a goodbye."""
        self._ask_from_s = 0.0
        """What was asked for is waited for until then."""

    @property
    def _speaks(self) -> bool:
        return self._brief.mode in (Mode.DIALOG, Mode.TRANSLATION)

    def connected(self) -> None:
        self._send(m.setup(self._model, self._brief, self._opening.said, self._opening.resume))

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self._take(m.read(frame))
        except m.GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))
        self._ask()

    def hear(self, pcm: Pcm) -> None:
        if self._over:
            return
        self._heard_s += len(pcm) / m.INPUT_RATE_HZ
        audible = self._playback.audible()
        hold = audible and self._brief.mode is Mode.DIALOG
        self._send(m.audio(self._ear.hear(pcm, hold=hold).tobytes()))
        if self._all_sent and self._speaking and self._playback.over:
            self._end_turn()
        if self._caller and self._heard_s - self._caller_at_s > UTTERANCE_S:
            self._tell_caller()
        if self._keys and self._heard_s - self._keys_at_s >= KEYS_AFTER_S:
            self._tell_keys()
        if self._actions and not self._speaking and self._heard_s > self._act_at_s:
            self._act()
        self._ask()

    def played(self, heard_s: float) -> None:
        self._playback.played(heard_s)

    def interrupt(self, heard_s: float) -> None:
        self._fenced = self._at_work
        self._ask_from_s = 0.0
        self._speaking = False
        self._waiting = self._said = ""
        self._actions.clear()
        self._playback.drop()
        if len(held := self._ear.release()):
            self._send(m.audio(held.tobytes()))

    def press(self, keys: str) -> None:
        self._keys += keys
        self._keys_at_s = self._heard_s
        if self._keys.endswith("#"):
            self._tell_keys()
            self._ask()

    def say(self, text: str) -> None:
        self._wanted.append(prompts.exactly(text))
        self._ask()

    def end(self) -> None:
        """The protocol has no word for it: the connection is closed."""

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _take(self, message: m.ServerMessage) -> None:
        if message.setup_complete is not None and not self._ready:
            self._begin()
        if message.server_content is not None:
            self._take_content(message.server_content)
        if message.tool_call is not None:
            self._take_calls(message.tool_call.function_calls)
        if message.tool_call_cancellation is not None:
            for call_id in message.tool_call_cancellation.ids:
                self._actions.pop(call_id, None)
        update = message.session_resumption_update
        if update is not None and update.resumable and 0 < len(update.new_handle) <= MAX_HANDLE:
            self._effects.append(Resumable(update.new_handle))
        if message.go_away is not None:
            self._effects.append(Expiring(message.go_away.left_s))
        if message.error is not None:
            self._break(message.error.fault, "the server says that something failed")

    def _begin(self) -> None:
        self._ready = True
        fresh = not (self._opening.said or self._opening.resume)
        if self._brief.greeting and fresh and self._speaks:
            self._wanted.appendleft(prompts.exactly(self._brief.greeting))
        self._effects.append(Ready())

    def _take_content(self, content: m.ServerContent) -> None:
        if content.input_transcription is not None:
            self._take_caller(content.input_transcription)
        if content.model_turn is not None:
            self._take_turn(content.model_turn)
        if content.output_transcription is not None:
            self._take_words(content.output_transcription.text)
        if content.generation_complete:
            self._all_sent = self._at_work
        if content.interrupted:
            self._finish(cut=True)
        if content.turn_complete:
            self._finish(cut=False)

    def _take_turn(self, turn: m.Content) -> None:
        self._begin_work()
        for part in turn.parts:
            if part.inline_data is None or not self._speaks:
                continue
            pcm = np.frombuffer(m.sound_of(part.inline_data), np.int16)
            if self._fenced or len(pcm) == 0:
                continue
            if not self._speaking:
                self._tell_caller()
            self._playback.add(len(pcm) / m.OUTPUT_RATE_HZ, new_turn=not self._speaking)
            self._speaking = True
            self._effects.append(Sound(pcm))
            self._take_words("")

    def _begin_work(self) -> None:
        self._at_work = True
        self._ask_from_s = 0.0

    def _take_words(self, text: str) -> None:
        """They may come before the first sound of their turn."""
        if self._fenced or len(self._said) + len(self._waiting) + len(text) > MAX_TEXT:
            return
        self._waiting += text
        if self._speaking and self._waiting:
            self._said += self._waiting
            self._effects.append(Words(self._waiting))
            self._waiting = ""

    def _finish(self, *, cut: bool) -> None:
        """The server is done with its turn, because it heard the caller if ``cut``."""
        self._at_work = self._all_sent = self._fenced = False
        self._waiting = ""
        self._ask_from_s = 0.0
        if self._speaking:
            self._end_turn(cut=cut)
        elif self._actions and not cut and not self._parted:
            # Nobody is put through or cut off without a word.
            self._parted = True
            self._wanted.append(prompts.PARTING)
            self._act_at_s = self._heard_s + UNSPOKEN_S

    def _end_turn(self, *, cut: bool = False) -> None:
        said, self._said = self._said.strip(), ""
        self._speaking = self._parted = False
        if said and self._brief.mode is Mode.TRANSLATION:
            self._effects.append(Translated(said, self._brief.into or ""))
        if not cut:
            self._act()
        self._effects.append(TurnOver(cut=cut))

    def _take_caller(self, transcription: m.Transcription) -> None:
        self._caller = (self._caller + transcription.text)[:MAX_TEXT]
        self._caller_at_s = self._heard_s
        if transcription.finished:
            self._tell_caller()

    def _tell_caller(self) -> None:
        text, self._caller = self._caller.strip(), ""
        if text:
            self._effects.append(Heard(text))

    def _take_calls(self, calls: list[m.FunctionCall]) -> None:
        if len(calls) > MAX_CALLS:
            raise m.GarbageError(f"more than {MAX_CALLS} function calls at once")
        self._begin_work()
        for call in calls:
            try:
                meant = meaning(
                    FunctionCall(call.id, call.name, bytes(call.args).decode(errors="replace")), self._brief
                )
            except NoSuchToolError as error:
                self._send(m.function_response(call, refusal(error).encode()))
                continue
            assert not isinstance(meant, SoundHeard), "its function is not among those of these modes"
            self._send(m.function_response(call, ACCEPTED.encode()))
            if not self._fenced:
                self._actions[call.id] = meant
                self._act_at_s = self._heard_s + UNSPOKEN_S

    def _act(self) -> None:
        self._effects.extend(Do(action) for action in self._actions.values())
        self._actions.clear()

    def _tell_keys(self) -> None:
        keys, self._keys = self._keys, ""
        self._wanted.append(prompts.keys_pressed(keys))

    def _ask(self) -> None:
        """Words count as speech of the caller: a turn that the server is in would be interrupted by them."""
        free = not self._at_work and self._heard_s >= self._ask_from_s
        if self._ready and not self._over and free and self._wanted:
            self._send(m.text(self._wanted.popleft()))
            self._ask_from_s = self._heard_s + UNSPOKEN_S

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))

    def _send(self, message: str) -> None:
        self._effects.append(Send(message))

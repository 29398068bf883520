"""One call's session on a server of OpenAI's Realtime API (GA).

The server finds the pauses of the caller (``server_vad``) and does nothing more by itself: ``create_response`` and
``interrupt_response`` are off. Who yields to whom is decided at the gateway, who hears both sides at one place; so an
answer is asked for here when the caller paused and nothing plays, and what was said into a turn that went on, a "yes"
or a "mhm", joins the conversation without an answer. It costs one way to the server and back.
"""

from collections import deque
from typing import Any

from model_worker.dialog.brief import Mode
from model_worker.duplex.realtime import messages as m
from model_worker.duplex.realtime.faults import fatal
from model_worker.duplex.realtime.replies import Replies, Reply, Wish
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
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.json_frames import GarbageError, sound_of, write
from model_worker.duplex.remote.seam import Opening
from model_worker.duplex.remote.tools import (
    ACCEPTED,
    FunctionCall,
    NoSuchToolError,
    meaning,
    refusal,
)
from model_worker.seams import Action, Pcm, SoundHeard, Translated
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.messages import Voice

KEYS_AFTER_S = 1.2  # of no further key: a number has been typed
MAX_CALLS = 8  # of functions in one answer; more is no plan of what to do
MAX_ATTEMPTS = 2  # at one answer that the server fails to make


class RealtimeSession:
    """A ``ServerSession``. Audio crosses in ``codec``; ``transcriber`` writes down what the caller says."""

    def __init__(self, opening: Opening, codec: Codec, transcriber: str = "") -> None:
        self._opening = opening
        self._brief = opening.brief
        self._codec = codec
        self._transcriber = transcriber
        self._effects: deque[Effect] = deque()
        self._replies = Replies()
        self._ready = False
        self._over = False
        self._sent = 0
        self._heard_s = 0.0
        self._owed = False
        """The caller said something into a turn, and it has no answer."""
        self._keys = ""
        self._keys_at_s = 0.0

    def connected(self) -> None:
        self._send(m.session_update(self._brief, self._codec, self._transcriber))

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self._take(m.EVENTS.read(frame))
        except GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))
        self._ask()

    def hear(self, pcm: Pcm) -> None:
        if self._over:
            return
        self._heard_s += len(pcm) / self._codec.sample_rate_hz
        self._replies.pass_time(self._heard_s)
        if self._replies.stalled(self._heard_s):
            self._break(SessionFault.SERVER_ERROR, "the server does not go on with an answer")
            return
        if not self._replies.speaking and self._brief.mode is Mode.DIALOG:
            self._owed = False  # it was said into a turn that went on to its end: it needed no answer
        self._send(m.append(g711.encode(self._codec, pcm)))
        if self._keys and self._heard_s - self._keys_at_s >= KEYS_AFTER_S:
            self._tell_keys()
        self._ask()

    def played(self, heard_s: float) -> None:
        self._replies.played(heard_s)

    def interrupt(self, heard_s: float) -> None:
        self._replies.played(heard_s)
        at_work = self._replies.at_work
        if at_work is not None and self._replies.of(at_work) is not None:
            self._send(m.cancel(at_work))
        for number, reply in enumerate(self._replies.drop()):
            known_s = min(reply.heard_s, reply.seconds) if number == 0 else 0.0
            self._send(m.truncate(reply.item_id, int(known_s * 1_000)))
        if self._owed:
            self._wish()
        self._ask()

    def press(self, keys: str) -> None:
        self._keys += keys
        self._keys_at_s = self._heard_s
        if self._keys.endswith("#"):
            self._tell_keys()
            self._ask()

    def say(self, text: str) -> None:
        self._replies.wished.append(Wish(prompts.exactly(text), tools=False))
        self._ask()

    def end(self) -> None:
        """The protocol has no word for it: the connection is closed."""

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _take(self, event: object) -> None:
        match event:
            case m.SessionUpdated():
                self._begin()
            case m.SpeechStarted():
                if (unsaid := self._replies.drop_unsaid()) is not None:
                    self._send(m.cancel(unsaid))
            case m.Committed():
                self._answer_pause()
            case m.Transcribed(transcript) if transcript.strip():
                self._effects.append(Heard(transcript.strip()))
            case m.ResponseCreated(response):
                self._begin_reply(response.id)
            case m.AudioDelta() | m.TranscriptDelta() | m.ItemDone():
                self._replies.progress(self._heard_s)
                if (reply := self._replies.of(event.response_id)) is not None:
                    self._add(reply, event)
            case m.ResponseDone(response):
                self._end_reply(response)
            case m.Error(error):
                self._take_error(error)

    def _begin(self) -> None:
        if self._ready:
            return
        self._ready = True
        for line in self._opening.said:
            self._send(m.message(line.voice, line.text))
        if self._brief.greeting and not self._opening.said and self._speaks:
            self._replies.wished.appendleft(Wish(prompts.exactly(self._brief.greeting), tools=False))
        self._effects.append(Ready())

    @property
    def _speaks(self) -> bool:
        return self._brief.mode in (Mode.DIALOG, Mode.TRANSLATION)

    def _answer_pause(self) -> None:
        match self._brief.mode:
            case Mode.TRANSCRIPTION:
                return
            case Mode.DIALOG if self._replies.speaking:
                self._owed = True
            case _:
                self._wish()

    def _wish(self) -> None:
        """Have an answer to what was said last; one for all that was said."""
        self._owed = False
        if not any(wish.is_answer for wish in self._replies.wished):
            self._replies.wished.append(Wish())

    def _ask(self) -> None:
        if self._ready and not self._over and self._replies.due:
            wish = self._replies.wished.popleft()
            self._replies.ask(self._send(m.create(wish.told, tools=wish.tools)), wish)
            self._replies.progress(self._heard_s)

    def _begin_reply(self, response_id: str) -> None:
        self._replies.progress(self._heard_s)
        if self._replies.begin(response_id) is None:
            self._send(m.cancel(response_id))

    def _add(self, reply: Reply, event: m.AudioDelta | m.TranscriptDelta | m.ItemDone) -> None:
        match event:
            case m.AudioDelta(item_id=item_id, delta=octets):
                pcm = sound_of(octets, self._codec)
                if len(pcm) and self._speaks:
                    self._replies.sound(reply, item_id, len(pcm) / self._codec.sample_rate_hz)
                    self._effects.append(Sound(pcm))
            case m.TranscriptDelta(delta=text):
                reply.text += text
                if self._speaks:
                    self._effects.append(Words(text))
            case m.ItemDone(item=m.Item("function_call", str(name), str(call_id), arguments)):
                if len(reply.calls) >= MAX_CALLS:
                    raise GarbageError(f"an answer with more than {MAX_CALLS} function calls")
                reply.calls.append(FunctionCall(call_id, name, arguments or ""))

    def _end_reply(self, response: m.Response) -> None:
        reply = self._replies.end(response.id, self._heard_s)
        if reply is None:
            return
        spoken = reply.seconds > 0 or bool(reply.text)
        if response.status == "failed" and not spoken:
            self._try_again(reply.wish, response.status_details)
            return
        actions = list(reply.wish.actions)
        if response.status in ("completed", None):
            actions += self._run(reply, spoken=spoken)
        self._effects.extend(Do(action) for action in actions)
        if self._brief.mode is Mode.TRANSLATION and reply.text.strip():
            self._effects.append(Translated(reply.text.strip(), self._brief.into or ""))
        if spoken and self._speaks:
            details = response.status_details
            self._effects.append(TurnOver(cut=details is not None and details.reason == "turn_detected"))

    def _run(self, reply: Reply, *, spoken: bool) -> list[Action]:
        """Do what the model called for; returns what is to be done when this answer has been played."""
        actions: list[Action] = []
        mistaken = False
        for call in reply.calls:
            try:
                meant = meaning(call, self._brief)
            except NoSuchToolError as error:
                mistaken = True
                self._send(m.function_output(call.call_id, refusal(error)))
                continue
            self._send(m.function_output(call.call_id, ACCEPTED))
            if isinstance(meant, SoundHeard):
                self._effects.append(meant)
            else:
                actions.append(meant)
        if mistaken and not actions and reply.wish.tools and self._speaks:
            self._wish()
        if actions and not spoken:  # nobody is put through or cut off without a word
            self._replies.wished.append(Wish(prompts.PARTING, tools=False, actions=tuple(actions)))
            return []
        return actions

    def _try_again(self, wish: Wish, details: m.StatusDetails | None) -> None:
        error = None if details is None else details.error
        fault = None if error is None else fatal(error.type, error.code)
        if fault is None and wish.attempts + 1 < MAX_ATTEMPTS:
            again = Wish(wish.told, wish.tools, wish.actions, wish.attempts + 1)
            self._replies.wished.appendleft(again)
        else:
            self._break(fault or SessionFault.SERVER_ERROR, "the server fails to answer")

    def _take_error(self, error: m.ErrorDetails) -> None:
        if (fault := fatal(error.type, error.code)) is not None:
            self._break(fault, "an error of the server that ends the session")
        elif not self._ready:
            self._break(SessionFault.REFUSED, "the server does not take the session's settings")
        elif error.type == "server_error":
            self._break(SessionFault.SERVER_ERROR, "the server says that it failed")
        elif error.event_id:
            self._replies.refused(error.event_id, again=error.code == "conversation_already_has_active_response")
        # Whatever else it is, it was one event of ours: to cancel what was done already, to cut what was never there.

    def _tell_keys(self) -> None:
        keys, self._keys = self._keys, ""
        self._send(m.message(Voice.CALLER, prompts.keys_pressed(keys)))
        if self._speaks:
            self._wish()

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))

    def _send(self, event: dict[str, Any]) -> str:
        """Send an event of ours; returns its id."""
        self._sent += 1
        event_id = f"event_{self._sent}"
        self._effects.append(Send(write({"event_id": event_id, **event})))
        return event_id

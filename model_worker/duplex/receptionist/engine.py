"""The receptionist behind the engine seam: many calls, one step at a time, faults kept apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from model_worker.dialog.agent import Agent, VoiceStyle
from model_worker.dialog.prompts import menu_prompt
from model_worker.duplex.receptionist.conversation import INPUT_RATE_HZ, Conversation, Memory
from model_worker.duplex.receptionist.ear import Ear
from model_worker.duplex.receptionist.voice import OUTPUT_RATE_HZ, VoiceBox, parts_of
from model_worker.seams import (
    Asr,
    BadSnapshotError,
    CallSpec,
    Capabilities,
    StepInput,
    StepOutput,
    Tts,
    UnknownAgentError,
    Vad,
)
from wire.ids import CallId, TurnId
from wire.messages import DecisionKind, OverlapRules

CHUNK_MS = 400


@dataclass(frozen=True, slots=True)
class ReceptionistPolicy:
    """``sessions``: 40-70 ms of CPU per call-second were measured, 14-25 calls a core; see docs/AGENTS.md.

    ``reject_below``: confidence under which words count as not understood. ``recognition_wait_s``:
    how long a step waits for the results of all calls together; a later one is taken by the next step.
    """

    sessions: int = 16
    reject_below: float = 0.5
    recognition_wait_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception that ended one call's service, or spoiled one poll (``call`` is None)."""

    call: CallId | None
    stage: str
    error: Exception


class ReceptionistEngine:
    """An ``Engine``. Same inputs, same outputs, as long as the recognizer is within ``recognition_wait_s``.

    ``on_fault`` is told of every exception that was caught, on the engine's thread.
    """

    def __init__(
        self,
        agents: Mapping[str, Agent],
        *,
        vad: Callable[[], Vad],
        asr: Asr,
        tts: Callable[[VoiceStyle], Tts],
        policy: ReceptionistPolicy | None = None,
        on_fault: Callable[[Fault], None] = lambda fault: None,
    ) -> None:
        self._on_fault = on_fault
        self._agents = dict(agents)
        self._policy = policy or ReceptionistPolicy()
        self._vad = vad
        self._asr = asr
        self._voices = {style: VoiceBox(tts(style)) for style in {agent.voice for agent in agents.values()}}
        self._calls: dict[CallId, Conversation] = {}

    @property
    def busy(self) -> bool:
        """Never: every step answers all it is given."""
        return False

    @property
    def context_positions(self) -> None:
        """None: there is no model with a context."""
        return

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Nothing outside ever answers."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="receptionist",
            chunk_ms=CHUNK_MS,
            first_chunk_ms=CHUNK_MS,
            input_rate_hz=INPUT_RATE_HZ,
            output_rate_hz=OUTPUT_RATE_HZ,
            explicit_decision=False,
            hears_while_speaking=True,
            sessions=self._policy.sessions,
            licence_note="the voice is espeak-ng (GPL-3), run in a process of its own",
            says_given_words=True,
        )

    def warm_up(self) -> None:
        """Render every prompt, so that the first caller does not wait for it. Raises TtsError."""
        for agent in self._agents.values():
            for text in (*agent.spoken(), menu_prompt(agent)):
                for part in parts_of(text):
                    self._voices[agent.voice].render(part)

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules:
        """Begin a call, anew if it is open; returns how its agent wants to be talked over. Raises UnknownAgentError."""
        agent = self._agents.get(spec.agent)
        if agent is None:
            raise UnknownAgentError(f"no agent {spec.agent!r}; this worker has {', '.join(sorted(self._agents))}")
        self.close(call)
        ear = Ear(call, self._vad(), self._asr)
        self._calls[call] = Conversation(agent, ear, self._voices[agent.voice].render, self._policy.reject_below)
        return agent.overlap.rules()

    def snapshot(self, call: CallId) -> bytes | None:
        """Where the dialog is, while nobody speaks."""
        conversation = self._serving(call)
        memory = None if conversation is None else conversation.memory()
        return None if memory is None else msgspec.msgpack.encode(memory)

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules:
        """As ``open``, and be where ``snapshot`` was. Raises UnknownAgentError and BadSnapshotError."""
        rules = self.open(call, spec)
        try:
            self._calls[call].recall(msgspec.msgpack.decode(state, type=Memory))
        except ValueError as error:  # msgspec's and pydantic's are such; their texts quote the call
            self.close(call)
            raise BadSnapshotError(f"not a snapshot of agent {spec.agent!r}: {type(error).__name__}") from None
        return rules

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Decide on one chunk of each call."""
        for given in inputs:
            self._listen(given)
        self._recognize(inputs)
        return [self._decide(given) for given in inputs]

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """The caller barged in. Unknown calls and old turns are ignored."""
        if (conversation := self._serving(call)) is not None:
            conversation.interrupt(turn, heard_s)

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """The last 200 entries, oldest first; empty for an unknown call. Keys pressed stand as "pressed 1"."""
        conversation = self._calls.get(call)
        return conversation.history.as_dicts() if conversation else []

    def close(self, call: CallId) -> None:
        """End a call. Unknown calls are ignored."""
        conversation = self._calls.pop(call, None)
        if conversation is None:
            return
        try:
            conversation.ear.release()
        except Exception as error:  # the recognizer's trouble must not keep a call from ending
            self._note(call, "close", error)

    def shutdown(self) -> None:
        """End all calls, the recognizer and the voices."""
        for call in list(self._calls):
            self.close(call)
        self._asr.close()
        for voice in self._voices.values():
            voice.close()

    def _listen(self, given: StepInput) -> None:
        conversation = self._serving(given.call)
        if conversation is None:
            return
        try:
            conversation.listen(given)
        except Exception as error:  # the fault of one call is that call's
            self._note(given.call, "listen", error)
            conversation.break_off()

    def _recognize(self, inputs: Sequence[StepInput]) -> None:
        due = (self._serving(given.call) for given in inputs)
        if not any(conversation is not None and conversation.ear.awaiting for conversation in due):
            return
        try:
            results = self._asr.poll(self._policy.recognition_wait_s)
        except Exception as error:  # the calls that wait run into their own deadline; keys go on working
            self._note(None, "recognize", error)
            return
        for call, recognition in results.items():
            if (conversation := self._calls.get(call)) is not None:  # it may have no chunk in this step
                conversation.ear.deliver(recognition)

    def _decide(self, given: StepInput) -> StepOutput:
        conversation = self._calls.get(given.call)
        if conversation is None:
            return StepOutput(given.call, given.index, DecisionKind.LISTEN)
        if not conversation.failed:
            try:
                return conversation.decide(given)
            except Exception as error:  # the fault of one call is that call's
                self._note(given.call, "decide", error)
                conversation.break_off()
        return conversation.hand_on(given)

    def _serving(self, call: CallId) -> Conversation | None:
        conversation = self._calls.get(call)
        return None if conversation is None or conversation.failed else conversation

    def _note(self, call: CallId | None, stage: str, error: Exception) -> None:
        self._on_fault(Fault(call, stage, error))

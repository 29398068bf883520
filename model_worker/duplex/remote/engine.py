"""Any server's protocol behind the engine seam: thin calls, one set of links."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from model_worker.dialog.brief import Brief
from model_worker.duplex.remote.call import MEMORY_LINES, RemoteCall
from model_worker.duplex.remote.effects import Line
from model_worker.duplex.remote.seam import Dialect, LinkId, Links
from model_worker.seams import BadSnapshotError, CallSpec, Capabilities, StepInput, StepOutput, UnknownAgentError
from wire.ids import CallId, TurnId
from wire.messages import OverlapRules, Voice

VERSION = 1


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    version: int
    turn: int
    said: list[tuple[Voice, str]]


_saved_decoder = msgspec.json.Decoder(_Saved)


class RemoteEngine:
    """An ``Engine``. ``shutdown`` of the links is the caller's."""

    def __init__(self, briefs: Mapping[str, Brief], dialect: Dialect, links: Links) -> None:
        self._briefs = briefs
        self._dialect = dialect
        self._links = links
        self._calls: dict[CallId, RemoteCall] = {}
        self._by_link: dict[LinkId, CallId] = {}

    @property
    def capabilities(self) -> Capabilities:
        return self._dialect.capabilities

    @property
    def busy(self) -> bool:
        """A server told something."""
        return self._links.ready

    @property
    def context_positions(self) -> None:
        """None: the context is the server's."""
        return

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``busy`` becomes true."""
        self._links.on_ready(wake)

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        """Begin a call and its session. Raises UnknownAgentError."""
        return self._begin(call, spec, [Line(said.voice, said.text) for said in spec.said], TurnId(0))

    def snapshot(self, call: CallId) -> bytes | None:
        """What was said so far, in words; None while the agent speaks."""
        served = self._calls.get(call)
        if served is None or not served.at_rest:
            return None
        said = [(entry.voice, entry.text) for entry in served.history.last(MEMORY_LINES)]
        return msgspec.json.encode(_Saved(VERSION, int(served.newest_turn), said))

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        """As ``open``; the new session is told what was said. Raises UnknownAgentError and BadSnapshotError."""
        try:
            saved = _saved_decoder.decode(state)
        except msgspec.DecodeError:
            raise BadSnapshotError("not a snapshot of a remote engine") from None
        if saved.version != VERSION:
            raise BadSnapshotError(f"snapshot of version {saved.version}, expected {VERSION}")
        return self._begin(call, spec, [Line(voice, text) for voice, text in saved.said], TurnId(saved.turn))

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Take what the servers told, then the new chunks, each of which is answered at once."""
        faults: list[StepOutput] = []
        for link, event in self._links.poll():
            if (served := self._calls.get(self._by_link.get(link, CallId("")))) is not None:
                try:
                    served.take(link, event)
                except Exception as error:  # whatever a server made us do is one call's
                    faults.append(self._fail(served.call, 0, error))
                self._note_links(served)
        for given in inputs:
            served = self._calls.get(given.call)
            if served is None:
                faults.append(self._fail(given.call, given.index, ValueError("a chunk of a call that is not open")))
                continue
            try:
                self._check(given)
                served.hear(given)
            except Exception as error:
                faults.append(self._fail(given.call, given.index, error))
            self._note_links(served)
        outputs = [output for served in self._calls.values() for output in served.take_outputs()]
        for output in outputs:
            if output.fault is not None:
                self.close(output.call)
        return [*faults, *outputs]

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn. Unknown calls and old turns are ignored."""
        if (served := self._calls.get(call)) is not None:
            served.interrupt(turn, heard_s)
            self._note_links(served)

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """What was said and heard so far, oldest first."""
        served = self._calls.get(call)
        return [] if served is None else served.history.as_dicts()

    def close(self, call: CallId) -> None:
        """End a call and its session. Unknown calls are ignored."""
        served = self._calls.pop(call, None)
        if served is not None:
            served.close()
            self._by_link = {link: owner for link, owner in self._by_link.items() if owner != call}

    def _begin(self, call: CallId, spec: CallSpec, said: list[Line], turn: TurnId) -> OverlapRules:
        brief = self._briefs.get(spec.agent)
        if brief is None:
            raise UnknownAgentError(spec.agent)
        self.close(call)
        served = self._calls[call] = RemoteCall(call, brief, self._dialect, self._links, said, turn)
        self._note_links(served)
        return brief.overlap.rules(model_judges=self._dialect.yields_by_itself)

    def _note_links(self, served: RemoteCall) -> None:
        if served.call in self._calls:
            for link in served.links:
                self._by_link[link] = served.call

    def _check(self, given: StepInput) -> None:
        can = self._dialect.capabilities
        chunk_ms = can.first_chunk_ms if given.index == 0 else can.chunk_ms
        samples = can.input_rate_hz * chunk_ms // 1_000
        if len(given.pcm) != samples:
            raise ValueError(f"expected a chunk of {samples} samples, got {len(given.pcm)}")

    def _fail(self, call: CallId, index: int, error: Exception) -> StepOutput:
        self.close(call)
        return StepOutput(call, index, None, fault=error)

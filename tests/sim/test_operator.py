"""An operator's words on their whole way: the call, the wire, the worker, the engine, and back to the caller."""

from gateway.effects import NoteTurnEnded, SendAudio, SendUp, TurnEnd
from gateway.events import OperatorMuted, OperatorSaid, WorkerSaid
from model_worker.duplex.script import Script
from model_worker.duplex.scripted import ScriptedEngine
from model_worker.engine import EngineLoop
from tests.gateway.calls import CALL, CHUNK, RTP_LIKE, SILENCE, Driven
from wire.codec import decode, encode
from wire.messages import DownMessage

GREETING = {"ms": 4_000, "delivery": "paced", "text": "welcome to this very long greeting of ours"}


class Rig:
    """A call and its worker; every message between them is written and read again."""

    def __init__(self) -> None:
        self.now = 0.0
        script = Script.model_validate({"default": {"rules": [{"when": "chunk", "index": 0, "say": GREETING}]}})
        self.engine = ScriptedEngine(script)
        self.loop = EngineLoop(self.engine, lambda: self.now)
        self.driven = Driven(RTP_LIKE)
        self._sent = 0

    def exchange(self) -> None:
        """Carry messages both ways until there are none."""
        driven = self.driven
        while self._sent < len(driven.effects) or self.loop.due:
            for effect in driven.effects[self._sent :]:
                if isinstance(effect, SendUp):
                    self.loop.receive(decode(encode(effect.message)), 0.0, self.now)
            self._sent = len(driven.effects)
            for _, message in self.loop.step(self.now):
                answer = decode(encode(message))
                assert isinstance(answer, DownMessage)
                driven.call.receive(WorkerSaid(answer), self.now)
                driven.drain()

    def run(self, seconds: float) -> None:
        """The caller is silent for a while."""
        for _ in range(round(seconds / 0.4)):
            self.now += 0.4
            self.driven.tick_to(self.now)
            self.driven.media(SILENCE * CHUNK, self.now)
            self.exchange()

    def tell(self, event: OperatorSaid | OperatorMuted) -> None:
        self.driven.call.receive(event, self.now)
        self.driven.drain()
        self.exchange()

    def ends(self) -> list[tuple[TurnEnd, str]]:
        return [(note.end, note.text_heard) for note in self.driven.of(NoteTurnEnded)]


def test_an_operator_s_words_take_the_floor_from_the_agent_and_are_heard():
    rig = Rig()
    rig.run(2.0)
    rig.tell(OperatorSaid("please hold the line"))
    rig.run(2.4)
    assert rig.ends() == [(TurnEnd.SUPERSEDED, "welcome to this very"), (TurnEnd.PLAYED, "please hold the line")]
    told = [(entry["text"], entry["cut"]) for entry in rig.engine.history(CALL)]
    assert told == [("welcome to this very", True), ("please hold the line", False)]


def test_an_agent_that_is_muted_is_not_heard_and_knows_how_much_was():
    rig = Rig()
    rig.run(2.0)
    rig.tell(OperatorMuted(True))
    before = len(rig.driven.of(SendAudio))
    rig.run(4.0)
    assert len(rig.driven.of(SendAudio)) == before
    (entry,) = rig.engine.history(CALL)
    assert (entry["text"], entry["cut"]) == ("welcome to this very", True)

"""One turn of the agent: what it says, paced by what the caller has heard."""

from collections.abc import Callable, Sequence

from model_worker.dialog.agent import Clip, Spoken, text_of
from model_worker.duplex.receptionist.voice import OUTPUT_RATE_HZ
from model_worker.tts.paced_voice import Pace, PacedVoice, Rendered
from wire.ids import TurnId

_PACE = Pace(OUTPUT_RATE_HZ)

Render = Callable[[Spoken], Rendered]


class AgentTurn(PacedVoice[Clip]):
    """What the agent says in one turn. Sound is rendered only when it is due."""

    def __init__(self, turn: TurnId, texts: Sequence[Spoken], render: Render) -> None:
        super().__init__(render, _PACE)
        self.id = turn
        self.text = " ".join(text_of(text) for text in texts)
        for text in texts:
            if isinstance(text, Clip):
                self.play(text)
            else:
                self.say(f"{text} ")
        self.finish()

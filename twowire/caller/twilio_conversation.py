"""A call from Twilio's side: the stream's messages in and out of a conversation."""

from twowire.caller.conversation import Conversation
from twowire.caller.messages import Clear, Mark, Media
from twowire.caller.script import Plan
from twowire.caller.stream import TwilioCaller


class TwilioConversation(Conversation):
    """``advance`` before every ``receive``; drain ``poll`` and ``heard`` after each."""

    def __init__(self, stream: TwilioCaller, plan: Plan) -> None:
        self.stream = stream
        super().__init__(stream, plan)

    def receive(self, text: str | bytes, now: float) -> None:
        """Take one message of the application, which arrived at ``now``."""
        match self.stream.receive(text):
            case Clear():
                self.cleared(now)
            case Mark(mark=mark):
                self.marked(mark.name, now)
            case Media() | None:
                pass  # audio counts when it is heard; what Twilio refuses is in the stream's violations

    def poll(self) -> str | None:
        """The next text to send."""
        return self.stream.poll()

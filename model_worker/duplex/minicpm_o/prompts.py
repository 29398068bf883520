"""What the model is told before a session: it takes one text, and answers in the language of that."""

from model_worker.duplex.remote.seam import Opening
from wire.messages import Voice

MAX_SAID_CHARS = 2_000  # some 600 of the 8,192 tokens that a session has
_WHO = {Voice.CALLER: "Caller", Voice.AGENT: "You"}


def instructions(opening: Opening) -> str:
    """The business's words, how to begin, and what was said where the call began in another session."""
    parts = [opening.brief.instructions.strip()]
    if opening.said:
        said = "\n".join(f"{_WHO[line.voice]}: {line.text}" for line in opening.said)
        parts.append(f"The call is under way. This was said so far; go on from here:\n{said[-MAX_SAID_CHARS:]}")
    elif opening.brief.greeting:
        parts.append(f"Begin the call by saying: {opening.brief.greeting}")
    return "\n\n".join(part for part in parts if part)

"""What PersonaPlex is told of a line: a text and a voice, in the address of its session."""

from urllib.parse import quote_plus

from model_worker.dialog.brief import Brief
from model_worker.duplex.remote.seam import Opening
from wire.messages import Voice

# The server steps its model through every token of this before it takes the call: 1,000 characters are some 250 steps.
MAX_INSTRUCTIONS = 2_000
MAX_SAID = 400  # of it, what was said before in the call: the newest
MAX_ADDRESS_BYTES = 7_500  # servers made with aiohttp take a line of 8,190
DEFAULT_VOICE = "NATF2.pt"
_SO_FAR = "You are in the middle of a conversation. This was said last:"


def text_prompt(opening: Opening) -> str:
    """The line's instructions and the end of the conversation so far, with the server's limits kept."""
    instructions = " ".join(opening.brief.instructions.split())[:MAX_INSTRUCTIONS]
    said: list[str] = []
    room = MAX_SAID
    for line in reversed(opening.said):
        told = f"{'You' if line.voice is Voice.AGENT else 'The caller'}: {' '.join(line.text.split())}"
        room -= len(told) + 1
        if room < 0:
            break
        said.insert(0, told)
    return " ".join([instructions, _SO_FAR, *said]) if said else instructions


def query(opening: Opening) -> str:
    """``voice_prompt`` is the name of a file on the server."""
    voice = opening.brief.voice.name or DEFAULT_VOICE
    return f"voice_prompt={quote_plus(voice)}&text_prompt={quote_plus(text_prompt(opening))}"


def too_long(brief: Brief) -> str:
    """Why the instructions are more than the server takes; empty where they are not."""
    if len(brief.instructions) > MAX_INSTRUCTIONS:
        return f"instructions of {len(brief.instructions)} characters, PersonaPlex is told at most {MAX_INSTRUCTIONS}"
    if len(quote_plus(brief.instructions)) > MAX_ADDRESS_BYTES - 3 * MAX_SAID:
        return "instructions that do not fit into an address; letters outside of ASCII take six bytes each"
    return ""

"""What a chat model is told of a call: the business's instructions, and what was said as far as it was heard."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from model_worker.answers.seam import ChatMessage
from wire.messages import Voice

CALL_BEGINS = "(the call begins)"
LEFT_OUT = "(what was said before is left out)"
WORDS_UNKNOWN = "(the caller has spoken; no transcript is available)"
MAX_HISTORY_CHARS = 8_000  # about 2 000 tokens: ten minutes of talk

_Line = tuple[Literal["user", "assistant"], str]
_ROLES: dict[Voice, Literal["user", "assistant"]] = {Voice.CALLER: "user", Voice.AGENT: "assistant"}


def build_messages(
    instructions: str,
    heard: Sequence[tuple[Voice, str]],
    transcript: str = "",
    limit_chars: int = MAX_HISTORY_CHARS,
) -> list[ChatMessage]:
    """The messages to be answered now: instructions, then user and assistant in turns, a user's at the end.

    ``heard``: whose words and which, oldest first; the agent's as far as they were played. ``transcript``: what the
    caller has said since. Words of the caller that nobody knows are empty, and stand as a note that says so.
    ``limit_chars`` bounds what was said: the oldest words go first, and the newest lose their beginning when even
    they alone are too long. Raises ValueError when it is below 1.
    """
    if limit_chars < 1:
        raise ValueError(f"expected a limit of at least 1 character, got {limit_chars}")
    lines: list[_Line] = []
    for voice, text in [*heard, (Voice.CALLER, transcript)]:
        line = (_ROLES[voice], text.strip() or (WORDS_UNKNOWN if voice is Voice.CALLER else ""))
        if line[1] and not (line[1] == WORDS_UNKNOWN and line in lines[-1:]):
            lines.append(line)
    recent = _newest(lines, limit_chars)
    if recent[0][0] == "assistant":  # many chat templates refuse a conversation that the assistant begins
        recent.insert(0, ("user", CALL_BEGINS if len(recent) == len(lines) else LEFT_OUT))
    # They refuse two messages of one role in a row too.
    merged = [
        ChatMessage(role, "\n".join(text for _, text in run)) for role, run in groupby(recent, key=lambda line: line[0])
    ]
    return [ChatMessage("system", instructions), *merged] if instructions.strip() else merged


def _newest(lines: Sequence[_Line], limit_chars: int) -> list[_Line]:
    """The last lines that fit, the very last in any case: its end."""
    role, text = lines[-1]
    kept: list[_Line] = [(role, text[-limit_chars:])]
    room_chars = limit_chars - len(text)
    for role, text in reversed(lines[:-1]):
        room_chars -= len(text) + 1  # and a line feed
        if room_chars < 0:
            break
        kept.append((role, text))
    return kept[::-1]

"""What can be set of the Audio-Interaction engine, and why it is what it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """``speak_from``: p(TEXT_BEGIN) from which the model speaks; ``speak_bias`` is added to its logit before, since
    telephone sound is out of its distribution and p falls there (a fine-tuner saw 0.9999 become 0.004).

    ``judges``: whether p(TEXT_BEGIN) of what the caller says over the voice decides who has the floor.

    ``temperature``/``top_k``: of the text, as the model card has them; temperature 0 takes the likeliest token.
    ``reply_pace``: tokens written per chunk of 0.4 s: 40 a second, ten times as fast as they are spoken, and so few
    that a batch of calls writes them in the time of a chunk. The pace is a law of the model's time: a replay writes
    the same tokens between the same chunks, however fast it runs.
    ``reply_tokens``: the longest reply. ``loop_repeats``: so often the same few tokens in a row end it; 0 never does.
    ``rewind_chunks``: for how long after a reply began an interruption still makes the model forget its rest.
    ``draft_tokens``: where the words of a reply come from elsewhere, so many of the model's own say what it understood;
    0 where it speaks for itself.
    ``tick_tokens``: of one forward; decisions and text come first, replays take what is left.
    """

    sessions: int = 16
    capacity: int = 2_048  # as far as the published code counts positions one by one: it does so in float16
    speak_from: float = 0.5
    speak_bias: float = 0.0
    judges: bool = False
    temperature: float = 0.3
    top_k: int = 3
    reply_pace: int = 16
    reply_tokens: int = 256
    loop_repeats: int = 4
    rewind_chunks: int = 150
    draft_tokens: int = 0
    tick_tokens: int = 2_048

"""What a model is told beside the instructions of its line."""

from model_worker.dialog.brief import Brief, Mode

_TELEPHONE = (
    "You speak with a caller on the telephone. Speak {language}. Say what is to be heard and nothing else: "
    "no lists, no addresses of pages, no stage directions. Keep it short."
)
_INTERPRETER = (
    "You are an interpreter on a telephone line. Whatever the caller says, say it in {into} and say nothing else: "
    "do not answer it, do not explain it, do not leave anything out. The caller speaks {language}."
)
_LISTENER = (
    "You listen to a telephone line and never speak. When you hear a sound other than speech, "
    "call report_sound with the name that fits it best."
)
PARTING = "Tell the caller in a few friendly words what happens now and say goodbye. Do not call a function."
NO_HELP = "Nobody can help with this. Answer the caller with what you know, or say that you cannot."


def instructions(brief: Brief) -> str:
    """The line's own instructions after what every line of its mode needs."""
    match brief.mode:
        case Mode.DIALOG | Mode.TRANSCRIPTION:
            first = _TELEPHONE.format(language=brief.language)
        case Mode.TRANSLATION:
            first = _INTERPRETER.format(language=brief.language, into=brief.into)
        case Mode.SOUND_EVENTS:
            first = _LISTENER
    return f"{first}\n\n{brief.instructions}".strip()


def exactly(text: str) -> str:
    """To be said word by word."""
    return f"Say exactly the following words and nothing before or after them:\n{text}"


def keys_pressed(keys: str) -> str:
    return f"[The caller pressed these keys on the telephone: {' '.join(keys)}]"


def cut_short(heard_s: float) -> str:
    return f"[After {heard_s:.1f} seconds of your last words the caller began to speak, and did not hear the rest.]"

"""What is said where a part of the cascade has failed, by the voice of this machine."""

NOT_HEARD = {
    "en": "Sorry, I could not hear that. Could you say it again?",
    "de": "Entschuldigung, das habe ich nicht gehört. Können Sie es noch einmal sagen?",
    "fr": "Excusez-moi, je n'ai pas entendu. Pouvez-vous répéter ?",
    "es": "Perdone, no le he oído. ¿Puede repetirlo?",
    "zh": "对不起，我没有听清楚，请再说一遍。",
}
NO_ANSWER = {
    "en": "Sorry, I am having trouble at the moment. Could you say that again?",
    "de": "Entschuldigung, ich habe gerade eine Störung. Können Sie das noch einmal sagen?",
    "fr": "Excusez-moi, j'ai un problème technique. Pouvez-vous répéter ?",
    "es": "Perdone, tengo un problema técnico. ¿Puede repetirlo?",
    "zh": "对不起，系统出了一点问题，请再说一遍。",
}


def phrase(phrases: dict[str, str], language: str) -> str:
    """In the language of a tag of BCP 47, else in English."""
    return phrases.get(language.lower().partition("-")[0], phrases["en"])

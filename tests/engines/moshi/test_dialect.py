"""Moshi and PersonaPlex as a worker's settings and agent files have them."""

from urllib.parse import parse_qs, urlsplit

import pytest

from model_worker.dialog.brief import Brief, LineVoice, Mode
from model_worker.duplex.moshi.dialect import dialect
from model_worker.duplex.moshi.persona import MAX_INSTRUCTIONS, MAX_SAID
from model_worker.duplex.remote.effects import Line
from model_worker.duplex.remote.seam import Opening, ServerSession
from model_worker.duplex.remote.settings import ServerSettings
from wire.audio import opus
from wire.ids import CallId
from wire.messages import Voice
from wire.settings import ConfigError

URL = "wss://gpu.example/api/chat"
BRIEF = Brief(name="desk", engine="moshi", instructions="You work\nat the desk & bar.")


def opening(brief: Brief = BRIEF, *said: Line) -> Opening:
    return Opening(CallId("call"), brief, said)


def asked(brief: Brief, *said: Line) -> dict[str, list[str]]:
    request = dialect(ServerSettings(url=URL, flavour="personaplex")).request(opening(brief, *said))
    assert request.url.startswith(f"{URL}?")
    assert len(request.url) < 8_000
    return parse_qs(urlsplit(request.url).query, strict_parsing=True)


def first_effect(session: ServerSession) -> object:
    session.connected()
    return session.poll()


def test_moshi_is_asked_for_nothing_beside_its_address():
    assert dialect(ServerSettings(url=f"{URL}?text_topk=25")).request(opening()).url == f"{URL}?text_topk=25"


def test_personaplex_is_told_who_it_is_and_with_which_voice():
    assert asked(BRIEF) == {"voice_prompt": ["NATF2.pt"], "text_prompt": ["You work at the desk & bar."]}
    assert asked(BRIEF.model_copy(update={"voice": LineVoice(name="VARM3.pt")}))["voice_prompt"] == ["VARM3.pt"]


def test_personaplex_is_told_the_newest_of_what_was_said():
    lines = [Line(Voice.AGENT if n % 2 else Voice.CALLER, f"sentence {n} of them") for n in range(60)]
    (text,) = asked(BRIEF, *lines)["text_prompt"]
    assert text.startswith("You work at the desk & bar. You are in the middle")
    assert text.endswith("The caller: sentence 58 of them You: sentence 59 of them")
    assert "sentence 30" not in text
    assert len(text) < len(BRIEF.instructions) + MAX_SAID + 100


@pytest.mark.parametrize("text", ["a" * (MAX_INSTRUCTIONS + 1), "ß" * 1_200], ids=["long", "long-once-encoded"])
def test_instructions_that_do_not_fit_into_an_address_are_no_line_for_it(text):
    can = dialect(ServerSettings(url=URL, flavour="personaplex"))
    brief = BRIEF.model_copy(update={"instructions": text})
    can.request(opening(brief))
    assert can.cannot(brief).startswith("instructions")
    assert not can.cannot(BRIEF)
    assert not dialect(ServerSettings(url=URL)).cannot(brief)


def test_lines_that_are_no_dialog_are_none_for_it():
    brief = Brief(name="desk", engine="moshi", mode=Mode.TRANSCRIPTION)
    assert "dialogs only" in dialect(ServerSettings(url=URL)).cannot(brief)


def test_a_server_carries_one_call_unless_the_operator_says_otherwise():
    assert dialect(ServerSettings(url=URL)).capabilities.sessions == 1
    assert dialect(ServerSettings(url=URL, sessions=3)).capabilities.sessions == 3


def test_a_flavour_that_is_none_is_named():
    with pytest.raises(ValueError, match="expected one of moshi, personaplex"):
        dialect(ServerSettings(url=URL, flavour="mimi"))


def test_without_libopus_the_error_says_what_to_install(monkeypatch):
    def missing() -> str:
        raise opus.OpusMissingError

    monkeypatch.setattr(opus, "_library", missing)
    with pytest.raises(ConfigError, match="libopus0"):
        dialect(ServerSettings(url=URL))

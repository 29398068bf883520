"""A voice by the Wyoming protocol, against the codec of the published package."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from model_worker.duplex.cascade.build import make_tts
from model_worker.duplex.cascade.seam import VoiceWish
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.duplex.cascade.tts_requests import Limits
from model_worker.duplex.cascade.tts_wyoming import WyomingServer
from model_worker.duplex.remote.effects import SessionFault
from tests.engines.cascade.speaking import CALL, HASTY, OTHER, PATIENT, Ear, seconds, speaking, whose
from tests.model_worker.answers.server import nobody_listens
from tests.peers.wyoming import Turn, WyomingPeer

TEXT = "It is open from eight until ten."  # seven words


@contextmanager
def talking(
    turns: Iterable[Turn | None] = (), rate_hz: int = 22_050, limits: Limits = PATIENT, voice: str = ""
) -> Iterator[tuple[Ear, WyomingPeer]]:
    with WyomingPeer(rate_hz, turns) as peer:
        with speaking(WyomingServer(PartSettings(url=peer.url, voice=voice), limits), limits) as ear:
            yield ear, peer
        assert peer.faults == []


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 48_000])
def test_a_part_is_said_whole_at_the_rate_of_the_line(rate_hz: int) -> None:
    with talking(rate_hz=rate_hz) as (ear, peer):
        pieces = ear.says(1, TEXT)
        assert seconds(pieces) == pytest.approx(1.4, abs=0.01)
        assert whose(pieces) == 0
        assert pieces[-1].fault is None
        assert peer.asked[0].text == TEXT


def test_a_voice_is_wished_by_its_name_or_by_the_language() -> None:
    with talking(voice="en_GB-alba-medium") as (ear, peer):
        ear.says(1, TEXT)
        ear.says(2, TEXT, VoiceWish("de_DE-thorsten-high", "de"))
    with talking() as (ear, other):
        ear.says(1, TEXT, VoiceWish("", "de"))
    voices = [asked.voice for asked in (*peer.asked, *other.asked)]
    assert [(voice.name, voice.language) for voice in voices if voice is not None] == [
        ("en_GB-alba-medium", None),
        ("de_DE-thorsten-high", None),
        (None, "de"),
    ]


@pytest.mark.parametrize(
    ("turn", "fault"),
    [
        (Turn.ERROR, SessionFault.SERVER_ERROR),
        (Turn.GARBAGE, SessionFault.GARBAGE),
        (Turn.STEREO, SessionFault.GARBAGE),
        (Turn.BYTES, SessionFault.GARBAGE),
        (Turn.ODD_RATE, SessionFault.GARBAGE),
        (Turn.SILENT, SessionFault.GARBAGE),
        (Turn.CUT, SessionFault.LOST),
    ],
    ids=lambda value: value.name,
)
def test_a_part_that_fails_ends_with_the_reason_and_the_next_is_said(turn: Turn, fault: SessionFault) -> None:
    with talking([turn]) as (ear, _), capture_logs() as logs:
        pieces = ear.says(1, TEXT)
        assert pieces[-1].fault is fault
        if turn is Turn.CUT:
            assert 0 < seconds(pieces) <= 0.7, "what came until then stands"
        assert ear.says(2, TEXT)[-1].fault is None
    assert not any("nobody" in str(entry) or TEXT in str(entry) for entry in logs)


@pytest.mark.parametrize("turn", [Turn.HOLD, Turn.STALL], ids=lambda turn: turn.name)
def test_a_server_that_is_too_slow_is_not_waited_for(turn: Turn) -> None:
    with talking([turn], limits=HASTY) as (ear, peer):
        assert ear.says(1, TEXT)[-1].fault is SessionFault.TOO_SLOW
        assert peer.wait_for(lambda: peer.gone == 1)


@pytest.mark.parametrize("turn", [Turn.HOLD, Turn.STALL], ids=lambda turn: turn.name)
def test_a_part_that_is_not_wanted_any_more_loses_its_connection(turn: Turn) -> None:
    with talking([turn]) as (ear, peer):
        ear.tts.ask(CALL, 1, TEXT, VoiceWish())
        assert peer.wait_for(lambda: len(peer.asked) == 1)
        assert whose(ear.says(1, TEXT, call=OTHER)) == 1
        ear.tts.cancel(CALL)
        assert peer.wait_for(lambda: peer.gone == 1)
        assert all(piece.call == OTHER or not piece.done for piece in ear.pieces)


def test_a_server_that_is_not_there() -> None:
    with nobody_listens() as url:
        server = WyomingServer(PartSettings(url=url.replace("http://", "tcp://").removesuffix("/v1")))
        with speaking(server) as ear:
            assert ear.says(1, TEXT)[-1].fault is SessionFault.UNREACHABLE


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="tcp"):
        make_tts(PartSettings(url="http://127.0.0.1:1", flavour="wyoming"))
    with pytest.raises(ValueError, match="a key cannot be shown"):
        make_tts(PartSettings(url="tcp://127.0.0.1:1", key=SecretStr("secret")))

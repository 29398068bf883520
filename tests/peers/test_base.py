"""What every peer stands on."""

import asyncio

import aiohttp
import pytest

from tests.engines.subject import Reply, Script
from tests.peers.base import KEY, Cue, Cues, PeerServer, PeerSession
from tests.peers.sound import tone, turn_of


class _Echo(PeerServer):
    """Every message counts as a second of sound."""

    path = "/echo"
    wants_key = True

    async def serve(self, session: PeerSession) -> None:
        await self.released()
        while (message := await session.receive()) is not None:
            if message == "wrong":
                session.fault("that is wrong")
            for cue in session.listen(1.0):
                if cue is Cue.CUT:
                    await session.cut()
                else:
                    await session.send(str(cue))
            await session.send(message)


async def _talk(url: str, *messages: str, key: str = KEY) -> list[str]:
    """All that comes back until the server is silent or gone."""
    heard = []
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as client, client.ws_connect(url, headers=headers) as socket:
        for message in messages:
            await socket.send_str(message)
            reply = await socket.receive()
            if reply.type is not aiohttp.WSMsgType.TEXT:
                break
            heard.append(reply.data)
    return heard


def test_a_peer_answers_on_loopback_and_keeps_what_it_got():
    with _Echo(Script(replies=())) as peer:
        assert asyncio.run(_talk(peer.url, "a", "b")) == ["a", "b"]
        assert peer.wait_for(lambda: peer.sessions[0].over)
        assert peer.sessions[0].received == ["a", "b"]
        assert peer.sessions[0].heard_s == 2.0
        assert peer.faults == []


def test_what_the_client_does_wrong_is_a_fault():
    with _Echo() as peer:
        asyncio.run(_talk(peer.url, "wrong"))
        assert peer.wait_for(lambda: peer.faults == ["session 0: that is wrong"])


def test_a_cut_is_made_in_the_first_session_only():
    with _Echo(Script(replies=(), cuts_at_s=2.0)) as peer:
        assert asyncio.run(_talk(peer.url, "a", "b", "c")) == ["a"]
        assert asyncio.run(_talk(peer.url, "a", "b", "c")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("script", "key", "status"),
    [(Script(full=True), KEY, 503), (Script(refuses_key=True), KEY, 401), (Script(), "x", 401)],
)
def test_a_peer_refuses_at_the_door(script, key, status):
    with _Echo(script) as peer:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            asyncio.run(_talk(peer.url, "a", key=key))
        assert refused.value.status == status


def test_a_script_is_followed_by_the_sound_that_was_heard():
    first, second = Reply(1.0, 2.0), Reply(3.0, 2.0)
    cues = Cues(Script(replies=(first, second), garbage_at_s=2.0, expires_at_s=9.0), first_session=True)
    assert list(cues.due(0.9)) == []
    assert list(cues.due(2.4)) == [first, Cue.GARBAGE]
    assert list(cues.due(9.0)) == [second, Cue.EXPIRE]
    assert list(cues.due(99.0)) == []


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
def test_the_pitch_of_a_tone_names_its_turn(rate_hz):
    for turn in range(30):
        assert turn_of(tone(turn, rate_hz // 5, rate_hz, start_samples=777), rate_hz) == turn
    assert turn_of(tone(1, rate_hz, rate_hz) // 2 + tone(2, rate_hz, rate_hz) // 2, rate_hz) is None
    assert turn_of(tone(1, rate_hz, rate_hz) // 100, rate_hz) is None

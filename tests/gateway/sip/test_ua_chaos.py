"""Many calls, bad networks, hostile bytes: nothing raises, nothing is said twice, nothing is left."""

import random

import pytest

from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.config import AgentLimits, Reliability, SessionTimerSettings
from gateway.sip.ua.effects import CallEnded, CallHandle, IncomingCall, OfferReceived, TransferRequested
from tests.gateway.sip.network import ALICE, ANSWER, BOB, OFFER, Network, Peer, uri_of
from tests.gateway.sip.raw import STRANGER, Stranger, invite, request


def fickle(peer: Peer, chance: random.Random) -> None:
    """An application that answers, refuses, rings for ever or hangs up, as it likes."""

    def react(effect: object, now: float) -> None:
        agent, mood = peer.agent, chance.random()
        match effect:
            case IncomingCall(call):
                if mood < 0.5:
                    agent.ring(call, now, ANSWER if chance.random() < 0.5 else None, 183)
                if mood < 0.7:
                    agent.answer(call, ANSWER, now)
                elif mood < 0.8:
                    agent.refuse(call, 486, now)
            case OfferReceived(call):
                if mood < 0.7:
                    agent.answer_offer(call, ANSWER, now)
                elif mood < 0.8:
                    agent.reject_offer(call, 488, now)
            case TransferRequested(call):
                agent.report_transfer(call, 200, now)

    peer.react = react


@pytest.mark.parametrize("seed", range(12))
def test_every_call_ends_once_and_leaves_nothing(seed):
    chance = random.Random(seed)
    network = Network(seed, loss=0.25, jitter_s=0.4)
    config = {
        "limits": AgentLimits(max_calls=30, ringing_s=40.0, transfer_s=40.0),
        "reliability": Reliability.WHEN_SUPPORTED,
        "session_timer": SessionTimerSettings(interval_s=90, min_s=90),
        "allow_refer": True,
    }
    peers = [network.add(ALICE, **config), network.add(BOB, **config)]
    for peer in peers:
        fickle(peer, chance)
    handles: list[list[CallHandle]] = [[], []]
    for _ in range(150):
        side = chance.randrange(2)
        peer, other = peers[side], peers[1 - side]
        known = handles[side] + [effect.call for effect in peer.of(IncomingCall)]
        call = chance.choice(known) if known else None
        match chance.randrange(7):
            case 0 | 1:
                sdp = OFFER if chance.random() < 0.8 else None
                handles[side].append(
                    peer.agent.place_call(uri_of(other.address), NameAddr(uri_of(peer.address)), sdp, network.now)
                )
            case 2 if call is not None:
                peer.agent.offer(call, b"v=0 %d" % chance.randrange(100), network.now)
            case 3 if call is not None:
                peer.agent.hang_up(call, network.now)
            case 4 if call is not None:
                peer.agent.send_info(call, "text/plain", b"x", network.now)
            case 5 if call is not None:
                peer.agent.refer(call, uri_of(STRANGER), network.now)
            case 6 if call is not None:
                peer.agent.answer(call, ANSWER, network.now)
        network.run(chance.random() * 3)
    for peer in peers:
        peer.agent.stop(network.now)
    network.run(300.0)
    for side, peer in enumerate(peers):
        begun = handles[side] + [effect.call for effect in peer.of(IncomingCall)]
        ended = [effect.call for effect in peer.of(CallEnded)]
        assert sorted(ended) == sorted(begun), f"seed {seed}"
        assert peer.agent.idle, f"seed {seed}: {peer.agent.stats()}"
        assert peer.agent.next_deadline() is None, f"seed {seed}: {peer.agent.stats()}"
        assert peer.agent.stats()["timers"] == 0, f"seed {seed}"


@pytest.mark.parametrize("seed", range(8))
def test_mutilated_messages_harm_nobody(seed):
    chance = random.Random(seed)
    network = Network(seed)
    bob = network.add(BOB, allow_refer=True, reliability=Reliability.WHEN_SUPPORTED)
    fickle(bob, chance)
    stranger = Stranger(network, bob)
    stranger.called()
    sent = stranger.request("INVITE")
    extras = "Require: 100rel\nSupported: timer\nSession-Expires: 90\nReplaces: a;to-tag=b;from-tag=c\nRAck: 1 1 INVITE"
    seeds = [invite(extra=extras, to_tag=tag) for tag in ("", "x", sent.from_.tag or "")]
    seeds += [request(method, extra=extras, to_tag="x") for method in ("BYE", "UPDATE", "REFER", "NOTIFY", "PRACK")]
    raw = [text.replace("\n", "\r\n").encode() for text in seeds]
    for status in (180, 200, 302, 401, 422, 487):
        response = sent.respond(status, "", "t1")
        response.headers.add("Contact", "<sip:x@203.0.113.4>")
        response.headers.add("WWW-Authenticate", 'Digest realm="r", nonce="n"')
        response.headers.add("RSeq", "1")
        raw.append(response.to_bytes())
    for _ in range(1_500):
        data = bytearray(chance.choice(raw))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randrange(1, 20)]
                case 2:
                    data[at:at] = data[: chance.randrange(1, 60)]
            data = data or bytearray(b"x")
        network.inject(bytes(data), BOB, STRANGER)
        if chance.random() < 0.02:
            network.run(chance.random() * 20)
    bob.agent.stop(network.now)
    network.run(300.0)
    # A refusal repeats what was wrong with the request, and nothing else of ours is.
    assert all(data.startswith((b"SIP/2.0 4", b"SIP/2.0 5")) for data in network.unreadable)
    assert bob.agent.idle, bob.agent.stats()
    assert bob.agent.next_deadline() is None

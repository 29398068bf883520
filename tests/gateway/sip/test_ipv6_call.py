"""A whole call over IPv6: signalling, description and media."""

import socket

import pytest

from gateway.config.sip import SipConfig
from gateway.sip.uri import SipUri, parse_uri
from tests.gateway.live import line
from twowire.caller.script import Plan
from twowire.caller.sip_call import SipCaller, SipDialled


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_call_over_ipv6_is_answered_and_heard():
    config = SipConfig.model_validate(
        {"listen": ["udp:[::1]:0"], "rtp_ports": [27_000, 27_099], "trunks": [{"name": "v6", "peers": ["::1/128"]}]}
    )
    async with line(sip=config) as it:
        assert it.gateway.sip is not None
        assert it.gateway.sip.uri.startswith("sip:agent@[::1]:")
        target = parse_uri(it.gateway.sip.uri)
        assert isinstance(target, SipUri)
        caller = SipCaller(SipDialled(target), Plan(hang_up_after_s=2.0), it.gateway.base_url, "no token")
        result = await caller.run(None)
    assert result.conversation.timeline().agent
    assert result.media["packets heard"] > 50
    assert result.media["lost"] == 0

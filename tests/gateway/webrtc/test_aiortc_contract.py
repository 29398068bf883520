"""The private names of aiortc and aioice that ``gateway.transports.webrtc_path`` stands on.

An upgrade that changes one of them fails here, by name, before it fails in a call.
"""

import inspect
from importlib.metadata import version

import pytest
from aioice.ice import CandidatePair, Connection, StunProtocol
from aioice.turn import TurnTransport
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCSctpTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES

from gateway.rtp.srtp import DTLS_PROFILES


@pytest.fixture
async def transports():
    ice = RTCIceTransport(RTCIceGatherer([]))
    dtls = RTCDtlsTransport(ice, [RTCCertificate.generateCertificate()])
    yield ice, dtls
    await ice._connection.close()


def test_the_versions_are_those_that_were_read():
    assert version("aiortc").startswith("1.16.")
    assert version("aioice").startswith("0.13.")


async def test_the_ice_transport_has_the_connection_we_listen_on(transports):
    ice, _ = transports
    connection = ice._connection
    assert isinstance(connection, Connection)
    assert connection._protocols == []
    assert connection._check_list == []
    assert connection._nominated == {}
    assert list(inspect.signature(connection.data_received).parameters) == ["data", "component"]


async def test_a_gathered_connection_has_protocols_whose_receiver_can_be_replaced(transports):
    ice, _ = transports
    await ice.iceGatherer.gather()
    assert ice._connection._protocols, "a host address besides loopback"
    for protocol in ice._connection._protocols:
        assert isinstance(protocol, StunProtocol)
        assert isinstance(protocol.id, int)
        assert list(inspect.signature(protocol.datagram_received).parameters) == ["data", "addr"]
        protocol.datagram_received = lambda data, addr: None  # type: ignore[method-assign]
        assert callable(protocol.transport.sendto)


def test_a_relay_sends_as_a_socket_does():
    assert list(inspect.signature(TurnTransport.sendto).parameters) == ["self", "data", "addr"]


def test_a_pair_of_candidates_tells_its_state_and_its_address():
    assert CandidatePair.State.SUCCEEDED.name == "SUCCEEDED"
    assert isinstance(vars(CandidatePair)["remote_addr"], property)
    assert "protocol" in inspect.signature(CandidatePair.__init__).parameters


async def test_the_dtls_transport_takes_a_role_and_keeps_its_connection(transports):
    _, dtls = transports
    assert "_ssl" in vars(dtls)
    dtls._set_role("server")
    assert vars(dtls)["_role"] == "server"


def test_every_protection_profile_of_the_handshake_is_one_of_ours():
    assert {profile.openssl_profile.decode() for profile in SRTP_PROFILES} <= set(DTLS_PROFILES)


async def test_the_data_channels_go_over_the_dtls_transport(transports):
    _, dtls = transports
    sctp = RTCSctpTransport(dtls, 5_000)
    assert list(inspect.signature(sctp.start).parameters) == ["remoteCaps", "remotePort"]
    assert "datachannel" in inspect.getsource(RTCSctpTransport)
    assert list(inspect.signature(sctp._receive_data_chunk).parameters) == ["chunk"]
    assert sctp._sack_misordered == set()
    assert sctp._advertised_rwnd > 65_536
    assert isinstance(sctp._remote_max_message_size, int)

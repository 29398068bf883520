"""The way of one caller to the browser door: ICE and DTLS by aiortc, media past all of it.

A whole aiortc peer costs a tenth of a core, more than the gateway that it should measure. So aiortc sets the call up
and keeps its checks going; media is protected here and sent straight from the socket that ICE chose, and what comes is
handed on as it arrives, undecoded.
"""

import secrets
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.sdp import SessionDescription, candidate_to_sdp
from pylibsrtp import Error as SrtpError

from load_tests.webrtc_sound import Voice

EVENTS = "events"
OFFER_TYPE = "application/sdp"
_SCTP_PORT = 5_000
_MAX_MESSAGE_BYTES = 65_536
_COMPONENT = 1  # RTP and RTCP share it (RFC 5761)
_RTCP = range(192, 224)  # the second octet (RFC 5761 §4)


class PeerError(Exception):
    """There is no way to the other side; the text says what failed."""


class LightPeer:
    """``gather``, ``offer``, ``connect``, then ``send`` and ``on_rtp`` until ``on_lost``; always ``close`` it.

    ``on_rtp`` gets every RTP packet in the clear with its arrival on the monotonic clock.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        on_rtp: Callable[[bytes, float], None],
        on_lost: Callable[[], None],
        *,
        events: bool,
    ) -> None:
        """``events`` asks for the data channel with the call's events, as the talk page does."""
        self.rtcp = 0
        self.garbage = 0
        """Datagrams that are no SRTP of this call."""
        self.messages = 0
        """Of the data channel."""
        self._on_rtp = on_rtp
        self._on_lost = on_lost
        self._gatherer = RTCIceGatherer([])
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [certificate])
        self._sctp = RTCSctpTransport(self._dtls, _SCTP_PORT) if events else None
        self._connection = self._ice._connection
        self._protect: Callable[[bytes], bytes] | None = None
        self._unprotect: Callable[[bytes], bytes] | None = None
        self._sendto: Callable[[bytes, tuple[str, int]], None] | None = None
        self._address = ("", 0)
        self._closing = False

    async def gather(self) -> None:
        """Find our addresses. Raises PeerError when there is none that ICE may use."""
        await self._gatherer.gather()
        if not self._gatherer.getLocalCandidates():
            raise PeerError(NO_ADDRESS)
        protocols: list[Any] = self._connection._protocols
        for protocol in protocols:
            protocol.datagram_received = partial(self._receive, protocol.datagram_received)

    def offer(self, voice: Voice) -> bytes:
        """What a page would offer: one voice in one codec, perhaps the data channel."""
        ice = self._gatherer.getLocalParameters()
        fingerprint = next(f for f in self._dtls.getLocalParameters().fingerprints if f.algorithm == "sha-256")
        transport = [
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{ice.usernameFragment}",
            f"a=ice-pwd:{ice.password}",
            f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
            "a=setup:actpass",
        ]
        lines = [
            "v=0",
            f"o=- {secrets.randbits(48)} 1 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE 0{' 1' if self._sctp else ''}",
            "a=msid-semantic:WMS *",
            f"m=audio 9 UDP/TLS/RTP/SAVPF {voice.payload_type}",
            *transport,
            *(f"a=candidate:{candidate_to_sdp(one)}" for one in self._gatherer.getLocalCandidates()),
            "a=end-of-candidates",
            "a=mid:0",
            "a=sendrecv",
            "a=rtcp-mux",
            f"a=rtpmap:{voice.rtpmap}",
        ]
        if self._sctp is not None:
            lines += [
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                *transport,
                "a=mid:1",
                f"a=sctp-port:{_SCTP_PORT}",
                f"a=max-message-size:{_MAX_MESSAGE_BYTES}",
            ]
        return "".join(line + "\r\n" for line in lines).encode()

    async def connect(self, answer: str) -> None:
        """Check the paths, shake hands, open the data channel. Raises PeerError."""
        try:
            audio = SessionDescription.parse(answer).media[0]
        except (ValueError, IndexError, AssertionError) as error:
            raise PeerError(f"expected an answer with audio, got {type(error).__name__}") from None
        if audio.ice is None or audio.dtls is None or audio.port == 0:
            raise PeerError("expected an answer that takes the audio, got a refusal of it")
        self._connection.ice_controlling = True  # who offers controls (RFC 8445 §6.1.1)
        for candidate in audio.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(audio.ice)
        if self._ice.state != "completed":
            raise PeerError(f"ICE ended as {self._ice.state}")
        self._dtls._set_role("server" if audio.dtls.role == "client" else "client")
        await self._dtls.start(audio.dtls)
        if self._dtls.state != "connected":
            raise PeerError(f"DTLS ended as {self._dtls.state}")
        self._protect = self._dtls._tx_srtp.protect
        self._unprotect = self._dtls._rx_srtp.unprotect
        pair = self._connection._nominated[_COMPONENT]
        self._sendto, self._address = pair.protocol.transport.sendto, pair.remote_addr
        self._dtls.on("statechange", self._note_state)
        if self._sctp is not None:
            await self._sctp.start(RTCSctpCapabilities(_MAX_MESSAGE_BYTES), _SCTP_PORT)
            channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=EVENTS))
            channel.on("message", self._count_message)

    def send(self, packet: bytes) -> None:
        """Protect and send; lost when there is no path yet."""
        if self._protect is not None and self._sendto is not None:
            self._sendto(self._protect(packet), self._address)

    async def close(self) -> None:
        """Say goodbye and give the sockets back; harmless twice."""
        if self._closing:
            return
        self._closing = True
        self._sendto = None
        if self._sctp is not None:
            await self._sctp.stop()
        await self._dtls.stop()
        await self._ice.stop()
        if self._ice.state == "new":  # never started: it does not close what was gathered
            await self._connection.close()

    def _note_state(self) -> None:
        if self._dtls.state in ("closed", "failed") and not self._closing:
            self._sendto = None
            self._on_lost()

    def _count_message(self, _message: str | bytes) -> None:
        self.messages += 1

    def _receive(
        self, receive_other: Callable[[bytes, tuple[Any, ...]], None], data: bytes, address: tuple[Any, ...]
    ) -> None:
        """Every datagram of our socket; RFC 7983 tells them apart by the first octet."""
        at = monotonic()
        if not data or not 128 <= data[0] <= 191:
            receive_other(data, address)
        elif len(data) > 1 and data[1] in _RTCP:
            self.rtcp += 1
        elif self._unprotect is None:
            self.garbage += 1
        else:
            try:
                packet = self._unprotect(data)
            except SrtpError:
                self.garbage += 1
            else:
                self._on_rtp(packet, at)


NO_ADDRESS = (
    "ICE needs an address that is not loopback, and this machine has none; give it one by: "
    "ip link add dummy0 type dummy && ip address add 10.255.255.1/24 dev dummy0 && ip link set dummy0 up"
)

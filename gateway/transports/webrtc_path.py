"""One way to a browser: ICE, DTLS and SCTP by aiortc, and media as datagrams past all of it.

aiortc's own RTP path holds audio back for a third of a second after one lost packet and costs a tenth of a core a
call, so only its transports are used, through its ORTC classes. Datagrams are sorted as they arrive (RFC 7983): STUN
to ICE, DTLS to DTLS, the rest to whoever owns the path; and nothing but STUN is taken from an address whose
connectivity check has not succeeded, for a stranger's handshake could end the caller's (RFC 8445 §7, CVE-2023-49786).
The private names of aiortc and aioice that this needs are held by ``tests/gateway/webrtc/test_aiortc_contract.py``.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from aioice import stun
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
    RTCIceTransportPolicy,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from gateway.rtp.srtp import DTLS_EXPORTER_LABEL, DTLS_PROFILES, Suite, exported_bytes, split_exported
from gateway.webrtc.ice import MAX_CANDIDATES
from gateway.webrtc.offer import BrowserOffer

SCTP_PORT = 5_000
CONNECT_S = 10.0  # ICE and DTLS together; a browser on a good path takes 0.3 s
_MAX_MESSAGE_BYTES = 65_536
_MAX_MISORDERED = 32
_MAX_PAIRS = 256
_DTLS_PER_S, _DTLS_BURST = 200.0, 400.0
_STUN_HEADER_BYTES = 20
_STUN_COOKIE = b"\x21\x12\xa4\x42"  # RFC 8489 §5
_COMPONENT = 1  # RTP and RTCP share it (RFC 5761)

logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells every check, with addresses


@dataclass(frozen=True, slots=True)
class Ice:
    """How servers and addresses of ours are found."""

    servers: tuple[RTCIceServer, ...] = ()
    relay_only: bool = False
    public_hosts: tuple[str, ...] = ()
    """Addresses that a 1:1 NAT gives to this host; announced beside its own."""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What the handshake agreed on, for ``gateway.rtp.stream.MediaStream.use_keys``."""

    suite: Suite
    local_key: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)


class PathFailedError(Exception):
    """No way to the browser was found, or its certificate is not the one it announced. ``reason`` is a label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BrowserPath:
    """Gather, answer, connect, then ``send`` and ``on_media`` until ``on_lost``; always ``close`` it.

    ``on_media`` gets every datagram that is neither STUN nor DTLS; ``on_lost`` is told once when the browser closed
    the path or stopped to answer.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        ice: Ice,
        on_media: Callable[[bytes, float], None],
        on_lost: Callable[[], None],
        on_channel: Callable[[RTCDataChannel], None],
    ) -> None:
        self.refused: Counter[str] = Counter()
        """Datagrams not taken, by reason."""
        self.heard_at = monotonic()
        """When the browser last gave a sign of life."""
        self.connected = False
        self._public_hosts = ice.public_hosts
        self._on_media = on_media
        self._on_lost = on_lost
        self._gatherer = RTCIceGatherer(
            list(ice.servers),
            iceTransportPolicy=RTCIceTransportPolicy.RELAY if ice.relay_only else RTCIceTransportPolicy.ALL,
        )
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [certificate])
        self._sctp = RTCSctpTransport(self._dtls, SCTP_PORT)
        self._sctp.on("datachannel", on_channel)
        self._bound_data()
        self._connection = self._ice._connection
        self._trusted: set[tuple[str, int]] = set()
        self._pair: Any = None
        self._sendto: Callable[[bytes, tuple[str, int]], None] = _nowhere
        self._address = ("", 0)
        self._candidates_taken = 0
        self._dtls_credit = _DTLS_BURST
        self._dtls_at = monotonic()
        self._closing = False

    async def gather(self) -> None:
        """Find our candidates; from now on datagrams arrive. Raises PathFailedError where there is no network."""
        await self._gatherer.gather()
        if not self._connection._protocols:
            raise PathFailedError("no_candidates")
        for protocol in self._connection._protocols:
            receive = partial(self._receive, protocol.datagram_received)
            protocol.datagram_received = receive  # type: ignore[method-assign]

    @property
    def credentials(self) -> tuple[str, str]:
        """Our ICE user name fragment and password."""
        parameters = self._gatherer.getLocalParameters()
        return parameters.usernameFragment or "", parameters.password or ""

    def candidates(self) -> tuple[str, ...]:
        """Ours, as values of ``a=candidate``."""
        found = []
        for candidate in self._gatherer.getLocalCandidates():
            found.append(candidate_to_sdp(candidate))
            if candidate.type == "host" and ":" not in candidate.ip:
                for number, host in enumerate(self._public_hosts):
                    candidate.ip, candidate.foundation = host, f"public{number}"
                    found.append(candidate_to_sdp(candidate))
        return tuple(found)

    async def add_candidates(self, values: Sequence[str], *, end: bool) -> None:
        """Candidates of the browser's, values of ``a=candidate``; what makes no sense, or is too many, is counted."""
        for value in values:
            self._candidates_taken += 1
            if self._candidates_taken > MAX_CANDIDATES:
                self.refused["candidate"] += 1
                continue
            try:
                await self._ice.addRemoteCandidate(candidate_from_sdp(value))
            except (ValueError, IndexError, KeyError, AssertionError, OSError):
                self.refused["candidate"] += 1
        if end:
            await self._ice.addRemoteCandidate(None)

    async def connect(self, offer: BrowserOffer) -> SrtpKeys:
        """Check, shake hands, open the data channels' transport. Raises PathFailedError."""
        # Beside the checks: a name that ends in .local takes a second to look up, or never answers.
        adding = asyncio.ensure_future(self.add_candidates(offer.ice.candidates, end=offer.ice.end_of_candidates))
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._connect(offer)
        except TimeoutError:
            raise PathFailedError("timeout") from None
        finally:
            adding.cancel()
            await asyncio.gather(adding, return_exceptions=True)

    async def _connect(self, offer: BrowserOffer) -> SrtpKeys:
        await self._ice.start(RTCIceParameters(usernameFragment=offer.ice.ufrag, password=offer.ice.pwd))
        if self._ice.state != "completed":
            raise PathFailedError("ice")
        # Our answer says active unless the browser insists (RFC 8842 §5.3): whose first flight comes from us cannot
        # be overtaken by a stranger's.
        self._dtls._set_role("server" if offer.dtls.setup == "active" else "client")
        fingerprints = [RTCDtlsFingerprint(algorithm=name, value=value) for name, value in offer.dtls.fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            raise PathFailedError("dtls")
        keys = self._keys()
        if offer.data is not None:
            await self._sctp.start(
                RTCSctpCapabilities(maxMessageSize=min(_MAX_MESSAGE_BYTES, offer.data.max_message_bytes)),
                offer.data.sctp_port,
            )
        self.connected = True
        self.heard_at = monotonic()
        self._ice.on("statechange", self._note_state)
        self._dtls.on("statechange", self._note_state)
        return keys

    def _keys(self) -> SrtpKeys:
        ssl = self._dtls._ssl
        assert ssl is not None, "the handshake is over"
        suite = DTLS_PROFILES[ssl.get_selected_srtp_profile().decode()]
        material = ssl.export_keying_material(DTLS_EXPORTER_LABEL, exported_bytes(suite))
        local, remote = split_exported(suite, bytes(material), client=self._dtls._role == "client")
        return SrtpKeys(suite, local, remote)

    def send(self, datagram: bytes) -> None:
        """To the browser, over the pair that ICE nominated; lost when there is none."""
        pair = self._connection._nominated.get(_COMPONENT)
        if pair is not self._pair:
            self._pair = pair
            self._sendto, self._address = (
                (_nowhere, ("", 0)) if pair is None else (pair.protocol.transport.sendto, pair.remote_addr)
            )
        self._sendto(datagram, self._address)

    async def close(self) -> None:
        """Say goodbye and give the sockets back; harmless twice."""
        if self._closing:
            return
        self._closing = True
        self.connected = False
        try:
            await self._sctp.stop()
            await self._dtls.stop()
        finally:
            await asyncio.sleep(
                0
            )  # aiortc's monitor must be waiting before the connection closes, or it spins for ever
            await self._ice.stop()

    def _note_state(self) -> None:
        over = self._ice.state in ("failed", "closed") or self._dtls.state in ("closed", "failed")
        if over and self.connected and not self._closing:
            self.connected = False
            self._on_lost()

    def _receive(
        self, receive_stun: Callable[[bytes, tuple[Any, ...]], None], data: bytes, address: tuple[Any, ...]
    ) -> None:
        """Every datagram of one of our sockets, or of our relay."""
        first = data[0] if data else 255
        if first < 4:
            self._receive_stun(receive_stun, data, address)
        elif not self._trusts(address):
            self.refused["unchecked_address"] += 1
        elif 128 <= first <= 191:
            self._on_media(data, monotonic())
        elif 20 <= first <= 63:
            self._receive_dtls(data)
        else:
            self.refused["unknown_kind"] += 1

    def _receive_stun(
        self, receive: Callable[[bytes, tuple[Any, ...]], None], data: bytes, address: tuple[Any, ...]
    ) -> None:
        try:
            if len(data) < _STUN_HEADER_BYTES or data[4:8] != _STUN_COOKIE:
                raise ValueError("expected a STUN header")
            stun.parse_message(data)
        except Exception:  # aioice lets through what struct says of attributes that are cut short
            self.refused["bad_stun"] += 1
            return
        known = (address[0], address[1]) in self._trusted
        if not known and len(self._connection._check_list) >= _MAX_PAIRS:
            self.refused["too_many_pairs"] += 1  # one who knows the password makes one of each port of his
            return
        receive(data, address)
        if known:
            self.heard_at = monotonic()

    def _receive_dtls(self, data: bytes) -> None:
        """Handshakes and data channels; a page has next to nothing to say on these."""
        now = monotonic()
        self._dtls_credit = min(_DTLS_BURST, self._dtls_credit + (now - self._dtls_at) * _DTLS_PER_S)
        self._dtls_at = now
        if self._dtls_credit < 1:
            self.refused["too_much_dtls"] += 1
            return
        self._dtls_credit -= 1
        self._connection.data_received(data, _COMPONENT)

    def _bound_data(self) -> None:
        """Have SCTP drop what it would have to keep and sort: each chunk out of order costs a walk over all others."""
        sctp = self._sctp
        receive, window = sctp._receive_data_chunk, sctp._advertised_rwnd

        async def receive_bounded(chunk: Any) -> None:
            if len(sctp._sack_misordered) > _MAX_MISORDERED or sctp._advertised_rwnd < window - _MAX_MESSAGE_BYTES:
                self.refused["sctp"] += 1
            else:
                await receive(chunk)

        sctp._receive_data_chunk = receive_bounded  # type: ignore[method-assign]

    def _trusts(self, address: tuple[Any, ...]) -> bool:
        """Whether a check with this address has succeeded, over any socket of ours: the browser may choose another."""
        source = address[0], address[1]
        if source in self._trusted:
            return True
        checked = {pair.remote_addr for pair in self._connection._check_list if pair.state.name == "SUCCEEDED"}
        self._trusted |= checked
        return source in checked


def _nowhere(_datagram: bytes, _address: tuple[str, int]) -> None:
    """There is no pair yet, or none any more."""

"""One browser's call: a stream that lives as long as the call, and the path that carries it now."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from time import monotonic, time

import structlog
from aiortc import RTCCertificate, RTCDataChannel

from gateway.events import LegAway, LegBack, LegEnded
from gateway.rtp.call_progress import congestion
from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.stream import MediaStream
from gateway.runner.session import CallSession
from gateway.sdp.formats import MediaCodec
from gateway.sdp.plan import MediaPlan
from gateway.transports.webrtc_leg import WebRtcLeg
from gateway.transports.webrtc_path import SCTP_PORT, BrowserPath, Ice, PathFailedError, SrtpKeys
from gateway.webrtc.answer import LocalPeer, write_answer
from gateway.webrtc.offer import BrowserOffer, plan_of
from wire.audio.codecs import Codec
from wire.bus.seam import Lease

log = structlog.get_logger()

LEG_CODECS = {MediaCodec.OPUS: Codec.L16_16K, MediaCodec.PCMU: Codec.PCMU, MediaCodec.PCMA: Codec.PCMA}
"""In which codec a call's audio crosses the bus."""

DEAD_S = 4.0  # Chromium checks the path every 2.5 s at the latest and sends media every 0.02 to 0.4 s
_APOLOGY_S = 2.0
_GOODBYE_S = 0.5  # for the last packets, and the event that tells the page why
_EVENTS = "events"


class BrowserCall:
    """Answers offers, connects paths, notices their end. ``on_live`` begins the call, ``on_over`` is told once."""

    def __init__(
        self,
        lease: Lease,
        agent: str,
        variables: Mapping[str, str],
        certificate: RTCCertificate,
        ice: Callable[[], Ice],
        on_live: Callable[["BrowserCall"], CallSession],
        on_over: Callable[["BrowserCall", str], None],
    ) -> None:
        self.name = secrets.token_urlsafe(16)
        """Names the session to its browser; whoever knows it may have the call."""
        self.lease = lease
        self.agent = agent
        self.variables = variables
        self.leg: WebRtcLeg | None = None
        self.codec = Codec.PCMU
        self.session: CallSession | None = None
        self.channel: RTCDataChannel | None = None
        """Where the page wants to read the call's events."""
        self.live = False
        """There has been a path: the conversation has begun."""
        self.over = False
        self._certificate = certificate
        self._ice = ice
        self._on_live = on_live
        self._on_over = on_over
        self._path: BrowserPath | None = None
        self._connecting: BrowserPath | None = None
        self._away_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._identity = _identity()

    async def answer(self, offer: BrowserOffer) -> bytes:
        """The answer to a first offer, or to that of a browser that comes back. Connects in the background."""
        path = BrowserPath(self._certificate, self._ice(), self._receive, lambda: self._lost(path), self._open_channel)
        try:
            await path.gather()
        except BaseException:
            await path.close()
            raise
        if self.over:
            await path.close()
            return b""
        superseded, self._connecting = self._connecting, path
        if superseded is not None:
            self._run(superseded.close())
        ufrag, password = path.credentials
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        local = LocalPeer(
            ice_ufrag=ufrag,
            ice_pwd=password,
            candidates=path.candidates(),
            fingerprint=(fingerprint.algorithm, fingerprint.value),
            setup="passive" if offer.dtls.setup == "active" else "active",
            ssrc=self._identity.ssrc,
            cname=self._identity.cname,
            sctp_port=SCTP_PORT,
            session_id=secrets.randbits(48),
        )
        self._run(self._connect(path, offer))
        return write_answer(offer, local)

    async def add_candidates(self, candidates: tuple[str, ...], *, end: bool) -> None:
        """Trickled ones, for the path that is being connected."""
        path = self._connecting or self._path
        if path is not None:
            await path.add_candidates(candidates, end=end)

    def watch(self, now: float, reattach_s: float) -> None:
        """Twice a second: notice a path that died, and a browser that does not come back."""
        path = self._path
        if path is not None and self.leg is not None:
            silent_s = self.leg.stream.silent_s(now)
            unheard_s = now - path.heard_at if silent_s is None else min(silent_s, now - path.heard_at)
            if unheard_s > DEAD_S:
                self._lost(path)
        if self._away_since is not None and self._connecting is None and now - self._away_since > reattach_s:
            self.hang_up("media_timeout")

    @property
    def half_open(self) -> bool:
        """The browser has our answer, and there has been no path yet."""
        return not (self.live or self.over)

    @property
    def ticking(self) -> bool:
        """Media time runs."""
        return self.live and not self.over

    def hang_up(self, reason: str) -> None:
        """The browser is gone, for good."""
        session, self.session = self.session, None
        if session is not None:
            session.post(LegEnded(reason))
        self._close(reason)

    def refused(self) -> tuple[tuple[str, int], ...]:
        """Datagrams that were not taken, by reason."""
        return () if self._path is None else tuple(self._path.refused.items())

    async def closed(self) -> None:
        """Wait until the goodbyes are said."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, path: BrowserPath, offer: BrowserOffer) -> None:
        try:
            keys = await path.connect(offer)
            if self._connecting is path and not self.over:
                self._go_on(path, plan_of(offer), keys)
                return
            reason = "superseded"
        except PathFailedError as error:
            reason = error.reason
        except Exception:
            log.exception("webrtc.connect_fault", call=self.lease.call)
            reason = "fault"
        await path.close()
        if self._connecting is path:
            log.info("webrtc.no_path", call=self.lease.call, reason=reason)
            self._connecting = None
            if not self.live:
                self._close(f"no_path_{reason}")

    def _go_on(self, path: BrowserPath, plan: MediaPlan, keys: SrtpKeys) -> None:
        """There is a path: the call begins, or goes on over it."""
        now = monotonic()
        if self.leg is None:
            self.codec = LEG_CODECS[plan.codec]
            chance = secrets.SystemRandom().random
            stream = MediaStream(plan, self.codec, self._identity, now, time(), chance, find_tones=True)
            self.leg = WebRtcLeg(stream, self._leave)
        else:
            self.leg.stream.update(plan, now)
            self.leg.stream.renumber(secrets.randbits(15))
        self.leg.stream.use_keys(keys.suite, keys.local_key, keys.remote_key)
        self.leg.send = path.send
        before, self._path, self._connecting, self._away_since = self._path, path, None, None
        if before is not None:
            self._run(before.close())
        if not self.live:
            self.live = True
            self.session = self._on_live(self)
            self.leg.begin(self.session)
        elif self.session is not None:
            self.session.post(LegBack())

    def _receive(self, datagram: bytes, now: float) -> None:
        if self.leg is not None:
            self.leg.receive(datagram, now)

    def _lost(self, path: BrowserPath) -> None:
        """The path is dead; the call waits for its browser to come back."""
        if path is self._path and not self.over:
            log.info("webrtc.path_lost", call=self.lease.call)
            assert self.leg is not None, "a path has its leg"
            self.leg.lose_path()
            self._path, self.channel, self._away_since = None, None, monotonic()
            if self.session is not None:
                self.session.post(LegAway())
        self._run(path.close())

    def _open_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == _EVENTS:
            self.channel = channel

    def _leave(self, action: str, _arguments: Mapping[str, str]) -> None:
        """The call's core has let go of the leg."""
        self.session = None
        goodbye_s = _GOODBYE_S
        if action == "failed" and self.leg is not None:
            self.leg.clear()
            self.leg.send_audio(congestion(self.codec, _APOLOGY_S))
            goodbye_s = _APOLOGY_S
        asyncio.get_running_loop().call_later(goodbye_s, self._close, action)

    def _close(self, reason: str) -> None:
        if self.over:
            return
        self.over = True
        if self.leg is not None and self._path is not None:
            self.leg.say_goodbye()
        for path in (self._path, self._connecting):
            if path is not None:
                self._run(path.close())
        self._on_over(self, reason)

    def _run(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _identity() -> StreamIdentity:
    """Unguessable, as RFC 3550 §5.1 asks; the CNAME says nothing of the host (RFC 7022)."""
    return StreamIdentity(
        secrets.randbits(32), secrets.randbits(15), secrets.randbits(32), secrets.token_hex(8) + "@twowire.invalid"
    )

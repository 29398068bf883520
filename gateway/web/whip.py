"""Signalling of browser calls over HTTP, in the shape of WHIP (RFC 9725).

``POST /whip`` begins a call, ``PATCH`` brings candidates, ``DELETE`` hangs up. One thing is ours: a page that lost its
way, or was loaded anew, posts another offer to its session and gets the running call back. For that there is no ICE
restart: a PATCH that asks for one is refused as RFC 9725 §4.3.1 says.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from time import time

from aiohttp import web

from gateway.config.webrtc import IceServer, WebRtcConfig
from gateway.metrics import GatewayMetrics
from gateway.runner.browser import Answered, BrowserCalls, TooManyOffersError, UnknownSessionError
from gateway.runner.hub import NoSlotError
from gateway.sdp.parser import MAX_BYTES
from gateway.web.origins import Origins
from gateway.webrtc.errors import BadOfferError
from gateway.webrtc.offer import BrowserOffer, read_offer
from gateway.webrtc.page_token import BadTokenError, PageClaims, check
from gateway.webrtc.trickle import MEDIA_TYPE as FRAGMENT_TYPE
from gateway.webrtc.trickle import Fragment, read_fragment

WHIP_PATH = "/whip"
OFFER_TYPE = "application/sdp"
BODY_S = 10.0  # an offer is two packets; whoever takes longer holds a connection for nothing

_DOOR = "webrtc"
_NO_SLOT_RETRY_S = "10"  # as the other doors say
_HALF_OPEN_RETRY_S = "5"  # half the life of an offer that nobody follows up
_BEARER = "Bearer "
_SESSION = WHIP_PATH + "/{session:[A-Za-z0-9_-]{1,64}}"

_Handler = Callable[[web.Request, str], Awaitable[web.Response]]  # takes the request and its origin


class Whip:
    """The routes under ``/whip``."""

    def __init__(
        self,
        config: WebRtcConfig,
        calls: BrowserCalls,
        origins: Origins,
        metrics: GatewayMetrics,
        clock: Callable[[], float] = time,
    ) -> None:
        """``clock`` gives wall time."""
        self._config = config
        self._codecs = config.media_codecs
        self._calls = calls
        self._origins = origins
        self._bad_input = metrics.bad_input
        self._clock = clock
        self._ufrags: OrderedDict[str, str] = OrderedDict()  # of each session's ICE session; the oldest go first

    def routes(self) -> list[web.RouteDef]:
        return [
            web.options(WHIP_PATH, self._preflight_endpoint),
            web.post(WHIP_PATH, self._judged(self._open)),
            web.options(_SESSION, self._preflight_session),
            web.post(_SESSION, self._judged(self._reattach)),
            web.patch(_SESSION, self._judged(self._trickle)),
            web.delete(_SESSION, self._judged(self._close)),
        ]

    def _judged(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Origin before all, CORS on whatever comes out, and a typed refusal for whatever is wrong."""

        async def judged(request: web.Request) -> web.Response:
            headers = self._origins.headers(request) | {"Cache-Control": "no-store"}
            try:
                response = await handler(request, self._origins.check(request))
            except web.HTTPForbidden as error:
                response = self._bad(403, "foreign_origin", error.text or "")
            except _RefusedError as error:
                response = self._bad(error.status, error.reason, str(error))
            except BadOfferError as error:
                response = self._bad(400, error.reason, str(error))
            except BadTokenError as error:
                response = self._bad(403 if error.reason == "wrong_origin" else 401, error.reason, str(error))
                response.headers["WWW-Authenticate"] = "Bearer"
            except UnknownSessionError:
                self._ufrags.pop(request.match_info["session"], None)
                response = _refusal(404, "unknown_session", "expected the session of a live call, got another")
            except TooManyOffersError:
                response = _refusal(429, "too_many_offers", "too many offers wait for their connection")
                response.headers["Retry-After"] = _HALF_OPEN_RETRY_S
            except NoSlotError as error:
                response = _refusal(503, error.reason, "every agent is busy")
                response.headers["Retry-After"] = _NO_SLOT_RETRY_S
            response.headers.update(headers)
            return response

        return judged

    async def _preflight_endpoint(self, request: web.Request) -> web.Response:
        headers = self._origins.preflight(request, "OPTIONS, POST")
        return web.Response(status=204, headers=headers | {"Accept-Post": OFFER_TYPE})

    async def _preflight_session(self, request: web.Request) -> web.Response:
        headers = self._origins.preflight(request, "OPTIONS, POST, PATCH, DELETE")
        return web.Response(status=204, headers=headers | {"Accept-Post": OFFER_TYPE, "Accept-Patch": FRAGMENT_TYPE})

    async def _open(self, request: web.Request, origin: str) -> web.Response:
        claims = self._claims(request, origin)
        offer = await self._offer(request)
        variables = {"origin": origin} if origin else {}
        answered = await self._calls.open(offer, claims.agent, variables)
        return self._created(answered, offer, self._config.browser_ice_servers(claims.nonce, self._clock()))

    async def _reattach(self, request: web.Request, _origin: str) -> web.Response:
        """The name of the session is what lets a page in: it is unguessable, and its token is long over."""
        offer = await self._offer(request)
        answered = await self._calls.reattach(request.match_info["session"], offer)
        return self._created(answered, offer, ())

    async def _trickle(self, request: web.Request, _origin: str) -> web.Response:
        fragment = read_fragment(await _body(request, FRAGMENT_TYPE))
        session = request.match_info["session"]
        ufrag = self._ufrags.get(session)
        if ufrag is None:
            raise UnknownSessionError
        _check_ice_session(request.headers.get("If-Match"), fragment, ufrag)
        await self._calls.add_candidates(session, fragment)
        return web.Response(status=204)

    async def _close(self, request: web.Request, _origin: str) -> web.Response:
        session = request.match_info["session"]
        await self._calls.close(session)
        self._ufrags.pop(session, None)
        return web.Response(status=200)

    def _claims(self, request: web.Request, origin: str) -> PageClaims:
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith(_BEARER):
            raise BadTokenError("no_token", "expected Authorization: Bearer and a page token, got none")
        return check(self._config.token_key, authorization.removeprefix(_BEARER).strip(), origin, self._clock())

    async def _offer(self, request: web.Request) -> BrowserOffer:
        return read_offer(await _body(request, OFFER_TYPE), self._codecs)

    def _created(self, answered: Answered, offer: BrowserOffer, servers: Sequence[IceServer]) -> web.Response:
        self._ufrags[answered.session] = offer.ice.ufrag
        self._ufrags.move_to_end(answered.session)
        while len(self._ufrags) > 2 * self._config.max_sessions:  # calls end without telling us
            self._ufrags.popitem(last=False)
        response = web.Response(status=201, body=answered.sdp, content_type=OFFER_TYPE)
        response.headers["Location"] = f"{WHIP_PATH}/{answered.session}"
        response.headers["ETag"] = _etag(offer.ice.ufrag)
        response.headers["Accept-Patch"] = FRAGMENT_TYPE
        for link in links(servers):
            response.headers.add("Link", link)
        return response

    def _bad(self, status: int, reason: str, text: str) -> web.Response:
        self._bad_input.labels(_DOOR, reason).inc()
        return _refusal(status, reason, text)


def _refusal(status: int, reason: str, text: str) -> web.Response:
    return web.json_response({"error": text.strip(), "reason": reason}, status=status)


def links(servers: Sequence[IceServer]) -> list[str]:
    """ICE servers as values of ``Link`` (RFC 9725 §4.6)."""
    found = []
    for server in servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username is not None:
                link += f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
            found.append(link)
    return found


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


async def _body(request: web.Request, media_type: str) -> bytes:
    if request.content_type != media_type or "Content-Encoding" in request.headers:
        raise _RefusedError(415, "wrong_type", f"expected plain {media_type}, got something else")
    if (request.content_length or 0) > MAX_BYTES:
        raise _RefusedError(413, "too_long", f"expected at most {MAX_BYTES} bytes, got {request.content_length}")
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_BYTES:
                    raise _RefusedError(413, "too_long", f"expected at most {MAX_BYTES} bytes, got more")
    except TimeoutError:
        raise _RefusedError(408, "too_slow", f"expected the whole body within {BODY_S:.0f} s") from None
    return body


def _check_ice_session(if_match: str | None, fragment: Fragment, ufrag: str) -> None:
    """RFC 9725 §4.3.1: a PATCH says which ICE session it is for, and ``*`` with another ufrag asks for a restart."""
    if if_match is None:
        raise _RefusedError(428, "no_if_match", "expected If-Match with the ETag of the ICE session, got none")
    wildcard = if_match.strip() in ("*", '"*"')  # RFC 9725 writes the one and shows the other
    if not wildcard and _etag(ufrag) not in (tag.strip() for tag in if_match.split(",")):
        raise _RefusedError(412, "other_ice_session", "expected the ETag of the present ICE session, got another")
    if fragment.ufrag != ufrag:
        raise _RefusedError(422, "ice_restart", "ICE restarts are not done; post a new offer to the session instead")


def _etag(ufrag: str) -> str:
    """Names an ICE session: the browser draws a new ufrag for each."""
    return f'"{hashlib.sha256(ufrag.encode()).hexdigest()[:16]}"'

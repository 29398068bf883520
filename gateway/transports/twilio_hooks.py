"""Twilio's webhooks, and the check that a media stream belongs to a call one of them admitted."""

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog
from aiohttp import web
from picows import WSListener, WSUpgradeRequest

from gateway.config import GatewayConfig
from gateway.events import LegEnded
from gateway.fallback import Greeting, Queue, SmallerEngine, Step, Transfer, Voicemail
from gateway.metrics import GatewayMetrics
from gateway.resumption import Resumption
from gateway.runner.fallback_desk import FallbackDesk
from gateway.runner.hub import CallHub, NoSlotError
from gateway.runner.session import CallSession
from gateway.runner.state_keeper import LEG_BROKE, StateKeeper
from gateway.seams import CallSetup, Leg
from gateway.transports.front_door import MEDIA_PATH
from gateway.transports.twilio_leg import TWILIO_PLAYOUT
from gateway.transports.twilio_socket import StreamRefusedError, TwilioSocket
from gateway.twilio import twiml
from gateway.twilio.messages import CODEC
from gateway.twilio.signature import SIGNATURE_HEADER, SignatureChecker
from gateway.twilio.stream import StreamStarted
from gateway.twilio.tokens import TOKEN_TTL_S, InvalidTokenError, TokenMint
from wire.bus.seam import BusUnavailableError, Lease, OneTimeTokens
from wire.ids import CallId

log = structlog.get_logger()

VOICE_PATH = "/twilio/voice"
QUEUE_PATH = "/twilio/queue"
STEP_PATH = "/twilio/step"
AFTER_PATH = "/twilio/after"
MAX_PENDING = 10_000  # admitted calls whose stream has not come; each lasts a minute at most
_OVER = frozenset({"completed", "canceled", "failed", "busy", "no-answer"})
_SPOKEN_TO = frozenset({"completed", "answered"})
"""How a <Dial> ended that somebody took."""
_CALL_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TwilioHooks:
    """Answers what Twilio asks under ``/twilio``, and decides on media sockets."""

    def __init__(
        self,
        config: GatewayConfig,
        hub: CallHub,
        tokens: OneTimeTokens,
        states: StateKeeper,
        desk: FallbackDesk,
        metrics: GatewayMetrics,
        base_url: str,
    ) -> None:
        auth_token = config.twilio_auth_token.get_secret_value()
        self._agent = config.agent
        self._hub = hub
        self._tokens = tokens
        self._states = states
        self._desk = desk
        self._metrics = metrics
        self._base_url = base_url
        self._stream_url = "ws" + base_url.removeprefix("http") + MEDIA_PATH
        self._signatures = SignatureChecker(auth_token)
        self._mint = TokenMint(auth_token)
        self._pending: dict[CallId, tuple[float, CallSetup, Resumption | None]] = {}
        """Calls whose stream has not come yet, oldest first."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(VOICE_PATH, self._voice),
            web.post(QUEUE_PATH, self._queue),
            web.post(STEP_PATH, self._next_step),
            web.post(AFTER_PATH, self._after),
        ]

    def upgrade(self, request: WSUpgradeRequest) -> WSListener | None:
        """A media socket asks to be opened; its request carries a signature over the bare URL."""
        if not self._signatures.accepts(self._stream_url, {}, request.headers.get(SIGNATURE_HEADER)):
            self._metrics.bad_input.labels("twilio", "signature").inc()
            return None
        return TwilioSocket(self._begin, self._metrics)

    async def _voice(self, request: web.Request) -> web.Response:
        """A call comes in: hold a slot, then answer with a stream; without one, refuse before answering."""
        params = await self._signed_params(request, VOICE_PATH)
        call = CallId(params.get("CallSid", ""))
        if not _CALL_SID.fullmatch(call):
            raise web.HTTPBadRequest(text="CallSid is missing or malformed\n")
        try:
            if not self._hub.draining and await self._desk.must_wait():
                raise NoSlotError("queue")
            await self._hub.admit(call, self._agent, door="twilio")
        except NoSlotError as error:
            if error.reason == "draining":
                return _twiml(twiml.reject_busy())
            return await self._climb(call, params, 0)
        return self._serve(call, params)

    async def _climb(self, call: CallId, params: Mapping[str, str], number: int) -> web.Response:
        """Take the steps of the ladder, from this one on, until one takes the caller's time."""
        steps, said = self._desk.ladder.in_turn, list[Greeting]()
        for following, step in enumerate(steps[number:], number + 1):
            match step:
                case Greeting():
                    said.append(step)
                case SmallerEngine() if said:
                    self._note(*said)
                    return _twiml(twiml.go_on(said, self._step_url(following - 1)))
                case SmallerEngine(engine):
                    with suppress(NoSlotError):
                        await self._hub.admit(call, self._agent, "twilio", engine)
                        return self._serve(call, params)
                case Queue():
                    queued = await self._desk.join(call, "twilio")
                    if queued is not None:
                        self._note(*said)
                        return _twiml(twiml.wait(said, step, queued[1], self._queue_url(time.time(), 0)))
                case Transfer(to):
                    self._note(*said, step)
                    return _twiml(twiml.dial(said, to, self._step_url(following)))
                case Voicemail():
                    self._note(*said, step)
                    return _twiml(twiml.record(said, step, self._base_url + AFTER_PATH))
        self._note(*said)
        answered = bool(number or said)
        return _twiml(twiml.part(said) if answered else twiml.reject_busy())

    async def _next_step(self, request: web.Request) -> web.Response:
        """A step has come to its end, and the caller is still there: what comes next?"""
        params = await self._signed_params(request, STEP_PATH)
        call, number = CallId(params.get("CallSid", "")), request.query.get("step", "")
        if not _CALL_SID.fullmatch(call) or not (number.isdecimal() and len(number) < 4):
            raise web.HTTPBadRequest(text="no step of ours\n")
        if params.get("CallStatus") in _OVER or params.get("DialCallStatus") in _SPOKEN_TO:
            return _twiml(twiml.part(()))
        return await self._climb(call, params, int(number))

    async def _queue(self, request: web.Request) -> web.Response:
        """A caller who waits asks whether it is his turn. All that we know of him stands in the address, signed."""
        params = await self._signed_params(request, QUEUE_PATH)
        call, queue = CallId(params.get("CallSid", "")), self._desk.ladder.queue
        since, told = _waited(request)
        if queue is None or not _CALL_SID.fullmatch(call) or since is None:
            raise web.HTTPBadRequest(text="nobody waits like this\n")
        waited_s = time.time() - since
        place: int | None = None
        if waited_s < queue.max_wait_s:
            try:
                asked = await self._desk.ask(call, self._agent, "twilio")
            except BusUnavailableError:
                asked = 0  # not known
            if isinstance(asked, Lease):
                return self._serve(call, params)
            if asked and waited_s >= (told + 1) * queue.announce_every_s:
                place, told = asked, told + 1
            return _twiml(twiml.wait((), queue, place, self._queue_url(since, told)))
        await self._desk.leave(call)
        return await self._climb(call, params, self._desk.ladder.after_queue())

    def _note(self, *steps: Step) -> None:
        for step in steps:
            self._desk.note("twilio", step.name)

    def _step_url(self, number: int) -> str:
        return f"{self._base_url}{STEP_PATH}?step={number}"

    def _queue_url(self, since: float, told: int) -> str:
        return f"{self._base_url}{QUEUE_PATH}?since={since:.0f}&told={told}"

    def _serve(self, call: CallId, params: Mapping[str, str]) -> web.Response:
        """There is a slot for the caller."""
        self._remember(call, self._setup(params.get("From", ""), params.get("To", "")))
        return self._connect(call)

    def _connect(self, call: CallId) -> web.Response:
        token = self._mint.mint(call, secrets.token_urlsafe(16), time.time())
        return _twiml(twiml.connect_stream(self._stream_url, token, self._base_url + AFTER_PATH))

    async def _after(self, request: web.Request) -> web.Response:
        """The stream has ended, Twilio asks what comes next. A call that was not over goes on, whoever had it."""
        params = await self._signed_params(request, AFTER_PATH)
        call = CallId(params.get("CallSid", ""))
        record = self._hub.records.get(call)
        if "RecordingUrl" in params:  # <Record> asks this document again once the message is taken
            return _twiml(twiml.after_call("hangup", {}))
        if record is not None and record.state == "ended" and record.outcome not in LEG_BROKE:
            return _twiml(twiml.after_call(*record.after))
        try:
            left = await self._states.recall(call)
        except BusUnavailableError:
            left = None
        if left is None or params.get("CallStatus") in _OVER:
            return _twiml(twiml.after_call("hangup", {}))
        if left.after is not None:
            return _twiml(twiml.after_call(*left.after))
        return await self._come_back(call, left)

    async def _come_back(self, call: CallId, left: Resumption) -> web.Response:
        """The stream broke, or the gateway behind it: connect the caller again."""
        if self._hub.draining:
            return _twiml(twiml.ask_again(self._base_url + AFTER_PATH))  # of a gateway that takes calls
        try:
            await self._hub.admit(call, left.agent, door="twilio")
        except NoSlotError:
            return _twiml(twiml.after_call("failed", {}))
        self._remember(call, self._setup(left.caller, left.callee), left)
        return self._connect(call)

    async def _signed_params(self, request: web.Request, path: str) -> dict[str, str]:
        """The form of a request that Twilio signed. Raises HTTPForbidden, before any other work is done."""
        try:
            form = await request.post()
            params = {key: value for key, value in form.items() if isinstance(value, str)}
        except (LookupError, ValueError):  # LookupError: a charset that does not exist
            self._metrics.bad_input.labels("twilio", "form").inc()
            raise web.HTTPBadRequest(text="the form cannot be read\n") from None
        query = f"?{request.query_string}" if request.query_string else ""
        signature = request.headers.get(SIGNATURE_HEADER)
        if not self._signatures.accepts(self._base_url + path + query, params, signature):
            self._metrics.bad_input.labels("twilio", "signature").inc()
            raise web.HTTPForbidden(text="signature does not match\n")
        return params

    def _remember(self, call: CallId, setup: CallSetup, resumed: Resumption | None = None) -> None:
        now = time.monotonic()
        self._pending.pop(call, None)
        while self._pending:
            oldest, (since, *_) = next(iter(self._pending.items()))
            if len(self._pending) < MAX_PENDING and now - since < TOKEN_TTL_S:
                break
            del self._pending[oldest]
        self._pending[call] = now, setup, resumed

    def _setup(self, caller: str, callee: str) -> CallSetup:
        return CallSetup("twilio", CODEC, TWILIO_PLAYOUT, self._agent, caller, callee, echoes=True, returns=True)

    async def _begin(self, started: StreamStarted, leg: Leg) -> CallSession:
        call = CallId(started.call_sid)
        try:
            claims = self._mint.check(started.token, call, time.time())
        except InvalidTokenError as error:
            log.warning("token.invalid", call=call, error=str(error))
            raise StreamRefusedError("token") from None
        try:
            fresh = await self._tokens.spend(claims.nonce, ttl_s=2 * TOKEN_TTL_S)
            if not fresh:
                raise StreamRefusedError("token_replayed")
            setup, resumed = await self._expected(call)
            lease = await self._hub.confirm(call, setup.agent, door="twilio")
        except BusUnavailableError:
            raise StreamRefusedError("bus_unavailable") from None
        except NoSlotError as error:
            raise StreamRefusedError(error.reason) from None
        if resumed is not None:
            self._hub.post(call, LegEnded("leg_lost"))  # a stream that broke, and that we have not missed yet
        if self._hub.is_live(call):  # asked last: nothing can come between this and the attachment
            raise StreamRefusedError("call_is_live")
        return self._hub.attach(lease, setup, leg, resumed)

    async def _expected(self, call: CallId) -> tuple[CallSetup, Resumption | None]:
        """Who calls, and what was before: as the webhook told, which another gateway may have answered."""
        pending = self._pending.pop(call, None)
        if pending is not None:
            return pending[1:]
        left = None if self._hub.is_live(call) else await self._states.recall(call)
        if left is None or left.after is not None:
            return self._setup("", ""), None
        return self._setup(left.caller, left.callee), left


def _waited(request: web.Request) -> tuple[float | None, int]:
    """Since when (Unix seconds) a caller waits, and how often he was told his place; as our own address says."""
    since, told = request.query.get("since", ""), request.query.get("told", "")
    if not (since.isdecimal() and told.isdecimal() and len(since) < 16 and len(told) < 6):
        return None, 0
    return float(since), int(told)


def _twiml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")

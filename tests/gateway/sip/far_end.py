"""A real gateway with a SIP door on loopback, and telephones of our own stack at its far ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from pydantic import SecretStr

from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.config.sip import SipConfig
from gateway.sip.ua.config import METHODS
from gateway.sip.uri import SipUri, parse_uri
from gateway.transports.rtp_ports import RtpPorts
from tests.gateway.live import API_TOKEN, AUTH_TOKEN, WAIT_S, RuleWorker
from tests.gateway.sip.telephone import HOST, Telephone
from wire.bus.local import LocalHub
from wire.bus.seam import WorkerAdvert
from wire.ids import GatewayId
from wire.messages import CallOpened


class SipWorker(RuleWorker):
    """Speaks as its rule says, and can be waited for."""

    async def opened(self, number: int = 1) -> CallOpened:
        await self.until(lambda _: len(self.of(CallOpened)) >= number)
        newest: CallOpened = self.of(CallOpened)[-1]
        return newest


class SipLine:
    """A gateway, its worker, and its API."""

    def __init__(self, gateway: Gateway, worker: SipWorker, http: aiohttp.ClientSession) -> None:
        assert gateway.sip is not None
        self.gateway = gateway
        self.worker = worker
        self.http = http
        self.door = gateway.sip
        self._phones: list[Telephone] = []
        self._ports = RtpPorts(HOST, 22_000, 22_999)

    @property
    def uri(self) -> SipUri:
        uri = parse_uri(self.door.uri)
        assert isinstance(uri, SipUri)
        return uri

    async def telephone(self, codecs: tuple[str, ...] = ("PCMU",), *, refer: bool = True, **config: Any) -> Telephone:
        """``refer`` False is a telephone that does not know REFER."""
        methods = METHODS if refer else tuple(method for method in METHODS if method != "REFER")
        phone = Telephone(self._ports, codecs, allow_refer=refer, methods=methods, **config)
        await phone.start()
        self._phones.append(phone)
        return phone

    async def dial(self, token: str = API_TOKEN, **body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.gateway.base_url}/api/calls", json=body, headers=headers) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else {"text": await response.text()}

    async def record(self, call: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self.http.get(f"{self.gateway.base_url}/api/calls/{call}", headers=headers) as response:
            assert response.status == 200
            body: dict[str, Any] = await response.json()
            return body

    async def state(self, call: str, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The record, once it is so."""
        async with asyncio.timeout(WAIT_S):
            while not true(record := await self.record(call)):
                pass  # each question is a round trip, in which the gateway goes on
        return record

    async def metric(self, name: str) -> float:
        async with self.http.get(self.gateway.base_url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    async def until_metric(self, name: str, value: float) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.metric(name) != value:
                pass

    async def stop_phones(self) -> None:
        for phone in self._phones:
            await phone.stop()


def sip_config(*trunks: dict[str, Any], **settings: Any) -> SipConfig:
    """Loopback, any port; ``trunks`` default to one that takes calls from this machine."""
    return SipConfig.model_validate(
        {
            "listen": [f"udp:{HOST}:0", f"tcp:{HOST}:0"],
            "rtp_ports": [21_000, 21_999],
            "trunks": trunks or ({"name": "loopback", "peers": ["127.0.0.0/8"]},),
            **settings,
        }
    )


@asynccontextmanager
async def sip_line(sip: SipConfig | None = None, slots: int = 8, **more: Any) -> AsyncIterator[SipLine]:
    hub = LocalHub()
    worker = SipWorker(hub)
    await worker.start()
    await hub.placement.advertise(WorkerAdvert(worker.id, "rule", slots, 400, 400), ttl_s=60)
    settings: dict[str, Any] = {
        "port": 0,
        "gateway_id": "g1",
        "drain_limit_s": WAIT_S,
        "twilio_auth_token": SecretStr(AUTH_TOKEN),
        "api_token": SecretStr(API_TOKEN),
        **more,
    }
    gateway = Gateway(GatewayConfig(**settings), *hub.open(GatewayId("g1")), sip=sip or sip_config())
    await gateway.start()
    async with aiohttp.ClientSession() as http:
        line = SipLine(gateway, worker, http)
        try:
            yield line
        finally:
            await line.stop_phones()
            await gateway.stop()
            await worker.close()

"""``POST /api/calls``: have the gateway place a call."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.runner.outbound import Dial, DialOrder, Fault, NotDialledError
from gateway.web.bearer import BearerToken

_STATUS = {Fault.MALFORMED: 400, Fault.UNKNOWN_TRUNK: 404, Fault.NO_CAPACITY: 503}
_RETRY_AFTER_S = "10"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Value = Annotated[str, StringConstraints(max_length=512)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    to: str = Field(min_length=1, max_length=512)
    trunk: str = Field("", max_length=64)
    agent: str = Field("", max_length=64)
    caller_id: str = Field("", max_length=64)
    variables: dict[Name, Value] = Field(default_factory=dict, max_length=24)
    ring_s: float = Field(60.0, gt=0, le=180)


class Dialling:
    """The one route that makes somebody's telephone ring."""

    def __init__(self, token: BearerToken, dial: Dial) -> None:
        self._token = token
        self._dial = dial

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/calls", self._post)]

    async def _post(self, request: web.Request) -> web.Response:
        self._token.check(request)
        try:
            body = _Body.model_validate_json(await request.read())
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            return _refusal(400, "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults))
        try:
            call = await self._dial(DialOrder(**body.model_dump()))
        except NotDialledError as error:
            return _refusal(_STATUS[error.fault], str(error))
        return web.json_response({"call": call}, status=202)


def _place(where: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in where) or "body"


def _refusal(status: int, text: str) -> web.Response:
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    return web.json_response({"error": text}, status=status, headers=headers)

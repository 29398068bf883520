"""Ask a gateway what it noted of a call."""

import asyncio
from typing import Any

import aiohttp

from twowire.caller.result import CallResult

_WAIT_S = 3.0  # the gateway notices the end of a call at once, its last figures follow within a chunk
_POLL_S = 0.1


async def fetch_record(
    http: aiohttp.ClientSession, url: str, api_token: str, result: CallResult, headers: dict[str, str] | None = None
) -> None:
    """Put the record at ``url`` into the result, once the call has ended there too."""
    headers = (headers or {}) | {"Authorization": f"Bearer {api_token}"}
    try:
        async with asyncio.timeout(_WAIT_S):
            while True:
                async with http.get(url, headers=headers) as response:
                    if response.status == 401:
                        result.record_trouble = "the API token was refused; set --api-token or TWOWIRE_API_TOKEN"
                        return
                    if response.status == 200:
                        result.record = await _body(response)
                if result.record.get("state", "live") != "live":
                    return
                await asyncio.sleep(_POLL_S)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if not result.record:
            result.record_trouble = f"no record at {url}: {str(error) or type(error).__name__}"


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await response.json()
    return body if isinstance(body, dict) else {}

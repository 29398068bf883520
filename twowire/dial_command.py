"""``twowire dial``: have a running gateway call somebody, and let an agent talk to whoever answers."""

import asyncio
import sys
from typing import Any

import click

REFUSED = 1
CANNOT_CONNECT = 3
_ASK_EVERY_S = 0.5
_TIMEOUT_S = 10.0


@click.command()
@click.argument("to", metavar="SIP-URI|NUMBER")
@click.option("--agent", default="", metavar="NAME", help="Agent that talks.  [default: the gateway's]")
@click.option("--trunk", default="", metavar="NAME", help="Trunk to call over; not needed when there is one.")
@click.option("--caller-id", default="", metavar="NUMBER", help="Number that is shown.  [default: the trunk's]")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Variable for the agent. Repeatable.")
@click.option("--ring-s", type=click.FloatRange(1, 180), default=60.0, show_default=True, help="How long it may ring.")
@click.option("--no-wait", is_flag=True, help="Print the call's name and leave; do not wait for its end.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The gateway.")
@click.option(
    "--api-token",
    envvar="TWOWIRE_API_TOKEN",
    default="twowire-demo-api-token",
    help="The gateway's API token (TWOWIRE_API_TOKEN).  [default: that of `twowire demo`]",
)
def dial(to: str, variables: tuple[str, ...], no_wait: bool, url: str, api_token: str, **order: Any) -> None:
    """Have a running gateway call a SIP-URI or a number, and wait until the call is over.

    \b
    Exit codes:
      0  somebody answered (with --no-wait: it rings)
      1  the gateway refused, or nobody answered
      2  wrong usage
      3  no gateway at the address
    """
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url: expected an address that starts with http:// or https://, got {url}")
    body = {"to": to, "variables": _variables(variables), **order}
    sys.exit(asyncio.run(_dial(body, url.rstrip("/"), api_token, wait=not no_wait)))


def _variables(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise click.UsageError(f"--var: expected NAME=VALUE, got {pair!r}")
        found[name] = value
    return found


async def _dial(body: dict[str, Any], url: str, token: str, *, wait: bool) -> int:
    """The exit code."""
    import aiohttp

    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        try:
            async with http.post(f"{url}/api/calls", json=body) as response:
                if response.status != 202:
                    json = response.content_type == "application/json"
                    text = (await response.json())["error"] if json else (await response.text()).strip()
                    click.echo(f"Error: {url} refused: {text}", err=True)
                    return REFUSED
                call = (await response.json())["call"]
            click.echo(f"{call}  dialling")
            return await _follow(http, f"{url}/api/calls/{call}", call) if wait else 0
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or type(error).__name__
            click.echo(f"Error: {url}: {what}; start a gateway with `twowire demo`", err=True)
            return CANNOT_CONNECT


async def _follow(http: Any, address: str, call: str) -> int:
    """Print each change of the call's state until it is over."""
    state, answered = "dialling", False
    while True:
        async with http.get(address) as response:
            if response.status != 200:
                click.echo(f"Error: {address} is forgotten", err=True)
                return REFUSED
            record = await response.json()
        answered = answered or record["state"] == "live" or record["duration_s"] is not None
        if record["state"] != state:
            state = record["state"]
            click.echo(f"{call}  {_tell(record)}")
        if state == "ended":
            return 0 if answered else REFUSED
        await asyncio.sleep(_ASK_EVERY_S)


def _tell(record: dict[str, Any]) -> str:
    if record["state"] != "ended":
        return str(record["state"])
    by = "" if record["answered_by"] is None else f", answered by {record['answered_by']}"
    length = "" if record["duration_s"] is None else f" after {record['duration_s']:.1f} s{by}"
    return f"ended: {record['outcome']}{length}"

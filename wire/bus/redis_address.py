"""The forms that the address of a Redis takes.

One server: ``redis://``, ``rediss://`` (TLS), ``unix://``; redis-py reads these. And two forms that name
whom to ask where the server is now:

- ``redis+sentinel://[user:password@]host:26379,host2:26379/master[/db][?sentinel_username=…&sentinel_password=…]``
- ``redis+cluster://[user:password@]host:7000,host2:7001``

``rediss+…`` is TLS to those who are asked and to the server, and takes the ``ssl_…`` options of redis-py.
A password with one of ``@ : / ? # %`` in it, in the query also ``& +``, is percent-encoded.
"""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio import SSLConnection
from redis.asyncio.connection import parse_url

HostPort = tuple[str, int]

UNREADABLE = "an address that cannot be read"
_SENTINEL_PORT = 26379
_CLUSTER_PORT = 6379
_SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
_TLS_OPTIONS = {name for name in inspect.signature(SSLConnection).parameters if name.startswith("ssl_")}
_FOLLOWED = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://"
    r"(?:(?P<user>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>(?:/[^@?#]*)?)(?:\?(?P<query>[^@#]*))?"
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A server that moves, and whom to ask where it is."""

    seeds: tuple[HostPort, ...]
    master: str | None
    """The name by which the Sentinels know it; None: the seeds are nodes of a cluster."""
    server_options: dict[str, Any] = field(repr=False)
    """User, password, database and TLS, as a connection of redis-py takes them."""
    seed_options: dict[str, Any] = field(repr=False)
    """The same for a connection to a seed."""


def parse(url: str) -> Followed | None:
    """Read an address; None for one that names its server itself.

    Raises ValueError, whose text holds nothing of the address: any part of it may be a password.
    """
    if not url.startswith(("redis+", "rediss+")):
        return None
    match = _FOLLOWED.fullmatch(url)
    if match is None:
        raise ValueError("expected redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port")
    options = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    path = [unquote(part) for part in match["path"].split("/")[1:]]
    if match["kind"] == "cluster":
        if path not in ([], [""], ["0"]):
            raise ValueError("a cluster has no path and one database only, 0")
        seeds, server = _read(match, options, _CLUSTER_PORT)
        return Followed(seeds, None, server, server)

    if not 1 <= len(path) <= 2 or not path[0]:
        raise ValueError(
            "expected the name of the master after the Sentinels, as in redis+sentinel://host:26379/master"
        )
    db = path[1] if len(path) == 2 else "0"
    if not (db.isascii() and db.isdigit()):
        raise ValueError("the database after the name of the master must be a number")
    login = {_SENTINEL_OPTIONS[name]: options.pop(name) for name in _SENTINEL_OPTIONS if name in options}
    seeds, server = _read(match, options, _SENTINEL_PORT)
    tls = {name: value for name, value in server.items() if name not in ("username", "password")}
    return Followed(seeds, path[0], {**server, "db": int(db)}, {**tls, **login})


def mask(url: str) -> str:
    """The address without whatever may hold a password: user, query and fragment."""
    if url.startswith(("redis+", "rediss+")):
        match = _FOLLOWED.fullmatch(url)
        return f"{match['scheme']}+{match['kind']}://{match['hosts']}{match['path']}" if match else UNREADABLE
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return UNREADABLE
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a slash in it ends the host too early
        return UNREADABLE
    return f"{parts.scheme}://{host or ''}{f':{port}' if port else ''}{parts.path}"


def _read(
    match: re.Match[str], options: dict[str, str], default_port: int
) -> tuple[tuple[HostPort, ...], dict[str, Any]]:
    """The seeds, and the options that all connections share. redis-py reads each seed as it would read a plain URL."""
    if options.keys() - (_TLS_OPTIONS if match["scheme"] == "rediss" else ()):
        raise ValueError("the options are sentinel_username and sentinel_password, and with rediss+… ssl_… of redis-py")
    user = f"{match['user']}@" if match["user"] else ""
    seeds: list[HostPort] = []
    shared: dict[str, Any] = {}
    for seed in match["hosts"].split(","):
        try:
            shared = dict(parse_url(f"{match['scheme']}://{user}{seed}?{urlencode(options, quote_via=quote)}"))
        except ValueError:
            shared = {}
        if not (host := shared.pop("host", "")):
            raise ValueError(
                "expected host:port,host:port before the path, and ssl_… options with values that are valid"
            )
        seeds.append((host, shared.pop("port", default_port)))
    return tuple(seeds), shared

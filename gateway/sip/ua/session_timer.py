"""Session timers: how long a call lives without a sign of life, and who gives it (RFC 4028)."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sip.message import Message, Request, Response
from gateway.sip.ua.config import SessionTimerSettings

MAX_INTERVAL_S = 2**31  # a number beyond is nonsense, and no float of seconds is hurt below


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sides agreed on; after ``interval_s`` without a refresh the call ends."""

    interval_s: int
    we_refresh: bool

    @property
    def refresh_after_s(self) -> float:
        return self.interval_s / 2  # §7.2: half the interval is recommended

    @property
    def expires_after_s(self) -> float:
        """§10: the BYE goes out a little before, so that the peer still knows the dialog."""
        return self.interval_s - min(32.0, self.interval_s / 3)


@dataclass(frozen=True, slots=True)
class Accepted:
    """``fields`` belong into the 2xx; ``terms`` is None when the call runs without a timer."""

    terms: Terms | None
    fields: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class TooShort:
    """Answer 422 with ``Min-SE: min_s`` (§9)."""

    min_s: int


def delta_seconds(value: str | None) -> int | None:
    """The number before any parameters; None when there is none, or no sane one."""
    digits = (value or "").partition(";")[0].strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    return min(int(digits), MAX_INTERVAL_S)


def min_se(message: Message) -> int:
    return delta_seconds(message.headers.get("Min-SE")) or 0


def ask(settings: SessionTimerSettings, floor_s: int = 0, current: Terms | None = None) -> list[tuple[str, str]]:
    """The fields of an INVITE or UPDATE of ours. ``floor_s`` is the largest Min-SE a 422 showed us.

    A refresh keeps the roles of ``current`` (§7.4): we are the client of this transaction.
    """
    if current is not None:
        interval_s, refresher = current.interval_s, ";refresher=uac" if current.we_refresh else ";refresher=uas"
    else:
        interval_s, refresher = settings.interval_s, ""
    if interval_s == 0:
        return []
    floor_s = max(floor_s, settings.min_s)
    return [("Session-Expires", f"{max(interval_s, floor_s)}{refresher}"), ("Min-SE", str(floor_s))]


def accept(request: Request, settings: SessionTimerSettings, current: Terms | None = None) -> Accepted | TooShort:
    """Decide as the server of an INVITE or UPDATE (§9, table 2).

    A peer without ``timer`` among its option tags is never made to refresh, and gets a timer only
    when somebody on the way asked for one.
    """
    asked_s = delta_seconds(request.headers.get("Session-Expires"))
    supported = "timer" in {tag.lower() for tag in (*request.tokens("Supported"), *request.tokens("Require"))}
    if asked_s is None:
        if settings.interval_s == 0 or not supported:
            return Accepted(None)
        interval_s = max(settings.interval_s, min_se(request))
        refresher = None
    else:
        if asked_s < settings.min_s and supported:
            return TooShort(settings.min_s)
        wanted_s = min(asked_s, settings.interval_s or asked_s)
        interval_s = min(asked_s, max(wanted_s, settings.min_s, min_se(request)))
        refresher = _refresher(request.headers.get("Session-Expires") or "")
    if refresher is None:
        if current is not None:
            refresher = "uas" if current.we_refresh else "uac"
        else:
            refresher = "uas" if settings.uas_refreshes else "uac"
    if not supported:
        refresher = "uas"
    fields = [("Session-Expires", f"{interval_s};refresher={refresher}")]
    if refresher == "uac":
        fields.append(("Require", "timer"))
    return Accepted(Terms(interval_s, we_refresh=refresher == "uas"), fields)


def agreed(response: Response) -> Terms | None:
    """Read the terms out of a 2xx to our request (§7.2). Without a refresher we take the duty."""
    value = response.headers.get("Session-Expires")
    interval_s = delta_seconds(value)
    if value is None or not interval_s:
        return None
    return Terms(interval_s, we_refresh=_refresher(value) != "uas")


def _refresher(value: str) -> str | None:
    _, semicolon, rest = value.partition(";")
    for part in rest.split(";") if semicolon else ():
        name, _, role = part.partition("=")
        if name.strip().lower() == "refresher" and role.strip().lower() in ("uac", "uas"):
            return role.strip().lower()
    return None

"""What a user agent is told once: its name, its abilities, its limits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.sip.flow import Flow, Target
from gateway.sip.transaction.timers import Timers
from gateway.sip.uri import SipUri

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY")
OPTION_TAGS = ("100rel", "timer", "replaces", "norefersub")


class Reliability(Enum):
    """When provisional responses are sent reliably (RFC 3262). Required by the caller, they always are."""

    WHEN_REQUIRED = "when required"
    WHEN_SUPPORTED = "when supported"


@dataclass(frozen=True, slots=True)
class SessionTimerSettings:
    """RFC 4028. ``interval_s`` 0 asks for no timer, but a caller who asks gets one."""

    interval_s: int = 1_800  # §4: the recommended value
    min_s: int = 90  # §5: the least anybody may ask for
    uas_refreshes: bool = False  # who refreshes when the caller left the choice to us


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """Every state has an end; most are seconds, some are counts."""

    max_calls: int = 2_000
    max_dialogs: int = 4_000
    max_forks: int = 8  # callees that may ring at once for one INVITE of ours
    max_redirects: int = 5  # 0: a 3xx ends the call
    max_targets: int = 8  # addresses tried for one request
    ringing_s: float = 180.0  # §13.2.1: an INVITE without Expires; proxies give up after 3 minutes as well (timer C)
    offer_s: float = 10.0  # for the application to answer an offer; the peer gives up at 32 s
    resolve_s: float = 10.0
    transfer_s: float = 180.0  # a transferee that reports nothing for this long has failed
    retry_wait_s: float = 30.0  # RFC 5626 §4.5: base and bound of the waits of a failed registration
    max_retry_wait_s: float = 1_800.0


@dataclass(frozen=True, slots=True)
class UserAgentConfig:
    """``contact`` gives our Contact as the peer on a flow can reach it, ``flow_to`` the way to a target."""

    contact: Callable[[Flow], SipUri]
    flow_to: Callable[[Target], Flow]
    user_agent: str = "twowire"
    methods: tuple[str, ...] = METHODS
    option_tags: tuple[str, ...] = OPTION_TAGS
    reliability: Reliability = Reliability.WHEN_REQUIRED
    session_timer: SessionTimerSettings = field(default_factory=SessionTimerSettings)
    limits: AgentLimits = field(default_factory=AgentLimits)
    timers: Timers = field(default_factory=Timers)
    allow_refer: bool = False
    large_requests_over_tcp: bool = True  # §18.1.1: more than 1300 bytes
    register_refresh: float = 0.75  # of what the registrar granted

    @property
    def allow(self) -> str:
        return ", ".join(self.methods)

    @property
    def supported(self) -> str:
        return ", ".join(self.option_tags)

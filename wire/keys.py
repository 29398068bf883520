"""Every key in Redis. No other module spells one.

All keys carry the hash tag ``{twowire}``: on a Redis Cluster they share one slot, which the
Lua scripts of placement need.
"""

from wire.ids import CallId, GatewayId, WorkerId

_PREFIX = "{twowire}"

ADVERTS = f"{_PREFIX}:workers"
"""Hash: worker id to its advert (JSON)."""

HEARTBEATS = f"{_PREFIX}:heartbeats"
"""Sorted set: worker id by the server time, in seconds, until which it counts as alive."""

CALL_LEASES = f"{_PREFIX}:calls"
"""Hash: call id to the worker that serves it."""

WAITING = f"{_PREFIX}:waiting"
"""Sorted set: call that waits for a slot, by the server time at which it came."""

WAITING_ASKED = f"{_PREFIX}:waiting:asked"
"""Sorted set: the same calls by when they last asked for their place."""

PAST_CALLS = f"{_PREFIX}:past"
"""Sorted set: id of a call that is over by when it began, in Unix seconds."""


def worker_leases(worker: WorkerId | str) -> str:
    """Sorted set: call id by the server time, in seconds, at which its lease on the worker ends."""
    return f"{_PREFIX}:leases:{worker}"


def worker_stream(worker: WorkerId | str) -> str:
    """Stream: super-frames to one worker."""
    return f"{_PREFIX}:up:{worker}"


def gateway_stream(gateway: GatewayId | str) -> str:
    """Stream: super-frames to one gateway."""
    return f"{_PREFIX}:down:{gateway}"


def spent_token(nonce: str) -> str:
    """String with a time to live: this one-time token was used."""
    return f"{_PREFIX}:spent:{nonce}"


def past_call(call: CallId | str) -> str:
    """Hash with a time to live: ``summary`` and ``story`` of a call that is over."""
    return f"{_PREFIX}:past:{call}"


def live_call(call: CallId | str) -> str:
    """String with a time to live: what a gateway needs to go on with a call of another one."""
    return f"{_PREFIX}:live:{call}"


def recorded_call(call: CallId | str) -> str:
    """List with a time to live: the parts of a recorded call (``wire.recorded``), with its caller's voice."""
    return f"{_PREFIX}:recorded:{call}"

"""Where load may go: to this machine."""

from ipaddress import ip_address


class NotLoopbackError(Exception):
    """The load was to leave this machine."""


def check_loopback(host: str) -> None:
    """Raises NotLoopbackError unless ``host`` is an address of the loopback interface."""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotLoopbackError(f"expected an address of the loopback interface, got {host!r}")

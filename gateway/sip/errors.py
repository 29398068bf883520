"""What is wrong with a SIP message, and what to answer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.sip.message import Request


class SipParseError(Exception):
    """Input that is not SIP as RFC 3261 §25 has it.

    ``reason`` is a metric label of few values. ``status`` is the answer a request deserves, None
    where nothing can be answered; ``request`` is the message as far as it was read, for that answer.
    """

    def __init__(self, reason: str, text: str = "", status: int | None = 400, request: "Request | None" = None) -> None:
        super().__init__(text or reason)
        self.reason = reason
        self.status = status
        self.request = request

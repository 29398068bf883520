"""What can be wrong with a session description, or with two of them together."""


class SdpError(Exception):
    """Bytes that are no session description, or one beyond our limits. ``reason`` is a metric label of few values."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason


class NegotiationError(Exception):
    """An offer or answer that we cannot live with; the answer to an offer is then 488.

    ``reason`` is a metric label of few values. The text never holds a key.
    """

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason


class NoCommonCodecError(NegotiationError):
    """No audio stream is left that both sides can speak."""


class SecurityMismatchError(NegotiationError):
    """The peer's media is less protected than our policy or the call so far asks, or protected in a way we refuse."""

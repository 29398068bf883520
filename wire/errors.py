"""What can be wrong with bytes that arrive over the bus."""

from typing import ClassVar


class WireError(Exception):
    """The peer sent bytes that are not a message of ours.

    ``reason`` is the label the damaged frame is counted under; it takes few values.
    """

    reason: ClassVar[str] = "malformed"


class UnknownVersionError(WireError):
    """The frame was written by a release that speaks another wire version."""

    reason: ClassVar[str] = "version"


class ShortFrameError(WireError):
    """The bytes end before the frame does."""

    reason: ClassVar[str] = "short"


class OversizedFrameError(WireError):
    """The frame claims more bytes than any message may have."""

    reason: ClassVar[str] = "oversized"


class DamagedFrameError(WireError):
    """The checksum, the mark at the front or the layout of the body does not hold."""

    reason: ClassVar[str] = "damaged"

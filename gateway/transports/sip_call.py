"""One call leg of the SIP door, and who has it at the moment."""

import secrets
from typing import Protocol

from gateway.runner.session import CallSession
from gateway.sip.identity import Identity
from gateway.sip.trunk import Trunk
from gateway.sip.ua.effects import CallHandle, EndCause, Reason
from gateway.sip.uri import SipUri
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.sip_media import SipMedia
from wire.bus.seam import Lease
from wire.ids import CallId

NORMAL = Reason("Q.850", 16, "Normal call clearing")
OUT_OF_ORDER = Reason("Q.850", 27, "Destination out of order")
NO_ANSWER = Reason("Q.850", 19, "No answer from user")
NO_MEDIA = Reason("SIP", 408, "No media received")


def new_call_id() -> CallId:
    return CallId("sip-" + secrets.token_hex(12))


class CallOwner(Protocol):
    """Who decides on a leg: the desk of a call that rings out, its conversation, or the transfer it is in."""

    def answered(self, call: "SipCall", sdp: bytes | None) -> None:
        """The dialog stands: our answer was acknowledged, or the peer's came. ``sdp`` is what answers our offer."""

    def ended(self, call: "SipCall", cause: EndCause, status: int) -> None:
        """The dialog is over, and the leg closed."""

    def dead(self, call: "SipCall") -> None:
        """No media for too long, or no keys for it."""

    def key_pressed(self, call: "SipCall", key: str) -> None:
        """A key by INFO."""

    def referred(self, call: "SipCall", status: int, *, final: bool) -> None:
        """How far our REFER got."""


class SipCall:
    """One leg, from its INVITE, theirs or ours, to the end of its dialog.

    ``home`` is where numbers are asked for at the peer.
    """

    def __init__(
        self, owner: CallOwner, handle: CallHandle, trunk: Trunk, media: SipMedia, home: SipUri, *, outgoing: bool
    ) -> None:
        self.id = new_call_id()
        self.owner = owner
        self.handle = handle
        self.trunk = trunk
        self.media = media
        self.home = home
        self.outgoing = outgoing
        self.agent = ""
        self.who = Identity("", "")
        self.lease: Lease | None = None
        self.leg: RtpLeg | None = None
        self.session: CallSession | None = None
        """While the call's core has the leg."""
        self.attached = False
        self.ended = False

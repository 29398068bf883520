"""One dialog in the place of another (RFC 3891)."""

from gateway.sip.dialog import Dialog, DialogId
from gateway.sip.message import Request
from gateway.sip.ua.session import Call, CallTable, Phase


class ReplacesError(Exception):
    """A Replaces that cannot be followed; ``status`` is the answer to its INVITE (§3)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_replaced(calls: CallTable, invite: Request, trunk: str) -> Call | None:
    """Find the call that ``invite`` wants to replace; None when it has no Replaces.

    §4 asks to authorize: a peer may replace only calls of its own trunk, and those we placed.
    """
    values = invite.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1 or "," in values[0]:
        raise ReplacesError(400, f"expected one Replaces, got {values}")
    call_id, _, rest = values[0].partition(";")
    params: dict[str, str] = {}
    for part in rest.split(";"):
        name, _, value = part.partition("=")
        if name.strip():
            params[name.strip().lower()] = value.strip()
    if not params.get("to-tag") or not params.get("from-tag"):
        raise ReplacesError(400, f"expected a to-tag and a from-tag, got {values[0]!r}")
    # RFC 2543 peers have no tag; "0" stands for it (§3), and is tried second.
    session = calls.session(DialogId(call_id.strip(), params["to-tag"], params["from-tag"]))
    if session is None and params["from-tag"] == "0":
        session = calls.session(DialogId(call_id.strip(), params["to-tag"], ""))
    if session is None:
        raise ReplacesError(481, "expected a dialog of ours, got an unknown one")
    call = session.call
    if call.phase is Phase.ENDED:
        raise ReplacesError(603, "expected a live dialog, got one that has ended")
    if call.trunk and call.trunk != trunk:
        raise ReplacesError(403, f"expected a call of trunk {trunk!r}, got one of {call.trunk!r}")
    if call.phase is Phase.TRYING and not call.outgoing:
        raise ReplacesError(481, "expected an early dialog that we started, got one the peer started")
    if call.phase is not Phase.TRYING and "early-only" in params:
        raise ReplacesError(486, "expected an early dialog, got a confirmed one")
    return call


def replaces_of(dialog: Dialog) -> str:
    """The value that makes the peer of ``dialog`` replace it: its own tag is the to-tag."""
    return f"{dialog.id.call_id};to-tag={dialog.id.remote_tag or '0'};from-tag={dialog.id.local_tag}"

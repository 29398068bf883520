"""Transfers: REFER in both directions and the subscription it implies (RFC 3515, RFC 4488, RFC 5589)."""

from dataclasses import dataclass, replace

from gateway.sip.dialog import DialogId
from gateway.sip.errors import SipParseError
from gateway.sip.message import REASONS, Request, Response
from gateway.sip.name_addr import parse_name_addr
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.deadlines import Timer
from gateway.sip.ua.effects import CallHandle, TransferProgress, TransferRequested
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.replaces import replaces_of
from gateway.sip.ua.session import Call, Phase, Session
from gateway.sip.uri import SipUri, Uri

SIPFRAG = "message/sipfrag"
MAX_SIPFRAG_BYTES = 65_536


@dataclass(slots=True)
class _Referral:
    """A REFER of ours whose outcome is awaited."""

    call: CallHandle
    timer: Timer


@dataclass(slots=True)
class _Request:
    """A REFER of the peer's that the application follows; ``quiet`` when it wants no NOTIFY (RFC 4488)."""

    session: Session
    event: str
    quiet: bool
    timer: Timer


class Transfers:
    """At most one transfer of each direction per dialog."""

    def __init__(self, core: Core, clients: Clients, endings: Endings) -> None:
        self._core = core
        self._clients = clients
        self._endings = endings
        self._referrals: dict[DialogId, _Referral] = {}
        self._requests: dict[CallHandle, _Request] = {}

    def __len__(self) -> int:
        return len(self._referrals) + len(self._requests)

    def refer(self, call: Call, to: Uri, replaces: Call | None, now: float) -> None:
        """Ask the peer to call ``to``, in the place of our call ``replaces`` when that is given."""
        session = call.session
        if session is None or call.phase is not Phase.CONFIRMED or session.dialog.id in self._referrals:
            self._core.emit(TransferProgress(call.handle, 491, final=True))
            return
        if replaces is not None:
            if replaces.session is None:
                self._core.emit(TransferProgress(call.handle, 481, final=True))
                return
            to = replaces.session.dialog.remote_target
            if isinstance(to, SipUri):
                to = _with_replaces(to, replaces_of(replaces.session.dialog))
        dialog = session.dialog
        request = dialog.request("REFER")
        request.headers.add("Refer-To", f"<{to}>")
        request.headers.add("Referred-By", f"<{dialog.local.uri}>")

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            self._endings.judge(session, client, response, at)
            silent = (response.headers.get("Refer-Sub") or "").strip().lower() == "false"
            if response.status >= 300 or (response.status >= 200 and silent):
                self._conclude(dialog.id, response.status)

        timer = self._core.deadlines.at(
            now + self._core.config.limits.transfer_s, lambda at: self._conclude(dialog.id, 408)
        )
        self._referrals[dialog.id] = _Referral(call.handle, timer)
        self._clients.send(self._endings.in_dialog(session, request, answered), now)

    def receive_notify(self, incoming: Incoming, now: float) -> bool:
        """Take a NOTIFY of a referral; it may come when the call itself has ended. False: no such dialog."""
        request = incoming.request
        dialog = DialogId.of_request(request)
        referral = self._referrals.get(dialog)
        if referral is None:
            return False
        if (request.headers.get("Event") or "").partition(";")[0].strip().lower() != "refer":
            self._core.respond(incoming, 489, now, headers=[("Allow-Events", "refer")])
            return True
        self._core.respond(incoming, 200, now)
        state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
        status = _status_in(request.body)
        if state == "terminated" or status >= 200:
            # Ended without a word about the outcome: nothing is known to have worked.
            self._conclude(dialog, status if status >= 200 else 487)
        elif status:
            self._core.emit(TransferProgress(referral.call, status, final=False))
        return True

    def receive_refer(self, session: Session, incoming: Incoming, now: float) -> None:
        """Take a REFER within a call."""
        request, call = incoming.request, session.call
        if not self._core.config.allow_refer:
            self._core.respond(incoming, 603, now)
            return
        values = request.headers.get_all("Refer-To") or request.headers.get_all("r")
        try:
            if len(values) != 1:
                raise ValueError(f"expected one Refer-To, got {len(values)}")
            refer_to = parse_name_addr(values[0])
            by = request.headers.get("Referred-By")
            referred_by = parse_name_addr(by) if by else None
        except (SipParseError, ValueError):
            self._core.respond(incoming, 400, now, "Bad Refer-To")
            return
        if call.phase is not Phase.CONFIRMED or call.handle in self._requests:
            self._core.respond(incoming, 500, now, headers=[self._core.retry_after()])
            return
        quiet = (request.headers.get("Refer-Sub") or "").strip().lower() == "false"
        self._core.respond(incoming, 202, now, headers=[("Refer-Sub", "false")] if quiet else [])
        limit_s = self._core.config.limits.transfer_s
        timer = self._core.deadlines.at(now + limit_s, lambda at: self.report(call.handle, 408, at))
        self._requests[call.handle] = _Request(session, f"refer;id={request.cseq.number}", quiet, timer)
        self._notify(self._requests[call.handle], 100, now)
        self._core.emit(TransferRequested(call.handle, refer_to, referred_by))

    def report(self, call: CallHandle, status: int, now: float) -> None:
        """Tell the peer how its transfer goes; from 200 on that was the last word."""
        request = self._requests.get(call)
        if request is None:
            return
        if status >= 200:
            request.timer.cancel()
            del self._requests[call]
        self._notify(request, status, now)

    def call_ended(self, call: CallHandle) -> None:
        """The dialog is going away, and with it the subscription of the peer."""
        request = self._requests.pop(call, None)
        if request is not None:
            request.timer.cancel()

    def _notify(self, request: _Request, status: int, now: float) -> None:
        if request.quiet:
            return
        limit_s = int(self._core.config.limits.transfer_s)
        notify: Request = request.session.dialog.request("NOTIFY")
        notify.headers.add("Event", request.event)
        state = "terminated;reason=noresource" if status >= 200 else f"active;expires={limit_s}"
        notify.headers.add("Subscription-State", state)
        notify.headers.set("Content-Type", f"{SIPFRAG};version=2.0")
        notify.body = f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            if response.status == 481:
                self.call_ended(request.session.call.handle)

        self._clients.send(self._endings.in_dialog(request.session, notify, answered), now)

    def _conclude(self, dialog: DialogId, status: int) -> None:
        referral = self._referrals.pop(dialog, None)
        if referral is not None:
            referral.timer.cancel()
            self._core.emit(TransferProgress(referral.call, status, final=True))


def _status_in(body: bytes) -> int:
    """The status of the status line a sipfrag begins with (RFC 3420); 0 when there is none."""
    words = body[:MAX_SIPFRAG_BYTES].split(b"\r\n", 1)[0].split()
    if len(words) >= 2 and words[0].upper() == b"SIP/2.0" and words[1].isdigit() and len(words[1]) == 3:
        return int(words[1])
    return 0


def _with_replaces(uri: SipUri, value: str) -> SipUri:
    return replace(uri, headers=(("Replaces", value),))

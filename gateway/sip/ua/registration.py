"""Being registered, and staying so (RFC 3261 §10)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.sip.dialog import MAX_FORWARDS
from gateway.sip.headers import Headers
from gateway.sip.message import Request, Response
from gateway.sip.name_addr import NameAddr
from gateway.sip.trunk import Credentials
from gateway.sip.ua.authenticator import Authenticator
from gateway.sip.ua.client import ClientRequest, Clients
from gateway.sip.ua.core import Core
from gateway.sip.ua.deadlines import Timer
from gateway.sip.ua.effects import RegistrationChanged
from gateway.sip.ua.session_timer import delta_seconds
from gateway.sip.uri import SipUri, Uri

MIN_REFRESH_S = 10.0  # whatever a registrar grants; a shorter life would be a flood of ours


@dataclass(frozen=True, slots=True)
class Registration:
    """What to register where. ``expires_s`` is asked for; the registrar decides."""

    registrar: Uri
    address_of_record: Uri
    contact: Uri
    credentials: Credentials | None = None
    expires_s: int = 3_600


@dataclass(slots=True, eq=False)
class _Binding:
    id: int
    wanted: Registration
    auth: Authenticator | None
    call_id: str
    local: NameAddr
    cseq: int = 0
    expires_s: int = 0
    registered: bool = False
    removing: bool = False
    failures: int = 0
    request: ClientRequest | None = None
    timer: Timer | None = None

    def next_cseq(self) -> int:
        self.cseq += 1
        return self.cseq


class Registrations:
    """All registrations of a gateway, each with one Call-ID and a growing CSeq (§10.2)."""

    def __init__(self, core: Core, clients: Clients) -> None:
        self._core = core
        self._clients = clients
        self._bindings: dict[int, _Binding] = {}

    def __len__(self) -> int:
        return len(self._bindings)

    def ids(self) -> list[int]:
        return list(self._bindings)

    def register(self, wanted: Registration, now: float) -> int:
        """Register now and until ``unregister``; ``RegistrationChanged`` tells of every change."""
        auth = Authenticator(wanted.credentials, self._core.new_token) if wanted.credentials is not None else None
        local = NameAddr(wanted.address_of_record).with_tag(self._core.new_token())
        binding = _Binding(self._core.next_number(), wanted, auth, self._core.new_token(), local)
        binding.expires_s = wanted.expires_s
        self._bindings[binding.id] = binding
        self._send(binding, now)
        return binding.id

    def unregister(self, id: int, now: float) -> None:
        """Remove the binding (§10.2.2); without an answer it ends by itself at the registrar."""
        binding = self._bindings.get(id)
        if binding is None or binding.removing:
            return
        binding.removing = True
        if binding.timer is not None:
            binding.timer.cancel()
        if binding.request is None:
            self._send(binding, now)  # else when the one under way is answered

    def _send(self, binding: _Binding, now: float) -> None:
        wanted = binding.wanted
        expires_s = 0 if binding.removing else binding.expires_s
        headers = Headers()
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", str(binding.local))
        headers.add("To", str(NameAddr(wanted.address_of_record)))
        headers.add("Call-ID", binding.call_id)
        headers.add("CSeq", f"{binding.next_cseq()} REGISTER")
        headers.add("Contact", f"<{wanted.contact}>;expires={expires_s}")
        headers.add("Expires", str(expires_s))
        registrar = wanted.registrar
        if isinstance(registrar, SipUri):
            registrar = replace(registrar, user=None, headers=())  # §10.2: a domain, no user
        request = Request("REGISTER", registrar, headers, b"")

        def answered(client: ClientRequest, response: Response, at: float) -> None:
            if response.status >= 200:
                self._answered(binding, response, at)

        binding.request = ClientRequest(request, registrar, answered, binding.next_cseq, binding.auth)
        self._clients.send(binding.request, now)

    def _answered(self, binding: _Binding, response: Response, now: float) -> None:
        status = response.status
        was_removal = (binding.request is not None) and binding.request.request.headers.get("Expires") == "0"
        binding.request = None
        if binding.removing:
            if was_removal:
                del self._bindings[binding.id]
                self._change(binding, False, status)
            else:
                self._send(binding, now)
            return
        if 200 <= status < 300:
            binding.failures = 0
            granted_s = _granted(binding, response)
            if granted_s > 0:
                wait_s = max(MIN_REFRESH_S, granted_s * self._core.config.register_refresh)
                binding.timer = self._core.deadlines.at(now + wait_s, self._sender(binding))
                self._change(binding, True, status)
                return
        min_expires_s = delta_seconds(response.headers.get("Min-Expires"))
        if status == 423 and min_expires_s and min_expires_s > binding.expires_s:
            binding.expires_s = min_expires_s
            self._send(binding, now)
            return
        self._retry_later(binding, response, now)
        self._change(binding, False, status)

    def _retry_later(self, binding: _Binding, response: Response, now: float) -> None:
        """RFC 5626 §4.5: wait min(max, base·2^failures), of that 50 to 100 % at random; never before Retry-After."""
        binding.failures += 1
        limits = self._core.config.limits
        bound_s = min(limits.max_retry_wait_s, limits.retry_wait_s * 2.0 ** min(binding.failures - 1, 16))
        wait_s = bound_s * (0.5 + self._core.chance() / 2)
        asked_s = delta_seconds((response.headers.get("Retry-After") or "").partition("(")[0])
        wait_s = max(wait_s, min(float(asked_s or 0), limits.max_retry_wait_s))
        binding.timer = self._core.deadlines.at(now + wait_s, self._sender(binding))

    def _sender(self, binding: _Binding) -> Callable[[float], None]:
        def send(now: float) -> None:
            self._send(binding, now)

        return send

    def _change(self, binding: _Binding, registered: bool, status: int) -> None:
        if registered != binding.registered or not registered:
            self._core.emit(RegistrationChanged(binding.id, registered, status))
        binding.registered = registered


def _granted(binding: _Binding, response: Response) -> int:
    """How long our binding lives: its Contact's expires, else Expires (§10.2.4); 0 when it is not listed."""
    fallback = delta_seconds(response.headers.get("Expires"))
    contacts = response.contacts
    for contact in contacts:
        if _same(contact.uri, binding.wanted.contact):
            own = delta_seconds(contact.params.get("expires"))
            return own if own is not None else (fallback if fallback is not None else binding.expires_s)
    if contacts:
        return 0
    return fallback if fallback is not None else binding.expires_s


def _same(one: Uri, other: Uri) -> bool:
    if isinstance(one, SipUri) and isinstance(other, SipUri):
        # Registrars add and drop parameters; user, host and port are what is ours.
        same_port = (one.port or _port_of(one)) == (other.port or _port_of(other))
        return (one.user, one.host.lower()) == (other.user, other.host.lower()) and same_port
    return str(one) == str(other)


def _port_of(uri: SipUri) -> int:
    return 5061 if uri.scheme == "sips" or (uri.transport or "").lower() == "tls" else 5060

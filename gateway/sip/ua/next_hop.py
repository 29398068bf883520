"""From a URI to the first way to try: what needs no name service is decided here (RFC 3263 §4)."""

from ipaddress import ip_address

from gateway.sip.flow import Target, Transport
from gateway.sip.uri import SipUri, Uri


def asked_transport(uri: SipUri) -> Transport | None:
    """The transport a URI asks for; None when it leaves the choice. Raises ValueError for one we do not speak."""
    token = uri.transport
    if uri.scheme == "sips":
        if token not in (None, "", "tcp", "tls", "TCP", "TLS"):
            raise ValueError(f"expected a transport that carries sips, got {token!r}")
        return Transport.TLS
    return Transport(token.upper()) if token else None


def literal_target(uri: Uri) -> Target | None:
    """The target of a URI whose host (or maddr) is an IP literal; None when a name service must be asked.

    Raises ValueError for a URI no request can be sent to.
    """
    if not isinstance(uri, SipUri):
        raise ValueError(f"expected a sip or sips URI to send to, got {uri}")
    transport = asked_transport(uri) or Transport.UDP
    host = uri.maddr or uri.host
    try:
        ip_address(host)
    except ValueError:
        return None
    return Target(transport, (host, uri.port or transport.default_port))

"""The TwiML an application answers with, as far as a caller needs it: which verb comes next."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from urllib.parse import urljoin

MAX_TWIML_BYTES = 64 * 1024  # Twilio's own limit


class TwimlError(Exception):
    """The answer is not TwiML (Twilio's error 12100 or 12200)."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of a response, with its first noun's text where it has one."""

    name: str
    attributes: dict[str, str]
    text: str = ""

    def __str__(self) -> str:
        """For people: ``Dial +15550123``, ``Record maxLength=120``, ``Hangup``."""
        details = self.text or " ".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.name} {details}".strip()


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """``<Connect><Stream>``: where the media goes, and where Twilio asks what comes after it (None: next verb)."""

    url: str
    parameters: dict[str, str]
    action: str | None


@dataclass(frozen=True, slots=True)
class Response:
    """One document: a stream and what stands behind it, or only verbs."""

    stream: ConnectStream | None
    verbs: tuple[Verb, ...]
    """Without a stream all verbs, with one those that follow it."""


def parse_twiml(document: bytes, base_url: str) -> Response:
    """Read one response; addresses in it are taken relative to ``base_url``. Raises TwimlError."""
    if len(document) > MAX_TWIML_BYTES:
        raise TwimlError(f"{len(document)} bytes, expected no more than {MAX_TWIML_BYTES}")
    try:
        root = ET.fromstring(document)  # noqa: S314 - expat limits entity expansion, and this is our own gateway
    except (ET.ParseError, ValueError, LookupError) as error:
        raise TwimlError(f"not XML: {error}") from None
    if root.tag != "Response":
        raise TwimlError(f"root element is <{root.tag}>, expected <Response>")
    stream: ConnectStream | None = None
    verbs: list[Verb] = []
    for element in root:
        noun = element.find("Stream") if element.tag == "Connect" and stream is None else None
        if noun is not None and not verbs:
            stream = _stream(noun, element.get("action"), base_url)
        else:
            verbs.append(_verb(element, base_url))
    return Response(stream, tuple(verbs))


def _stream(noun: ET.Element, action: str | None, base_url: str) -> ConnectStream:
    url = noun.get("url", "")
    if not url.startswith(("ws://", "wss://")) or "?" in url:
        raise TwimlError(f"<Stream> has the url {url!r}, expected wss:// (ws:// on loopback) without a query")
    parameters = {item.get("name", ""): item.get("value", "") for item in noun.findall("Parameter")}
    return ConnectStream(url, parameters, None if action is None else urljoin(base_url, action))


def _verb(element: ET.Element, base_url: str) -> Verb:
    text = (element.text or "").strip() or next((noun.text.strip() for noun in element if noun.text), "")
    if element.tag == "Redirect":
        text = urljoin(base_url, text)
    return Verb(element.tag, dict(element.attrib), text)

"""Keys in INFO requests, as PBXs send them that have no RFC 4733 (``application/dtmf-relay``)."""

from gateway.events import is_keys

_MAX_BYTES = 256
_NAMES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}  # the event codes of RFC 4733


def key_in_info(content_type: str, body: bytes) -> str | None:
    """The key that was pressed; None when the body is something else."""
    kind = content_type.partition(";")[0].strip().lower()
    if len(body) > _MAX_BYTES:
        return None
    text = body.decode("ascii", "replace")
    if kind == "application/dtmf-relay":
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.strip().lower() == "signal":
                return _key(value)
        return None
    return _key(text) if kind == "application/dtmf" else None


def _key(text: str) -> str | None:
    key = text.strip().upper()
    key = _NAMES.get(key, key)
    return key if len(key) == 1 and is_keys(key) else None

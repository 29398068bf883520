"""Credentials for a TURN server that expire by themselves (draft-uberti-behave-turn-rest).

The server shares a secret with us and asks nobody: coturn calls it ``use-auth-secret``.
"""

import hmac
from base64 import b64encode
from typing import NamedTuple


class TurnCredentials(NamedTuple):
    """What a browser shows to the TURN server."""

    username: str
    password: str


def mint(secret: str, user: str, expires_unix_s: int) -> TurnCredentials:
    """Credentials of ``user`` that the server takes until then. It looks at the time before the colon only."""
    username = f"{expires_unix_s}:{user}"
    # SHA-1 is what the draft and every server has; forging an HMAC needs more than its collisions.
    return TurnCredentials(username, b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode())

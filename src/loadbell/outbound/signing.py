"""
Signatures of Standard Webhooks 1.0.0, scheme v1: HMAC-SHA256 over ``{id}.{timestamp}.{body}``.

Pure. Source: https://github.com/standard-webhooks/standard-webhooks, ``spec/standard-webhooks.md``.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from loadbell.domain.ids import Entropy

PREFIX = "whsec_"
SECRET_BYTES = 32
"""Random bytes of a new secret; the specification allows 24 to 64."""


def new_secret(entropy: Entropy) -> str:
    """Returns a new signing secret in the standard format: ``whsec_`` and base64."""
    return PREFIX + base64.b64encode(entropy(SECRET_BYTES)).decode("ascii")


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Returns the value of ``webhook-signature``: one ``v1,…`` for each secret, separated by spaces.

    ``timestamp`` is in seconds since the epoch. A receiver accepts any signature by a secret that it knows, so secrets
    can be rotated with an overlap.

    Raises:
        ValueError: a secret isn't ``whsec_`` and base64, or the id contains a full stop.
    """
    if "." in message_id:
        raise ValueError("a message id may not contain a full stop")
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets)


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:  # anybody could sign with an empty key
        raise ValueError("a signing secret is not whsec_ followed by base64")
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")

"""
Credentials: 256 random bits in URL-safe base64, with a prefix for their purpose.

Only the SHA-256 is stored: with 256 random bits a slow hash adds no protection.
"""

import base64
import hashlib
from enum import StrEnum

from loadbell.domain.ids import Entropy


class Prefix(StrEnum):
    """The first characters of a credential, so that people and secret scanners recognize it."""

    TOKEN = "lb_"  # noqa: S105 - only the common prefix, not a secret
    #: an API token: one user in one organization
    SESSION = "lbs_"  #: a session: a user who has signed in
    INVITATION = "lbi_"  #: the link of an invitation
    RESET = "lbr_"  #: the link to reset a password


def make_credential(prefix: Prefix, entropy: Entropy) -> str:
    """Returns a new credential, to be shown once."""
    return prefix + base64.urlsafe_b64encode(entropy(32)).decode("ascii").rstrip("=")


def hash_credential(credential: str) -> str:
    """Returns the hash of ``credential`` that is stored and looked up."""
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).hexdigest()

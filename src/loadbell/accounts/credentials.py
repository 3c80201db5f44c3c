"""
What lets somebody in: 256 random bits with a prefix that says what they are for, in URL-safe base64.

Only the SHA-256 is stored: with so many random bits a slow hash would protect nothing.
"""

import base64
import hashlib
from enum import StrEnum

from loadbell.domain.ids import Entropy


class Prefix(StrEnum):
    """What a credential begins with, so that people and secret scanners see what they have found."""

    TOKEN = "lb_"  # noqa: S105 - the beginning that all of them have, not a secret
    #: an API token: one user in one organization
    SESSION = "lbs_"  #: a session: a user who has signed in
    INVITATION = "lbi_"  #: the link of an invitation
    RESET = "lbr_"  #: the link by which a forgotten password is replaced


def make_credential(prefix: Prefix, entropy: Entropy) -> str:
    """A credential that nobody can guess, to be shown once."""
    return prefix + base64.urlsafe_b64encode(entropy(32)).decode("ascii").rstrip("=")


def hash_credential(credential: str) -> str:
    """What is stored of ``credential``, and by which it is found again."""
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).hexdigest()

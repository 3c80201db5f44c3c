"""What ties a form to the browser that it was given to: a secret that the browser keeps, and the token made of it."""

import base64
import hashlib
import hmac

from loadbell.store.engine.db import Transaction
from loadbell.store.engine.problems import WrongState

_VISITOR = "visitor "


def derive_token(secret: str) -> str:
    """The CSRF token of the browser that holds ``secret``, which can't be found from it."""
    digest = hmac.digest(secret.encode(), b"loadbell csrf token", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


async def make_visitor_secret(tx: Transaction, random: str) -> str:
    """The secret of a browser in which nobody has signed in; only our key can make one."""
    return tx.seal(_VISITOR + random)


async def is_visitor_secret(tx: Transaction, secret: str) -> bool:
    """Whether ``secret`` is one that we have made for a visitor."""
    try:
        return tx.unseal(secret).startswith(_VISITOR)
    except (WrongState, UnicodeEncodeError):
        return False

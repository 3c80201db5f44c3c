"""Hashing of passwords in tests, without threads that stay."""

from collections.abc import Iterator
from contextlib import contextmanager

import argon2

from loadbell.accounts.passwords import Passwords


@contextmanager
def hashing(hasher: argon2.PasswordHasher | None = None) -> Iterator[Passwords]:
    """The real thing; its threads end with the block, also when a traceback still holds it."""
    passwords = Passwords(hasher)
    try:
        yield passwords
    finally:
        passwords._threads.shutdown()

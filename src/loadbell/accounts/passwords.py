"""Passwords: rules, and hashing and comparing outside of the event loop."""

import asyncio
import base64
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from loadbell.domain.errors import FieldError, Invalid, RateLimited
from loadbell.domain.ids import SECOND, Entropy

T = TypeVar("T")

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 1000
_THREADS = 2
_MAX_QUEUE_LENGTH = 40
_RETRY_AFTER = 2 * SECOND


def check_password(password: str, field: str = "password") -> None:
    """Checks that ``password`` is allowed as a new one; ``field`` names it in the error.

    Raises:
        Invalid: it isn't; the message never shows it.
    """
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise Invalid(FieldError(field, f"use {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters"))
    if "\x00" in password:
        raise Invalid(FieldError(field, "the character U+0000 can't be stored; remove it"))
    if not password.isascii() and any("\ud800" <= character <= "\udfff" for character in password):
        raise Invalid(FieldError(field, "this isn't valid UTF-8; enter it again"))


def make_password(entropy: Entropy) -> str:
    """Returns a password of 120 random bits, to be shown once."""
    return base64.b32encode(entropy(15)).decode("ascii").lower()


class Passwords:
    """
    Hashes and compares passwords with argon2id (argon2-cffi's defaults: RFC 9106, low memory: 64 MiB, some 50 ms).

    Two threads bound the memory. At most 40 calls wait; more are refused instead of waiting for seconds. ``hasher`` may
    have other parameters.
    """

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._room = threading.Semaphore(_THREADS + _MAX_QUEUE_LENGTH)
        self._nobodys_hash = _dummy_hash(self._hasher)

    async def hash(self, password: str) -> str:
        """Returns the hash to store for ``password``.

        Raises:
            RateLimited: too many wait already.
        """
        return await self._run_queued(lambda: self._hasher.hash(password))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether ``password`` matches the hash. None, for no user, takes as long and is always False.

        Raises:
            RateLimited: too many wait already.
        """
        stored = self._nobodys_hash if password_hash is None else password_hash

        def compare() -> bool:
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError, UnicodeEncodeError):
                return False

        return await self._run_queued(compare)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was hashed with parameters other than the current ones."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _run_queued(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise RateLimited("Too many people are signing in. Try again in a few seconds.", _RETRY_AFTER)
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def _dummy_hash(hasher: argon2.PasswordHasher) -> str:
    """Returns a hash that no password matches, so that comparing takes the usual time."""
    salt, digest = (
        base64.b64encode(os.urandom(length)).decode("ascii").rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${parameters}${salt}${digest}"

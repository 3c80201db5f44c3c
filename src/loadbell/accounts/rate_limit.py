"""Rate limits on attempts. Tokens are taken before a credential is compared."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address, ip_address

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND
from loadbell.domain.notices import format_span
from loadbell.domain.token_bucket import TokenBucket
from loadbell.store.engine.db import Transaction
from loadbell.store.rate_limits import delete_full_buckets, return_token, take_token


@dataclass(frozen=True)
class Bucket:
    """A bucket with ``limit``, identified by words such as a kind and an address."""

    limit: TokenBucket
    key_parts: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """The stored key, a hash that identifies nobody."""
        return hashlib.sha256("\n".join(self.key_parts).encode("utf-8", "surrogateescape")).hexdigest()


async def take_tokens(tx: Transaction, buckets: Sequence[Bucket]) -> None:
    """Takes one token from each of ``buckets``.

    Raises:
        RateLimited: a bucket is empty. The transaction must be rolled back, so that no token is taken.
    """
    wait = max(
        [await take_token(tx, bucket.key, bucket.limit) for bucket in sorted(buckets, key=lambda bucket: bucket.key)]
    )
    await delete_full_buckets(tx)  # last: it locks what it deletes, in any order of keys
    if wait:
        seconds = -(-wait // SECOND)
        raise RateLimited(f"Too many attempts. Wait {format_span(seconds * SECOND)}, then try again.", wait)


async def return_tokens(tx: Transaction, buckets: Sequence[Bucket]) -> None:
    """Undoes :func:`take_tokens`, in a transaction of its own."""
    for bucket in sorted(buckets, key=lambda bucket: bucket.key):
        await return_token(tx, bucket.key, bucket.limit)


def network_of(address: str | None) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address, as one customer has."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"

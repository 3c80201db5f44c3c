"""Who may try how often: turns, which are taken before anything is compared."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address, ip_address

from loadbell.domain.errors import RateLimited
from loadbell.domain.ids import SECOND
from loadbell.domain.notices import span
from loadbell.domain.pace import Pace
from loadbell.store.attempt_paces import forget_full, give_turn_back, take_turn
from loadbell.store.db import Transaction


@dataclass(frozen=True)
class Turn:
    """One turn of ``pace`` in the bucket of everybody who comes with these words, such as a kind and an address."""

    pace: Pace
    words: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """What is stored: it names nobody."""
        return hashlib.sha256("\n".join(self.words).encode("utf-8", "surrogateescape")).hexdigest()


async def take_turns(tx: Transaction, turns: Sequence[Turn]) -> None:
    """Takes all of ``turns``.

    Raises:
        RateLimited: one of them is not to be had now. The transaction must end with it: then none is taken.
    """
    wait = max([await take_turn(tx, turn.key, turn.pace) for turn in sorted(turns, key=lambda turn: turn.key)])
    await forget_full(tx)  # afterwards: what it deletes it holds, whatever its key
    if wait:
        seconds = -(-wait // SECOND)
        raise RateLimited(f"There were too many attempts. Wait {span(seconds * SECOND)}, then try again.", wait)


async def give_turns_back(tx: Transaction, turns: Sequence[Turn]) -> None:
    """Undoes :func:`take_turns`, in a transaction of its own."""
    for turn in sorted(turns, key=lambda turn: turn.key):
        await give_turn_back(tx, turn.key, turn.pace)


def place(address: str | None) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address, which one customer has for itself."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"

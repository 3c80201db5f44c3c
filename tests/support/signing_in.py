"""People who sign in, and those who guess their passwords, below the front ends."""

import argon2

from loadbell.accounts.authentication import authenticate_session
from loadbell.accounts.passwords import Passwords
from loadbell.accounts.sessions import NewSession
from loadbell.accounts.sign_in import sign_in
from loadbell.domain.errors import RateLimited, Unauthenticated
from loadbell.domain.ids import Micros
from loadbell.domain.orgs import SignedIn
from loadbell.store.users import insert_user
from tests.support.stores import Site

PASSWORD = "correct horse"
HOME = "192.0.2.7"
WRONG = "wrong"
IN = "in"

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""So that a hundred guesses don't take a minute."""


PASSWORDS = Passwords(QUICK)
"""Shared: ``tests/accounts/conftest.py`` ends its threads."""


class Entrance:
    """Where the people of ``site`` sign in."""

    def __init__(self, site: Site, passwords: Passwords = PASSWORDS) -> None:
        self.site = site
        self.passwords = passwords

    async def add(self, email: str = "kim@example.org") -> int:
        """A user with the usual password; gives its id."""
        password_hash = await self.passwords.hash(PASSWORD)
        return await self.site.do(insert_user, email=email, name="Kim", password_hash=password_hash)

    async def enter(
        self,
        email: str = "kim@example.org",
        password: str = PASSWORD,
        *,
        address: str | None = HOME,
        agent: str | None = None,
        former: str | None = None,
    ) -> NewSession:
        """Signs in."""
        return await sign_in(
            self.site.database,
            self.passwords,
            email,
            password,
            address=address,
            agent=agent,
            former=former,
        )

    async def attempt(
        self, email: str = "kim@example.org", password: str = "wrong horse", *, address: str | None = HOME
    ) -> str | Micros:
        """What comes of an attempt: ``IN``, ``WRONG``, or how long to wait."""
        try:
            await self.enter(email, password, address=address)
        except Unauthenticated:
            return WRONG
        except RateLimited as refusal:
            return refusal.wait
        return IN

    async def who(self, session: NewSession, address: str | None = HOME) -> SignedIn:
        """Who comes with ``session`` at this moment."""
        return await self.site.do(authenticate_session, session.session, address=address)

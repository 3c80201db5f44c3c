"""An organization for one test, with people of each role."""

import os
from collections.abc import Callable

import argon2

from loadbell.domain.orgs import Role, Scope
from loadbell.domain.runs import Trigger
from loadbell.store.engine.db import Transaction
from loadbell.store.organizations import (
    assign_project,
    insert_member,
    insert_organization,
    insert_project,
    set_default_project,
)
from loadbell.store.users import insert_user
from tests.api.site import ApiSite
from tests.support.server import Client
from tests.support.tokens import given_token
from tests.web.browser import Browser

PASSWORD = "correct horse battery"
PASSWORD_HASH = argon2.PasswordHasher().hash(PASSWORD)


class Team:
    """An organization of its own with a person of each role, who sign in when they are asked for."""

    def __init__(self, site: ApiSite, browser: Callable[[str], Browser] = Browser) -> None:
        self.site = site
        self._new_browser = browser
        self._browsers: dict[Role, Browser] = {}
        self._people: dict[Role, int] = {}

        async def work(tx: Transaction) -> tuple[int, int]:
            organization_id = await insert_organization(tx, "Harbour Shop")
            project_id = await insert_project(tx, organization_id, "Web shop")
            await set_default_project(tx, organization_id, project_id)
            return organization_id, project_id

        self.organization_id, self.project_id = site.do(work)
        self.path = f"/organizations/{self.organization_id}"

    def browser(self, role: Role) -> Browser:
        """The browser of the person of that role, who has signed in."""
        if role not in self._browsers:
            email = f"{role.value}-{os.urandom(6).hex()}@example.org"

            async def work(tx: Transaction) -> int:
                name = f"The {role.value}"
                user_id = await insert_user(tx, email=email, name=name, password_hash=PASSWORD_HASH)
                await insert_member(tx, self.organization_id, user_id, role)
                return user_id

            self._people[role] = self.site.do(work)
            self._browsers[role] = self._new_browser(self.site.url)
            assert self._browsers[role].sign_in(email, PASSWORD).status == 303
        return self._browsers[role]

    def user(self, role: Role) -> int:
        """The id of the person of that role."""
        self.browser(role)
        return self._people[role]

    @property
    def owner(self) -> Browser:
        """The owner's browser."""
        return self.browser(Role.OWNER)

    @property
    def admin(self) -> Browser:
        """An admin's browser."""
        return self.browser(Role.ADMIN)

    @property
    def member(self) -> Browser:
        """A member's browser."""
        return self.browser(Role.MEMBER)

    def client(self, role: Role = Role.OWNER, scope: Scope = Scope.MANAGE) -> Client:
        """REST v1 with a token of the person of that role."""
        user_id = self.user(role)

        async def work(tx: Transaction) -> str:
            return await given_token(
                tx,
                organization_id=self.organization_id,
                user_id=user_id,
                name="A token",
                scope=scope,
                trigger=Trigger.UNKNOWN,
                expires_at=None,
            )

        return Client(self.site.url, self.site.do(work))

    def assign(self, role: Role, project_id: int | None = None) -> None:
        """Lets the person of that role see a project."""
        user_id = self.user(role)
        self.site.do(lambda tx: assign_project(tx, project_id or self.project_id, user_id))

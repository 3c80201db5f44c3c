"""Use cases on organizations, including the first one of an installation."""

import base64
from dataclasses import asdict, dataclass, replace

from loadbell.accounts.passwords import check_password
from loadbell.accounts.tokens import issue_token
from loadbell.domain.emails import is_email
from loadbell.domain.errors import Conflict, FieldError, Invalid, NotFound
from loadbell.domain.orgs import Action, Organization, OrganizationLoss, Principal, Role, Scope, SignedIn
from loadbell.domain.runs import Trigger
from loadbell.store import deletions
from loadbell.store import organizations as store
from loadbell.store.audit import append_account_entry, append_entry
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.facts import claim_fact
from loadbell.store.organizations import (
    has_user,
    insert_member,
    insert_organization,
    insert_project,
    set_default_project,
)
from loadbell.store.projects import get_project
from loadbell.store.quotas import require_organization_quota
from loadbell.store.unit_of_work import UnitOfWork, exclusive
from loadbell.store.users import insert_user

DEFAULT_PROJECT = "Default project"
MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class NewOrganization:
    """A new organization with its default project and a manage token, shown only once."""

    organization_id: int
    project_id: int
    user_id: int
    token: str


def check_setup(organization: str, email: str, password: str, name: str | None = None) -> None:
    """Checks the input for the first owner and organization; ``name`` is optional.

    Raises:
        Invalid: a field is wrong; the message never shows the password.
    """
    errors = []
    if not 0 < len(organization.strip()) <= MAX_NAME_LENGTH:
        errors.append(FieldError("organization", f"enter a name of 1 to {MAX_NAME_LENGTH} characters"))
    if name is not None and not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
        errors.append(FieldError("name", f"enter a name of 1 to {MAX_NAME_LENGTH} characters"))
    if not is_email(email):
        errors.append(FieldError("email", "enter a valid e-mail address, such as ann@example.org"))
    try:
        check_password(password)
    except Invalid as refusal:
        errors += refusal.errors
    if "\x00" in organization:
        errors.append(FieldError("organization", "the character U+0000 can't be stored; remove it"))
    if errors:
        raise Invalid(*errors)


async def set_up(tx: Transaction, *, organization: str, email: str, password_hash: str) -> NewOrganization:
    """Creates the first owner, organization, default project and token. Of two concurrent calls one wins.

    Raises:
        Conflict: this installation has been set up already.
    """
    owner, project_id = await make_first_owner(
        tx,
        organization=organization,
        email=email,
        name=email.partition("@")[0],
        password_hash=password_hash,
        address=None,
    )
    return await _add_token(tx, owner, project_id)


async def make_first_owner(  # noqa: PLR0913 - the properties of the first owner, and the address
    tx: Transaction, *, organization: str, email: str, name: str, password_hash: str, address: str | None
) -> tuple[Principal, int]:
    """As :func:`set_up`, without a token. Returns the owner as principal and the default project's id."""
    mine = base64.b16encode(tx.random(16)).decode("ascii")
    if await has_user(tx) or await claim_fact(tx, "set_up", mine) != mine:
        raise Conflict("loadbell is already set up. Sign in, or use the token that setup printed.")
    user_id = await insert_user(tx, email=email, name=name.strip(), password_hash=password_hash)
    await append_account_entry(tx, user_id, address, "account.created", {"email": email.lower()})
    return await _add_organization(tx, organization.strip(), user_id, address)


async def create_organization(unit: UnitOfWork[Principal], name: str) -> NewOrganization:
    """Creates an organization owned by the user. Both organizations log it; only the user's own log names the token.

    Raises:
        Conflict: the user has reached the quota of organizations.
    """
    unit.principal.require(Action.CREATE_ORGANIZATION)
    await require_organization_quota(unit.tx, unit.principal.user_id, unit.installation.quotas.organizations)
    organization = await _insert_organization(unit.tx, name, unit.principal.user_id, unit.principal.address)
    subject = f"organization {organization.organization_id}"
    await append_entry(unit.tx, unit.principal, "organization.created", subject, {"name": name})
    return organization


async def add_organization(unit: UnitOfWork[SignedIn], name: str) -> NewOrganization:
    """As :func:`create_organization`, also for users without an organization."""
    await require_organization_quota(unit.tx, unit.principal.user_id, unit.installation.quotas.organizations)
    return await _insert_organization(unit.tx, name, unit.principal.user_id, unit.principal.address)


async def list_organizations(unit: UnitOfWork[Principal], *, before: int | None) -> list[Organization]:
    """Returns the organizations with an id below ``before`` that the token can see: its own, with any scope."""
    own = await store.get_organization(unit.tx, unit.principal.organization_id)
    return [] if own is None or (before is not None and own.id >= before) else [own]


async def get_organization(unit: UnitOfWork[Principal], organization_id: int) -> Organization:
    """The organization.

    Raises:
        NotFound: it isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.READ_ORGANIZATION)
    return await _require_organization(unit.tx, organization_id)


@exclusive
async def update_organization(
    unit: UnitOfWork[Principal], organization_id: int, *, name: str | None = None, default_project_id: int | None = None
) -> Organization:
    """Renames the organization, or changes its default project.

    Raises:
        NotFound: it isn't the caller's, or the project isn't in it.
        Conflict: the project is archived.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_ORGANIZATION)
    before = await _require_organization(unit.tx, organization_id)
    after = before if name is None else replace(before, name=name)
    if default_project_id is not None:
        project = await get_project(unit.tx, organization_id, default_project_id)
        if project is None:
            raise NotFound(f"There is no project {default_project_id}.")
        if project.archived_at is not None:
            raise Conflict(f"Project {project.id} is archived. Restore it, then make it the default.")
        after = replace(after, default_project_id=default_project_id)
    changes = {
        field: {"before": getattr(before, field), "after": getattr(after, field)}
        for field in ("name", "default_project_id")
        if getattr(before, field) != getattr(after, field)
    }
    if changes:
        await store.update_organization(unit.tx, after)
        await append_entry(unit.tx, unit.principal, "organization.changed", f"organization {organization_id}", changes)
    return after


async def count_loss(unit: UnitOfWork[Principal], organization_id: int) -> OrganizationLoss:
    """Counts what would be deleted with the organization; raises as :func:`delete_organization`.

    This is slow in large organizations: use it in a read transaction, never in one that writes.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.DELETE_ORGANIZATION)
    return await deletions.count_organization_loss(unit.tx, organization_id)


@exclusive
async def delete_organization(unit: UnitOfWork[Principal], organization_id: int, loss: OrganizationLoss) -> None:
    """Removes all members, tokens, invitations and channels of the organization.

    ``loss`` is the recent result of :func:`count_loss`. Pending deliveries are cancelled. Runs and logs are kept, but
    nobody can reach them.

    Raises:
        NotFound: it isn't the caller's.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.DELETE_ORGANIZATION)
    organization = await _require_organization(unit.tx, organization_id)
    await deletions.delete_organization(unit.tx, organization_id)
    changes = {"name": organization.name, "lost": asdict(loss)}
    await append_entry(unit.tx, unit.principal, "organization.deleted", f"organization {organization_id}", changes)


async def _require_organization(tx: Transaction, organization_id: int) -> Organization:
    organization = await store.get_organization(tx, organization_id)
    assert organization is not None, "the asker belongs to it"
    return organization


async def _insert_organization(tx: Transaction, name: str, user_id: int, address: str | None) -> NewOrganization:
    owner, project_id = await _add_organization(tx, name, user_id, address)
    return await _add_token(tx, owner, project_id)


async def _add_organization(tx: Transaction, name: str, user_id: int, address: str | None) -> tuple[Principal, int]:
    organization_id = await insert_organization(tx, name)
    await insert_member(tx, organization_id, user_id, Role.OWNER)
    project_id = await insert_project(tx, organization_id, DEFAULT_PROJECT)
    await set_default_project(tx, organization_id, project_id)
    owner = Principal(user_id, organization_id, Role.OWNER, Scope.MANAGE, None, Trigger.UNKNOWN, None, address)
    await append_entry(tx, owner, "organization.created", f"organization {organization_id}", {"name": name})
    return owner, project_id


async def _add_token(tx: Transaction, owner: Principal, project_id: int) -> NewOrganization:
    token = await issue_token(
        tx, owner, name="The owner's first token", scope=Scope.MANAGE, trigger=Trigger.UNKNOWN, expires_at=None
    )
    return NewOrganization(owner.organization_id, project_id, owner.user_id, token)

"""Organizations, projects, users, roles and tokens, and the policy of who may see and do what."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from loadbell.domain.errors import Forbidden, NotFound
from loadbell.domain.ids import Micros
from loadbell.domain.runs import Trigger


class Role(StrEnum):
    """The role of a person in an organization."""

    OWNER = "owner"  #: exactly one; everything
    ADMIN = "admin"  #: everything but removing the owner, transferring or deleting the organization
    MEMBER = "member"  #: runs of assigned projects, and the names of channels


class Scope(StrEnum):
    """What an API token may do; its user's role limits it further."""

    REPORT = "report"  #: report runs and read them
    READ = "read"  #: read everything its user may read
    MANAGE = "manage"  #: everything its user may do


class Action(Enum):
    """All actions. ``ROLES`` and ``SCOPES`` define who may do them."""

    REPORT_RUNS = "report runs"
    READ_RUNS = "read runs"
    ABORT_RUNS = "abort runs"
    READ_CHANNELS = "read channels"
    MANAGE_CHANNELS = "manage channels"
    READ_DELIVERIES = "read deliveries"
    READ_LOG = "read the delivery log"  #: lists beyond one run, requests and responses
    MANAGE_DELIVERIES = "redeliver and cancel deliveries"
    CREATE_ORGANIZATION = "create an organization"
    READ_ORGANIZATION = "read the organization's name"
    MANAGE_ORGANIZATION = "change the organization"
    DELETE_ORGANIZATION = "delete the organization"
    TRANSFER_ORGANIZATION = "make somebody else the owner"
    READ_MEMBERS = "read members and invitations"
    MANAGE_MEMBERS = "invite, change and remove members"
    LEAVE = "leave the organization"
    READ_PROJECTS = "read projects"
    MANAGE_PROJECTS = "add, change and delete projects"
    READ_TOKENS = "read tokens"
    MANAGE_TOKENS = "create and revoke tokens"
    READ_AUDIT = "read the audit log"


_EVERYONE = frozenset(Role)
_LEADS = frozenset({Role.OWNER, Role.ADMIN})

ROLES: dict[Action, frozenset[Role]] = {
    Action.REPORT_RUNS: _EVERYONE,
    Action.READ_RUNS: _EVERYONE,
    Action.ABORT_RUNS: _EVERYONE,
    Action.READ_CHANNELS: _EVERYONE,
    Action.MANAGE_CHANNELS: _LEADS,
    Action.READ_DELIVERIES: _EVERYONE,
    Action.READ_LOG: _LEADS,
    Action.MANAGE_DELIVERIES: _LEADS,
    Action.CREATE_ORGANIZATION: _LEADS,
    Action.READ_ORGANIZATION: _EVERYONE,
    Action.MANAGE_ORGANIZATION: _LEADS,
    Action.DELETE_ORGANIZATION: frozenset({Role.OWNER}),
    Action.TRANSFER_ORGANIZATION: frozenset({Role.OWNER}),
    Action.READ_MEMBERS: _LEADS,
    Action.MANAGE_MEMBERS: _LEADS,
    Action.LEAVE: _EVERYONE,
    Action.READ_PROJECTS: _LEADS,
    Action.MANAGE_PROJECTS: _LEADS,
    Action.READ_TOKENS: _LEADS,
    Action.MANAGE_TOKENS: _LEADS,
    Action.READ_AUDIT: _LEADS,
}

_MANAGE = frozenset({Scope.MANAGE})
_READ = frozenset({Scope.READ, Scope.MANAGE})

SCOPES: dict[Action, frozenset[Scope]] = {
    Action.REPORT_RUNS: frozenset({Scope.REPORT, Scope.MANAGE}),
    Action.READ_RUNS: frozenset(Scope),
    Action.ABORT_RUNS: frozenset({Scope.REPORT, Scope.MANAGE}),
    Action.READ_CHANNELS: frozenset({Scope.READ, Scope.MANAGE}),
    Action.MANAGE_CHANNELS: _MANAGE,
    Action.READ_DELIVERIES: frozenset({Scope.READ, Scope.MANAGE}),
    Action.READ_LOG: frozenset({Scope.READ, Scope.MANAGE}),
    Action.MANAGE_DELIVERIES: _MANAGE,
    Action.CREATE_ORGANIZATION: _MANAGE,
    Action.READ_ORGANIZATION: frozenset(Scope),
    Action.MANAGE_ORGANIZATION: _MANAGE,
    Action.DELETE_ORGANIZATION: _MANAGE,
    Action.TRANSFER_ORGANIZATION: _MANAGE,
    Action.READ_MEMBERS: _READ,
    Action.MANAGE_MEMBERS: _MANAGE,
    Action.LEAVE: _MANAGE,
    Action.READ_PROJECTS: _READ,
    Action.MANAGE_PROJECTS: _MANAGE,
    Action.READ_TOKENS: _READ,
    Action.MANAGE_TOKENS: _MANAGE,
    Action.READ_AUDIT: _READ,
}


@dataclass(frozen=True)
class Principal:
    """The caller: one user in one organization, through an API token or a session.

    ``projects`` are the projects that a member is assigned to; None means all. With a token of one project, the caller
    is at most a member assigned to it.
    """

    user_id: int
    organization_id: int
    role: Role
    scope: Scope  #: manage for a session
    token_id: int | None  #: None: through a session
    trigger: Trigger
    projects: frozenset[int] | None
    address: str | None = None  #: the IP address, for the audit log
    project_token: bool = False  #: the token opens one project only
    expires_at: Micros | None = None  #: of the token; None: never, or it is a session
    use_is_due: bool = False  #: the credential's last recorded use is over a minute ago

    def can_see_project(self, project_id: int | None) -> bool:
        """Whether runs and deliveries of this project are visible. Members don't see those without a project."""
        return self.projects is None or (project_id is not None and project_id in self.projects)

    def may(self, action: Action) -> bool:
        """Whether both the scope of the token and the role of its user allow ``action``."""
        return self.scope in SCOPES[action] and self._role_allows(action)

    def require(self, action: Action) -> None:
        """Checks that this principal may do ``action``.

        Raises:
            Forbidden: the token's scope or the user's role doesn't allow it; the message says which.
        """
        if self.scope not in SCOPES[action]:
            wanted = " or ".join(sorted(scope.value for scope in SCOPES[action]))
            raise Forbidden(f"A token of scope {self.scope.value} can't {action.value}. Use one of scope {wanted}.")
        if not self._role_allows(action):
            if self.project_token:
                raise Forbidden(
                    f"A token of one project can't {action.value}. Use a token for the whole organization, created by "
                    "its owner or an admin."
                )
            who = "An admin" if self.role is Role.ADMIN else "A member"
            whom = "the owner or an admin" if Role.ADMIN in ROLES[action] else "the owner"
            raise Forbidden(f"{who} can't {action.value}. Ask {whom} of the organization.")

    def require_organization(self, organization_id: int) -> None:
        """Checks that the organization is this principal's.

        Raises:
            NotFound: it isn't, or it doesn't exist.
        """
        if organization_id != self.organization_id:
            raise NotFound(f"There is no organization {organization_id}.")

    def _role_allows(self, action: Action) -> bool:
        # A member may leave, but a CI job's token must not remove its user from the organization.
        return self.role in ROLES[action] and not (self.project_token and action is Action.LEAVE)


@dataclass(frozen=True)
class Organization:
    """The tenant: all runs, settings and logs belong to exactly one."""

    id: int
    name: str
    default_project_id: int | None  #: for runs that name no project
    created_at: Micros


@dataclass(frozen=True)
class Project:
    """A group of tests and runs within an organization."""

    id: int
    organization_id: int
    name: str
    is_default: bool  #: for runs that name no project
    archived_at: Micros | None  #: it accepts no new runs since then
    created_at: Micros


@dataclass(frozen=True)
class ProjectLoss:
    """The numbers of what is deleted with a project. Pending deliveries are cancelled and stay in the log."""

    tests: int
    runs: int
    open_runs: int  #: those of ``runs`` that haven't ended
    pending_deliveries: int
    tokens: int  #: limited to this project
    assigned_members: int


@dataclass(frozen=True)
class OrganizationLoss:
    """The numbers of what is deleted with an organization."""

    projects: int
    tests: int
    runs: int
    open_runs: int  #: those of ``runs`` that haven't ended
    channels: int
    pending_deliveries: int
    members: int
    tokens: int
    invitations: int


@dataclass(frozen=True)
class Member:
    """A person in an organization. ``project_ids`` apply to the role member; the others see every project."""

    user_id: int
    email: str
    name: str
    role: Role
    project_ids: tuple[int, ...]
    created_at: Micros


@dataclass(frozen=True)
class Invitation:
    """An invitation by link. ``project_ids`` apply to the role member."""

    id: int
    organization_id: int
    email: str  #: in lower case
    role: Role
    project_ids: tuple[int, ...]
    invited_by: int  #: a user
    created_at: Micros
    expires_at: Micros


@dataclass(frozen=True)
class Token:
    """An API token of one user in one organization. Its secret is shown once and not stored."""

    id: int
    organization_id: int
    user_id: int
    name: str
    scope: Scope
    trigger: Trigger  #: of the runs that it reports, unless a report sets another
    project_id: int | None  #: its only project; None: all that its user can see
    prefix: str  #: its first characters, to recognize it
    created_at: Micros
    expires_at: Micros | None
    last_used_at: Micros | None  #: to the minute


@dataclass(frozen=True)
class SignedIn:
    """A person who has signed in but has no organization selected."""

    user_id: int
    session_id: int
    address: str | None  #: of this request
    use_is_due: bool = False  #: as in :class:`Principal`


@dataclass(frozen=True)
class Visitor:
    """A caller without a credential."""

    address: str | None
    use_is_due: bool = False  #: there is no use to record

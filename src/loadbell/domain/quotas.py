"""How much an organization may have, so that nobody's loop fills the server. The operator sets the numbers."""

from dataclasses import dataclass
from typing import Literal

from loadbell.domain.ids import SECOND
from loadbell.domain.pace import Pace

Counted = Literal["channels", "projects", "tokens", "invitations", "members"]
"""What is counted in an organization, by the name of its quota."""

_WAYS_OUT: dict[Counted, str] = {
    "channels": "Delete a channel",
    "projects": "Delete a project",
    "tokens": "Revoke a token",
    "invitations": "Revoke an open invitation",
    "members": "Remove a member or revoke an open invitation",
}


@dataclass(frozen=True)
class Quotas:
    """The most of each, in one organization; reports are those of one token."""

    channels: int = 200
    projects: int = 500
    tokens: int = 1_000
    invitations: int = 500  #: open ones
    members: int = 2_000  #: with those who are invited
    reports_per_minute: int = 6_000

    @property
    def pace_of_reports(self) -> Pace:
        """How fast one token may report runs: a whole minute's worth at once after a rest."""
        return Pace(max(60 * SECOND // self.reports_per_minute, 1), self.reports_per_minute)


DEFAULT_QUOTAS = Quotas()


def over_quota(name: Counted, most: int) -> str:
    """What somebody reads who asks for one more than the quota."""
    return (
        f"The organization has reached its quota of {name} ({most:,}). {_WAYS_OUT[name]}, or ask the operator of this "
        f"server to raise LOADBELL_MAX_{name.upper()}."
    )

"""Quotas of an organization or a person, set by the operator, so that no loop fills the server."""

from dataclasses import dataclass
from typing import Literal

from loadbell.domain.ids import SECOND
from loadbell.domain.token_bucket import TokenBucket

QuotaName = Literal["channels", "projects", "tokens", "invitations", "members"]
"""The quotas of an organization."""

_ADVICE: dict[QuotaName, str] = {
    "channels": "Delete a channel",
    "projects": "Delete a project",
    "tokens": "Revoke a token",
    "invitations": "Revoke an open invitation",
    "members": "Remove a member or revoke an open invitation",
}


@dataclass(frozen=True)
class Quotas:
    """Limits per organization, except ``organizations`` (per owner) and ``reports_per_minute`` (per token)."""

    organizations: int = 1_000
    channels: int = 200
    projects: int = 500
    tokens: int = 1_000
    invitations: int = 500  #: open ones
    members: int = 2_000  #: including open invitations
    reports_per_minute: int = 6_000
    test_hooks_per_minute: int = 600

    @property
    def report_rate(self) -> TokenBucket:
        """How fast one token may report runs: after a rest, a minute's worth at once."""
        return _rate(self.reports_per_minute)

    @property
    def test_hook_rate(self) -> TokenBucket:
        """How fast one organization may press Test Hook."""
        return _rate(self.test_hooks_per_minute)


DEFAULT_QUOTAS = Quotas()


def _rate(per_minute: int) -> TokenBucket:
    return TokenBucket(max(60 * SECOND // per_minute, 1), per_minute)


def quota_error(name: QuotaName, most: int) -> str:
    """The message when a quota is reached."""
    return (
        f"The organization has reached its quota of {name} ({most:,}). {_ADVICE[name]}, or ask the operator of this "
        f"server to raise LOADBELL_MAX_{name.upper()}."
    )


def organization_quota_error(most: int) -> str:
    """The message when a user's quota of organizations is reached."""
    return (
        f"You have reached the quota of organizations per user ({most:,}). Delete one, or ask this server's operator "
        "to raise LOADBELL_MAX_ORGANIZATIONS."
    )

"""Channels: where an organization is notified, and about what."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NewType

from loadbell.domain.errors import Conflict
from loadbell.domain.events import EventName
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.runs import Result, RunStatus, Trigger

ChannelKind = NewType("ChannelKind", str)
"""The name of a kind of channel, such as ``slack``; each kind is a file in ``loadbell.channels``."""


@dataclass(frozen=True)
class Subscription:
    """What a channel subscribes to. An empty tuple means all; all filters must match.

    ``statuses``, ``results``, ``only_on_change`` and ``only_failures`` apply to test.finished only.
    """

    events: tuple[EventName, ...] = ()
    statuses: tuple[RunStatus, ...] = ()
    results: tuple[Result, ...] = ()
    projects: tuple[int, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    only_on_change: bool = False
    only_failures: bool = False  #: the result failed with any status, and the statuses FAILURES


@dataclass(frozen=True)
class Waiting:
    """A channel makes no attempt before ``until``, because its receiver asked for that or rate-limits it."""

    since: Micros
    until: Micros
    reason: str


@dataclass(frozen=True)
class Channel:
    """A notification channel. ``settings`` depend on its kind; they never leave the server unmasked."""

    id: int
    organization_id: int
    kind: ChannelKind
    name: str
    settings: dict[str, Any] = field(repr=False)
    subscription: Subscription
    enabled: bool
    paused_reason: str | None
    created_at: Micros
    last_wait: Waiting | None = None  #: it may be over

    def waiting(self, now: Micros) -> Waiting | None:
        """Why the channel waits at ``now``; None: it doesn't wait, or is paused, which takes precedence."""
        wait = self.last_wait
        return wait if wait is not None and wait.until > now and self.paused_reason is None else None


MAX_SECRETS = 5
"""Live signing secrets per channel: each adds a signature to every request."""

MAX_OVERLAP: Micros = 7 * 24 * 3600 * SECOND
"""How long former signing secrets may stay live."""


@dataclass(frozen=True)
class SigningSecret:
    """A ``whsec_…`` secret that requests are signed with before ``expires_at``; None: until it is rotated."""

    secret: str = field(repr=False)
    expires_at: Micros | None = None


def live_secrets(secrets: Iterable[SigningSecret], now: Micros) -> tuple[SigningSecret, ...]:
    """The secrets to sign with at ``now``, in their order."""
    return tuple(
        signing_secret
        for signing_secret in secrets
        if signing_secret.expires_at is None or signing_secret.expires_at > now
    )


def rotate_secrets(
    secrets: Iterable[SigningSecret], fresh: str, *, until: Micros, now: Micros
) -> tuple[SigningSecret, ...]:
    """Adds ``fresh``, lets all others expire by ``until`` and returns the live secrets, newest first.

    Secrets that expire earlier still do. After a leak, pass ``now`` to expire all old ones.

    Raises:
        Conflict: too many would be live. None is dropped before its promised expiry.
    """
    former = [
        SigningSecret(
            signing_secret.secret, until if signing_secret.expires_at is None else min(signing_secret.expires_at, until)
        )
        for signing_secret in secrets
    ]
    signing_secrets = live_secrets(former, now)
    if len(signing_secrets) >= MAX_SECRETS:
        raise Conflict(
            f"The channel has {MAX_SECRETS} active signing secrets, the maximum. "
            'Wait until one expires, or rotate with "overlap": "0s", which expires all old ones at once.'
        )
    return (SigningSecret(fresh), *signing_secrets)

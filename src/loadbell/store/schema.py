"""
The tables: one schema for both databases, from the types that both share.

Instants and spans are BIGINT microseconds, UUIDs and JSON are TEXT, secrets are sealed (encrypted) TEXT. Integer ids
are never reused, so that the log of a deleted channel stays unambiguous; logs refer to deletable rows without foreign
keys. Constraints and indexes have names, so that migrations can refer to them.
"""
# long: every table in one place, so that the references between them are visible at once

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UUID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _BIG, sa.Identity(), primary_key=True)


def _ref(name: str, target: str, *, cascade: bool = False) -> "sa.Column[int]":
    return sa.Column(name, _BIG, sa.ForeignKey(f"{target}.id", ondelete="CASCADE" if cascade else None), nullable=False)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=nullable)


def _partial(name: str, *columns: str, where: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


installation = sa.Table("installation", metadata, sa.Column("name", sa.Text, primary_key=True), _text("value"))
"""Facts about this installation: the fingerprint of its secret key."""

organizations = sa.Table(
    "organizations",
    metadata,
    _id(),
    _text("name"),
    _at("created_at"),
    sa.Column("default_project_id", _BIG, nullable=True),  #: for runs that name no project
    _at("deleted_at", nullable=True),  #: it has no members any more, only its runs and log
    sqlite_autoincrement=True,
)

users = sa.Table(
    "users",
    metadata,
    _id(),
    sa.Column("email", sa.Text, nullable=False, unique=True),  #: in lower case
    _text("name"),
    _text("password_hash"),
    _at("created_at"),
    sa.Column("sessions_ended_to", sa.BigInteger, nullable=False, server_default="0"),  #: up to this id they are over
    sa.Column("session_kept", _BIG, nullable=True),  #: except this one
    sqlite_autoincrement=True,
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("organization_id", _BIG, sa.ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("user_id", _BIG, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    _text("role"),
    _at("created_at"),
    sa.Index("ix_members_user_id", "user_id"),
)

projects = sa.Table(
    "projects",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _text("name"),
    _at("created_at"),
    _at("archived_at", nullable=True),  #: it takes no new runs from then on
    _at("deleted_at", nullable=True),  #: hidden from everybody from then on; a sweep deletes its rows
    sa.Index("ix_projects_organization_id", "organization_id"),
    sqlite_autoincrement=True,
)

assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("project_id", _BIG, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("user_id", _BIG, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("ix_assignments_user_id", "user_id"),
)
"""Projects that users with the role member are assigned to."""

tokens = sa.Table(
    "tokens",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _ref("user_id", "users", cascade=True),
    _text("name"),
    _text("scope"),
    _text("trigger"),
    sa.Column("hash", sa.Text, nullable=False, unique=True),  #: SHA-256 of the token, which is 256 random bits
    _text("prefix"),
    _at("created_at"),
    _at("expires_at", nullable=True),
    sa.Column("project_id", _BIG, nullable=True),  #: the only project it can access; null: all that its user can see
    _at("last_used_at", nullable=True),  #: to the minute
    sa.Index("ix_tokens_organization_id_id", "organization_id", "id"),
    sqlite_autoincrement=True,
)

sessions = sa.Table(
    "sessions",
    metadata,
    _id(),
    _ref("user_id", "users", cascade=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),  #: SHA-256 of the session's 256 random bits
    _text("address", nullable=True),  #: where the user signed in from
    _text("agent", nullable=True),  #: the User-Agent that signed in
    _at("created_at"),
    _at("last_used_at"),  #: to the minute
    _at("expires_at"),
    sa.Index("ix_sessions_user_id_id", "user_id", "id"),
    sqlite_autoincrement=True,
)

password_resets = sa.Table(
    "password_resets",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),  #: SHA-256 of the link's 256 random bits
    _ref("user_id", "users", cascade=True),
    _at("created_at"),
    _at("expires_at"),
    sa.Index("ix_password_resets_user_id", "user_id"),
)
"""Mailed links that haven't been used yet."""

rate_limits = sa.Table(
    "attempt_paces",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  #: hash of the e-mail address or of the client's address
    _at("full_at"),  #: see ``domain/token_bucket.py``
    sa.Index("ix_attempt_paces_full_at", "full_at"),
)
"""Token buckets that limit password guessing, by e-mail address and by client address. Full ones are deleted."""

invitations = sa.Table(
    "invitations",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _text("email"),  #: in lower case
    _text("role"),
    _text("project_ids"),  #: JSON list
    sa.Column("hash", sa.Text, nullable=False, unique=True),  #: SHA-256 of the link's 256 random bits
    sa.Column("invited_by", _BIG, nullable=False),  #: a user
    _at("created_at"),
    _at("expires_at"),
    sa.Index("ix_invitations_organization_id_id", "organization_id", "id"),
    sqlite_autoincrement=True,
)
"""Open invitations; the audit log records the others."""

mail_outbox = sa.Table(
    "mails",
    metadata,
    _id(),
    _text("recipient"),
    _text("subject"),
    _text("body"),  #: sealed: it contains a link that grants access
    sa.Column("attempts", sa.Integer, nullable=False),
    _at("next_attempt_at"),
    _at("created_at"),
    _at("expires_at"),  #: when its link expires; it isn't sent after that
    sa.Index("ix_mails_next_attempt_at", "next_attempt_at"),
    sqlite_autoincrement=True,
)
"""Mail to be sent; sent mail is deleted."""

channels = sa.Table(
    "channels",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _text("kind"),
    _text("name"),
    _text("settings"),  #: sealed JSON
    _text("signing_secrets"),  #: sealed JSON list, newest first
    _text("subscription"),  #: JSON
    sa.Column("enabled", sa.Boolean, nullable=False),
    _text("paused_reason", nullable=True),
    _at("paused_at", nullable=True),  #: only Test Hooks are sent from then on
    _at("failing_since", nullable=True),  #: the first failure after the last success
    sa.Column("health_since", sa.BigInteger, nullable=False, server_default="0"),  #: earlier attempts don't count
    _at("throttled_until"),
    _at("throttled_since", nullable=True),
    _text("throttled_reason", nullable=True),
    sa.Column("rate_limits", sa.Integer, nullable=False, server_default="0"),  #: rate-limited attempts in a row
    sa.Column("bucket_full_at", sa.BigInteger, nullable=False, server_default="0"),  #: see ``domain/token_bucket.py``
    _at("created_at"),
    sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),  #: each resume increments it
    sa.Index("ix_channels_organization_id", "organization_id"),
    sqlite_autoincrement=True,
)

tests = sa.Table(
    "tests",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _ref("project_id", "projects", cascade=True),
    _text("name"),
    _text("name_hash"),  #: SHA-256 of the name: an index entry can't hold 10,000 characters
    _text("last_result", nullable=True),  #: of the last run that passed or failed
    _at("created_at"),
    sa.UniqueConstraint("project_id", "name_hash"),
    sqlite_autoincrement=True,
)

runs = sa.Table(
    "runs",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _ref("project_id", "projects", cascade=True),
    _ref("test_id", "tests", cascade=True),
    sa.Column("user_id", _BIG, nullable=False),
    _text("name"),
    sa.Column("status", sa.Integer, nullable=False),
    _text("result", nullable=True),
    _text("trigger"),
    _text("source"),
    _at("created_at"),
    _at("started_at", nullable=True),
    _at("ended_at", nullable=True),
    _text("ended_by", nullable=True),
    sa.Column("corrected", sa.Boolean, nullable=False),
    _at("last_report_at"),
    _at("watchdog", nullable=True),
    _text("metrics"),  #: JSON
    _text("thresholds"),  #: JSON
    _text("links"),  #: JSON
    _text("note", nullable=True),
    _text("tool", nullable=True),  #: the load test tool, with its version
    sa.Index("ix_runs_organization_id_id", "organization_id", "id"),
    sa.Index("ix_runs_project_id_id", "project_id", "id"),
    sa.Index("ix_runs_test_id_id", "test_id", "id"),
    _partial("ix_runs_watched", "last_report_at", where="ended_at IS NULL AND watchdog IS NOT NULL"),
    sa.Index("ix_runs_organization_id_result_id", "organization_id", "result", "id"),
    _partial("ix_runs_open", "organization_id", "id", where="ended_at IS NULL"),
    sqlite_autoincrement=True,
)

run_moves = sa.Table(
    "run_moves",
    metadata,
    _id(),
    _ref("run_id", "runs", cascade=True),
    sa.Column("status", sa.Integer, nullable=False),
    _at("moved_at"),
    _text("by"),
    sa.Column("user_id", _BIG, nullable=True),  #: who reported or requested it
    sa.Index("ix_run_moves_run_id_id", "run_id", "id"),
    sqlite_autoincrement=True,
)
"""Status changes of runs, in order; none from before this table existed."""

run_measurements = sa.Table(
    "run_measurements",
    metadata,
    sa.Column("run_id", _BIG, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),  #: -1: the whole run
    sa.Column("state", sa.LargeBinary, nullable=False),  #: msgpack
    sa.Column("step", sa.LargeBinary, nullable=True),  #: of a slot: its sample in the timeline
)
"""Measurements that runs report while they run: one row for the whole run, and one for each slot of its timeline."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _UUID, primary_key=True),
    _ref("organization_id", "organizations", cascade=True),
    _text("name"),
    sa.Column("run_id", _BIG, nullable=True),
    sa.Column("project_id", _BIG, nullable=True),
    _at("occurred_at"),
    _text("payload"),  #: JSON as it is sent, byte for byte
    _text("notice", nullable=True),  #: JSON for human-readable messages; null in events older than the column
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _UUID, primary_key=True),
    _ref("organization_id", "organizations", cascade=True),
    sa.Column("project_id", _BIG, nullable=True),
    sa.Column("channel_id", _BIG, nullable=True),
    _text("kind"),
    sa.Column("event_id", _UUID, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    _text("event"),
    sa.Column("run_id", _BIG, nullable=True),
    _text("status"),  #: pending, or how it ended; see ``domain/deliveries.MOVES``
    sa.Column("attempt_count", sa.Integer, nullable=False),  #: attempts that have ended
    _text("reason", nullable=True),  #: of the last attempt, like message
    _text("message", nullable=True),
    _at("created_at"),
    _at("finished_at", nullable=True),
    sa.Index("ix_deliveries_organization_id_id", "organization_id", "id"),
    _partial("ix_deliveries_not_delivered", "organization_id", "status", "id", where="status <> 'delivered'"),
    sa.Index("ix_deliveries_channel_id_id", "channel_id", "id"),
    sa.Index("ix_deliveries_run_id_channel_id", "run_id", "channel_id"),
    sa.Index("ix_deliveries_event_id", "event_id"),
)
"""The log: which event goes to which channel, and how that ended."""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("delivery_id", _UUID, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("organization_id", _BIG, nullable=False),
    sa.Column("channel_id", _BIG, nullable=True),
    sa.Column("channel_key", _BIG, nullable=False),  #: the channel's id, or a unique negative number for a Test Hook
    _text("cause"),  #: of the next attempt
    sa.Column("is_retry", sa.Integer, nullable=False),  #: 1: served after first attempts
    _at("due_at"),
    sa.Column("retry_index", sa.Integer, nullable=False),  #: used-up waits of the retry schedule
    _at("resume_at", nullable=True),  #: when the schedule continues after a Redeliver
    sa.Column("attempts_started", sa.Integer, nullable=False),  #: including the one in progress: the fence of its lease
    sa.Column("answered", sa.Boolean, nullable=False),  #: an attempt had an HTTP response other than rate-limited
    sa.Column("after", _UUID, nullable=True),  #: the earlier delivery that must get a response or end first
    _text("form", nullable=True),  #: sealed settings of an unsaved form
    sa.Column("replay_id", _BIG, nullable=True),  #: the replay that redelivers it; null after a manual Redeliver
    sa.Column("generation", sa.BigInteger, nullable=False),  #: its channel's, when it became due
    sa.Column("lease_owner", sa.BigInteger, nullable=True),  #: the worker of the attempt in progress
    _at("lease_until", nullable=True),
    _at("leased_at", nullable=True),
    sa.Index("ix_outbox_organization_id_delivery_id", "organization_id", "delivery_id"),
    sa.Index("ix_outbox_channel_id_delivery_id", "channel_id", "delivery_id"),
    _partial(
        *("ix_outbox_due", "is_retry", "channel_key", "due_at"),
        where="lease_owner IS NULL AND after IS NULL",
    ),
    _partial("ix_outbox_after", "after", where="after IS NOT NULL"),
    _partial("ix_outbox_leased", "lease_until", where="lease_owner IS NOT NULL"),
    _partial("ix_outbox_replay_id", "replay_id", where="replay_id IS NOT NULL"),
)
"""The work: a row for each delivery with an attempt due or in progress. See ``docs/decisions/0030-outbox.md``."""

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_id", _UUID, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    _text("cause"),
    _at("started_at"),
    _at("duration"),
    _text("reason"),
    _text("message"),
    _text("exchange", nullable=True),  #: JSON, secrets masked
)

sweeps = sa.Table(
    "sweeps",
    metadata,
    _id(),
    _text("kind"),
    sa.Column("organization_id", _BIG, nullable=False),
    sa.Column("channel_id", _BIG, nullable=True),  #: sends only Test Hooks until the sweep is done
    sa.Column("project_id", _BIG, nullable=True),
    sa.Column("generation", sa.BigInteger, nullable=False),  #: applies to deliveries of earlier generations
    _text("message"),  #: for the cancelled deliveries
    sa.Column("after", _UUID, nullable=False),  #: deliveries up to this id are done
    _at("created_at"),
    sa.Index("ix_sweeps_channel_id", "channel_id"),
    sqlite_autoincrement=True,
)
"""Work on many rows, done in batches after a mark is set. See ``docs/decisions/0024-sweeps.md``."""

replays = sa.Table(
    "replays",
    metadata,
    _id(),
    _ref("organization_id", "organizations", cascade=True),
    _ref("channel_id", "channels", cascade=True),
    _text("statuses"),  #: JSON list
    sa.Column("after", _UUID, nullable=False),  #: deliveries up to this id are done
    sa.Column("until", _UUID, nullable=False),  #: deliveries from this id on are not included
    sa.Column("count", sa.Integer, nullable=False),  #: deliveries to send, when it began
    sa.Column("done", sa.Integer, nullable=False),  #: deliveries made due so far
    _at("created_at"),
    _at("finished_at", nullable=True),
    sa.Index("ix_replays_channel_id", "channel_id"),
    _partial("ix_replays_open", "id", where="finished_at IS NULL"),
    sqlite_autoincrement=True,
)
"""Redeliveries of a channel's deliveries, a few at a time."""

audit_entries = sa.Table(
    "audit_entries",
    metadata,
    _id(),
    sa.Column("organization_id", _BIG, nullable=True),  #: null: about a user's account
    sa.Column("user_id", _BIG, nullable=True),  #: null: loadbell itself, or the operator
    sa.Column("token_id", _BIG, nullable=True),  #: null: not through an API token
    _text("action"),
    _text("subject"),
    _text("changes"),  #: JSON, secrets masked
    _at("created_at"),
    _text("address", nullable=True),  #: the client's
    sa.Index("ix_audit_entries_organization_id_id", "organization_id", "id"),
    sa.Index("ix_audit_entries_user_id_id", "user_id", "id"),
    sqlite_autoincrement=True,
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("token_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
    _text("request_hash"),
    _text("answer", nullable=True),  #: sealed JSON
    _at("created_at"),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)
"""Kept for a day; no foreign key, so that revoking a token needn't delete them all at once."""

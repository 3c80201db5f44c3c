"""Sessions, password resets, invitations, mail, archived projects, more columns for tokens and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _BIG, sa.Identity(always=False), nullable=False)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    """From 0002 to 0003."""
    op.add_column("organizations", sa.Column("default_project_id", _BIG, nullable=True))
    op.add_column("organizations", _at("deleted_at", nullable=True))
    op.execute(
        "UPDATE organizations SET default_project_id = "
        "(SELECT min(p.id) FROM projects p WHERE p.organization_id = organizations.id)"
    )
    op.add_column("projects", _at("archived_at", nullable=True))
    op.add_column("tokens", sa.Column("project_id", _BIG, nullable=True))
    op.add_column("tokens", _at("last_used_at", nullable=True))
    op.create_index("ix_tokens_organization_id_id", "tokens", ["organization_id", "id"])
    op.create_index("ix_members_user_id", "members", ["user_id"])
    op.create_index("ix_assignments_user_id", "assignments", ["user_id"])
    op.create_index("ix_runs_test_id_id", "runs", ["test_id", "id"])
    with op.batch_alter_table("audit_entries", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("organization_id", existing_type=_BIG, nullable=True)
        batch.add_column(_text("address", nullable=True))
    op.create_index("ix_audit_entries_user_id_id", "audit_entries", ["user_id", "id"])
    op.create_table(
        "sessions",
        _id(),
        sa.Column("user_id", _BIG, nullable=False),
        _text("hash"),
        _text("address", nullable=True),
        _text("agent", nullable=True),
        _at("created_at"),
        _at("last_used_at"),
        _at("expires_at"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("hash", name=op.f("uq_sessions_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_user_id_id", "sessions", ["user_id", "id"])
    op.create_table(
        "password_resets",
        _text("hash"),
        sa.Column("user_id", _BIG, nullable=False),
        _at("created_at"),
        _at("expires_at"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_resets_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_password_resets")),
    )
    op.create_index("ix_password_resets_user_id", "password_resets", ["user_id"])
    op.create_table(
        "attempt_paces",
        _text("key"),
        _at("full_at"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_attempt_paces")),
    )
    op.create_index("ix_attempt_paces_full_at", "attempt_paces", ["full_at"])
    op.create_table(
        "invitations",
        _id(),
        sa.Column("organization_id", _BIG, nullable=False),
        _text("email"),
        _text("role"),
        _text("project_ids"),
        _text("hash"),
        sa.Column("invited_by", _BIG, nullable=False),
        _at("created_at"),
        _at("expires_at"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_invitations_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("hash", name=op.f("uq_invitations_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invitations_organization_id_id", "invitations", ["organization_id", "id"])
    op.create_table(
        "mails",
        _id(),
        _text("recipient"),
        _text("subject"),
        _text("body"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _at("next_attempt_at"),
        _at("created_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_mails_next_attempt_at", "mails", ["next_attempt_at"])

"""Outbox of mail to send. A claim postpones the next attempt, so that a lost one is repeated."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadbell.domain.ids import Micros
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.problems import WrongState
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import mail_outbox

_INSERT = Statement(
    insert_into(mail_outbox, "recipient", "subject", "body", "next_attempt_at", "created_at", "expires_at", attempts=0)
)
_ANY_DUE = Statement("SELECT id FROM mails WHERE next_attempt_at <= :now LIMIT 1")
_LOCK_DUE = Statement(
    # Skips mail that another process is claiming.
    "SELECT * FROM mails WHERE next_attempt_at <= :now ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_MOVE = Statement(
    "UPDATE mails SET attempts = attempts + 1, next_attempt_at = :next_attempt_at "
    "WHERE id = :id AND attempts = :attempts"
)
_DELETE = Statement("DELETE FROM mails WHERE id = :id")


@dataclass(frozen=True)
class QueuedMail:
    """A mail to send. ``attempts``: how often it was claimed before."""

    id: int
    recipient: str
    subject: str
    body: str | None = field(repr=False)  #: None: none of the secret keys decrypts it
    attempts: int
    created_at: Micros
    expires_at: Micros


async def insert_mail(tx: Transaction, *, recipient: str, subject: str, body: str, expires_at: Micros) -> None:
    """Adds a mail that is due at once; its body is stored encrypted."""
    await tx.run(
        _INSERT,
        recipient=recipient,
        subject=subject,
        body=tx.seal(body),
        next_attempt_at=tx.now,
        created_at=tx.now,
        expires_at=expires_at,
    )


async def has_due_mail(tx: Transaction) -> bool:
    """Returns whether there is mail to claim."""
    return await tx.first(_ANY_DUE, now=tx.now) is not None


async def claim_mail(tx: Transaction, waits: Sequence[Micros]) -> QueuedMail | None:
    """Claims the mail that has been due longest and isn't being claimed by another process, if any.

    It is due again after the wait for its attempt (the last of ``waits`` repeats), unless it is deleted before.
    """
    row = await tx.first(_LOCK_DUE, now=tx.now)
    if row is None:
        return None
    wait = waits[min(row["attempts"], len(waits) - 1)]
    await tx.run(_MOVE, id=row["id"], attempts=row["attempts"], next_attempt_at=tx.now + wait)
    try:
        body = tx.unseal(row["body"])
    except WrongState:
        body = None
    return read_row(QueuedMail, row, body=body)


async def delete_mail(tx: Transaction, mail_id: int) -> None:
    """Deletes a mail that was sent or given up."""
    await tx.run(_DELETE, id=mail_id)

"""Status changes of runs, and who made them."""

import sqlalchemy as sa

from loadbell.domain.ids import Micros
from loadbell.domain.runs import EndedBy, Run, RunMove
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.rows import read_row
from loadbell.store.engine.statements import Statement, insert_into
from loadbell.store.schema import run_moves, users

_INSERT = Statement(insert_into(run_moves, "run_id", "status", "moved_at", "by", "user_id"))
_OF_RUN = Statement(
    sa.select(run_moves.c.status, run_moves.c.moved_at, run_moves.c.by, users.c.name)
    .join(users, users.c.id == run_moves.c.user_id, isouter=True)
    .where(run_moves.c.run_id == sa.bindparam("run_id"))
    .order_by(run_moves.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


async def insert_move(tx: Transaction, run: Run, *, by: EndedBy, user_id: int | None, now: Micros) -> None:
    """Records that ``run`` moved to its current status."""
    await tx.run(_INSERT, run_id=run.id, status=run.status.value, moved_at=now, by=by.value, user_id=user_id)


async def list_moves(tx: Transaction, run_id: int, *, limit: int) -> list[RunMove]:
    """Returns up to ``limit`` status changes of the run, oldest first."""
    return [
        read_row(RunMove, row, at=row["moved_at"], user=row["name"])
        for row in await tx.all(_OF_RUN, run_id=run_id, limit=limit)
    ]

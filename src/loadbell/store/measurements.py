"""What runs have measured, a row for each: all of it changes with each push, and nothing else reads parts of it."""

import msgspec
import sqlalchemy as sa

from loadbell.domain.measurements import Measurements
from loadbell.store.db import Transaction
from loadbell.store.schema import run_measurements
from loadbell.store.statements import Statement

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Measurements)

_GET = Statement(sa.select(run_measurements.c.state).where(run_measurements.c.run_id == sa.bindparam("run_id")))
_PUT = Statement(
    "INSERT INTO run_measurements (run_id, state) VALUES (:run_id, :state) "
    "ON CONFLICT (run_id) DO UPDATE SET state = excluded.state"
)


async def get_measurements(tx: Transaction, run_id: int) -> Measurements | None:
    """What the run has measured; None if nothing was ever said of it."""
    row = await tx.first(_GET, run_id=run_id)
    return None if row is None else _decoder.decode(row["state"])


async def put_measurements(tx: Transaction, run_id: int, measured: Measurements) -> None:
    """Keeps what the run has measured. The caller has locked the run."""
    await tx.run(_PUT, run_id=run_id, state=_encoder.encode(measured))

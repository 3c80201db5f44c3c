"""Measurements of runs: a row for the whole, one for each slot of the timeline; a push writes only changed ones."""

import msgspec
import sqlalchemy as sa

from loadbell.domain.measurements import Measurements, Sample, Total, build_samples
from loadbell.store.engine.db import Transaction
from loadbell.store.engine.statements import Statement
from loadbell.store.schema import run_measurements

_RUN_BUCKET = -1

_encoder = msgspec.msgpack.Encoder()
_measurements_decoder = msgspec.msgpack.Decoder(Measurements)
_sample_decoder = msgspec.msgpack.Decoder(Sample)
_bucket_decoder = msgspec.msgpack.Decoder(dict[str, Total])

_GET = Statement(
    sa.select(run_measurements.c.slot, run_measurements.c.state).where(
        run_measurements.c.run_id == sa.bindparam("run_id"),
        run_measurements.c.slot.between(
            sa.bindparam("first", type_=sa.BigInteger), sa.bindparam("last", type_=sa.BigInteger)
        ),
    )
)
_PUT = Statement(
    "INSERT INTO run_measurements (run_id, slot, state, step) VALUES (:run_id, :slot, :state, :step) "
    "ON CONFLICT (run_id, slot) DO UPDATE SET state = excluded.state, step = excluded.step"
)
_TIMELINE = Statement("SELECT step FROM run_measurements WHERE run_id = :run_id AND slot >= 0 ORDER BY slot")
_DELETE_BUCKETS = Statement("DELETE FROM run_measurements WHERE run_id = :run_id AND slot >= 0")


async def get_measurements(tx: Transaction, run_id: int) -> Measurements | None:
    """Returns the measurements of the whole run, without its timeline; None if it never reported any."""
    row = await tx.first(_GET, run_id=run_id, first=_RUN_BUCKET, last=_RUN_BUCKET)
    return None if row is None else _measurements_decoder.decode(row["state"])


async def get_timeline(tx: Transaction, run_id: int) -> list[Sample]:
    """Returns the run's timeline, oldest first."""
    return [_sample_decoder.decode(row["step"]) for row in await tx.all(_TIMELINE, run_id=run_id)]


async def merge_push(tx: Transaction, run_id: int, measured: Measurements, push: Measurements, now: int) -> None:
    """Merges ``push`` into ``measured`` (from :func:`get_measurements`) and saves it. The caller has locked the run."""
    touched = measured.touched_buckets(push, now)
    if touched is None and measured.span is not None:
        await _load_buckets(tx, run_id, measured, *measured.span)
    elif touched:
        await _load_buckets(tx, run_id, measured, min(touched), max(touched))
    width = measured.width
    measured.merge(push, now)
    if measured.width != width:
        await tx.run(_DELETE_BUCKETS, run_id=run_id)
    for sample in build_samples(measured):
        bucket = sample.at // measured.width
        state = _encoder.encode(measured.buckets[bucket])
        await tx.run(_PUT, run_id=run_id, slot=bucket, state=state, step=_encoder.encode(sample))
    await save_measurements(tx, run_id, measured)


async def save_measurements(tx: Transaction, run_id: int, measured: Measurements) -> None:
    """Saves everything except the timeline. The caller has locked the run."""
    state = _encoder.encode(msgspec.structs.replace(measured, buckets={}))
    await tx.run(_PUT, run_id=run_id, slot=_RUN_BUCKET, state=state, step=None)


async def _load_buckets(tx: Transaction, run_id: int, measured: Measurements, first: int, last: int) -> None:
    for row in await tx.all(_GET, run_id=run_id, first=first, last=last):
        measured.buckets[row["slot"]] = _bucket_decoder.decode(row["state"])

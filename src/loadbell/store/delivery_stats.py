"""Counts of deliveries by status: over time, and by run. Each query counts a limited number of them."""

from collections.abc import Collection
from dataclasses import dataclass

from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.ids import Micros, first_uuid
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.statements import Statement

MAX_COUNTED = 20_000  # more would make the page too slow
MAX_HELD_COUNTED = 1_000  # of one channel: every page shows the number while the channel is paused

_OVER_TIME = (
    "SELECT step, status, count(*) AS count, min(created_at) AS oldest FROM ("
    "SELECT (created_at - :start) / :width AS step, status, created_at FROM deliveries "
    "WHERE {} AND id >= :first AND id < :end ORDER BY id DESC LIMIT :limit) AS newest GROUP BY step, status"
)
_OF_ORGANIZATION = Statement(_OVER_TIME.format("organization_id = :organization_id"))
_OF_CHANNEL = Statement(_OVER_TIME.format("channel_id = :channel_id AND +organization_id = :organization_id"))
_OF_RUNS = Statement(
    "SELECT d.run_id, d.project_id, d.status, c.paused_at IS NOT NULL AS paused, count(*) AS count "
    "FROM deliveries d LEFT JOIN channels c ON c.id = d.channel_id "
    "WHERE +d.organization_id = :organization_id AND d.run_id IN LIST(:run_ids, bigint) "
    "GROUP BY d.run_id, d.project_id, d.status, paused"
)
_HELD = Statement(
    # Start with those that wait for no other delivery; behind each follow those that wait for it.
    "WITH RECURSIVE held(id) AS ("
    "SELECT delivery_id FROM outbox WHERE lease_owner IS NULL AND after IS NULL AND is_retry IN (0, 1) "
    "AND channel_key = :channel_id "
    "UNION ALL SELECT o.delivery_id FROM held JOIN outbox o ON o.after = held.id "
    "WHERE o.lease_owner IS NULL AND o.channel_key = :channel_id) "
    "SELECT count(*) AS count FROM (SELECT id FROM held LIMIT :limit) AS counted"
)


@dataclass(frozen=True)
class Share:
    """The count of deliveries with one status that were created in one step of time."""

    step: int
    status: DeliveryStatus
    count: int
    oldest: Micros  #: when the first of them was created


async def stats_over_time(  # noqa: PLR0913 - whose, and the steps of time
    tx: Transaction,
    organization_id: int,
    *,
    channel_id: int | None,
    start: Micros,
    end: Micros,
    width: Micros,
) -> tuple[list[Share], bool]:
    """Counts the deliveries created in [``start``, ``end``) by status, in steps of ``width``.

    Counts the organization's deliveries, or those of one of its channels. Returns True as well if there are more than
    ``MAX_COUNTED``; then the oldest are left out.
    """
    where = {
        "organization_id": organization_id,
        "start": start,
        "width": width,
        "first": str(first_uuid(start)),
        "end": str(first_uuid(end)),
        "limit": MAX_COUNTED + 1,
    }
    if channel_id is None:
        rows = await tx.all(_OF_ORGANIZATION, **where)
    else:
        rows = await tx.all(_OF_CHANNEL, **where, channel_id=channel_id)
    shares = [Share(row["step"], DeliveryStatus(row["status"]), row["count"], row["oldest"]) for row in rows]
    return shares, sum(share.count for share in shares) > MAX_COUNTED


async def stats_of_runs(tx: Transaction, organization_id: int, run_ids: Collection[int]) -> list[Row]:
    """Counts the deliveries of these runs by run_id, project_id, status and paused (whether the channel is)."""
    return list(await tx.all(_OF_RUNS, organization_id=organization_id, run_ids=sorted(run_ids)))


async def count_held(tx: Transaction, channel_id: int) -> int:
    """Counts the deliveries that wait for the channel, up to ``MAX_HELD_COUNTED``. Test Hooks aren't counted."""
    row = await tx.first(_HELD, channel_id=channel_id, limit=MAX_HELD_COUNTED)
    assert row is not None
    return int(row["count"])

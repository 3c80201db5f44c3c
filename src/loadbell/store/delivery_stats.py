"""What became of deliveries, in numbers: over time, and of a few runs. Each look counts a limited number of them."""

from collections.abc import Collection
from dataclasses import dataclass

from loadbell.domain.deliveries import DeliveryStatus
from loadbell.domain.ids import Micros, first_uuid
from loadbell.store.engine.db import Row, Transaction
from loadbell.store.engine.statements import Statement

MAX_COUNTED = 20_000
"""How many deliveries are counted at most: more would take longer than a page may."""

MAX_HELD_COUNTED = 1_000
"""How many deliveries that a channel holds are counted at most: the number stands on every page while it is paused."""

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
    # Those that are due or will be, and behind each the line of those that come after it.
    "WITH RECURSIVE held(id) AS ("
    "SELECT delivery_id FROM outbox WHERE lease_owner IS NULL AND after IS NULL AND is_retry IN (0, 1) "
    "AND channel_key = :channel_id "
    "UNION ALL SELECT o.delivery_id FROM held JOIN outbox o ON o.after = held.id "
    "WHERE o.lease_owner IS NULL AND o.channel_key = :channel_id) "
    "SELECT count(*) AS count FROM (SELECT id FROM held LIMIT :limit) AS counted"
)


@dataclass(frozen=True)
class Share:
    """So many deliveries stand so, of those that were created in one step of time."""

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
    """How the deliveries stand that were created from ``start`` until before ``end``, in steps of ``width``.

    They are those of the organization, or of one of its channels. True: there are more than ``MAX_COUNTED``, of which
    the oldest are not in it.
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
    """How the deliveries of these runs stand.

    A row for each run_id, project_id, status and paused (the channel is) that there is, with their count.
    """
    return list(await tx.all(_OF_RUNS, organization_id=organization_id, run_ids=sorted(run_ids)))


async def count_held(tx: Transaction, channel_id: int) -> int:
    """How many deliveries wait in the channel, up to ``MAX_HELD_COUNTED``. Test Hooks have keys of their own."""
    row = await tx.first(_HELD, channel_id=channel_id, limit=MAX_HELD_COUNTED)
    assert row is not None
    return int(row["count"])

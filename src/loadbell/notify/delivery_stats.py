"""Statistics of deliveries: over time, by run, and the last one of each channel."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum

from loadbell.domain.deliveries import Delivery, DeliveryStatus
from loadbell.domain.ids import SECOND, Micros
from loadbell.domain.orgs import Action, Principal
from loadbell.notify.channels import get_channel
from loadbell.store import delivery_lists
from loadbell.store import delivery_stats as store
from loadbell.store.unit_of_work import UnitOfWork

_HOUR: Micros = 3600 * SECOND


class Period(Enum):
    """The time span of a chart: number and width of its steps."""

    DAY = (24, _HOUR)
    WEEK = (28, 6 * _HOUR)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.value[0]

    @property
    def width(self) -> Micros:
        """The width of each step."""
        return self.value[1]


@dataclass(frozen=True)
class Bucket:
    """Counts of the deliveries created from ``at`` until the next bucket, by status. Sending counts as pending."""

    at: Micros
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    pending: int = 0


@dataclass(frozen=True)
class Outcomes:
    """Counts of deliveries over time, oldest first."""

    buckets: tuple[Bucket, ...]
    cut_at: Micros | None  #: if there were too many: counted from then on; None: all are counted


@dataclass(frozen=True)
class DeliveryCounts:
    """Counts of one run's deliveries. Sending counts as pending; held by a paused channel doesn't."""

    delivered: int = 0
    pending: int = 0
    failed: int = 0
    held: int = 0
    cancelled: int = 0


async def outcomes_over_time(
    unit: UnitOfWork[Principal], *, organization_id: int | None = None, channel_id: int | None = None, period: Period
) -> Outcomes:
    """Counts the deliveries of the organization, or of one channel, created in ``period`` until ``now``.

    Test Hooks are counted as in the log. The steps begin at full hours of UTC; ``now`` is in the last one.

    Raises:
        NotFound: the organization or channel isn't the caller's.
    """
    if organization_id is not None:
        unit.principal.require_organization(organization_id)
    if channel_id is not None:
        await get_channel(unit, channel_id)
    unit.principal.require(Action.READ_LOG)
    end = unit.now - unit.now % period.width + period.width
    start = end - period.steps * period.width
    shares, cut = await store.stats_over_time(
        unit.tx, unit.principal.organization_id, channel_id=channel_id, start=start, end=end, width=period.width
    )
    buckets = [Bucket(start + step * period.width) for step in range(period.steps)]
    for share in shares:
        name = _NAMES[share.status]
        bucket = buckets[share.step]
        buckets[share.step] = replace(bucket, **{name: getattr(bucket, name) + share.count})
    return Outcomes(tuple(buckets), min(share.oldest for share in shares) if cut else None)


async def count_by_run(unit: UnitOfWork[Principal], run_ids: Collection[int]) -> dict[int, DeliveryCounts]:
    """Counts the deliveries of each of these runs that the caller can see; zeros for a run without any."""
    unit.principal.require(Action.READ_DELIVERIES)
    values = dict.fromkeys(run_ids, DeliveryCounts())
    for row in await store.stats_of_runs(unit.tx, unit.principal.organization_id, run_ids):
        if unit.principal.can_see_project(row["project_id"]):
            status = DeliveryStatus(row["status"])
            name = "held" if status is DeliveryStatus.PENDING and row["paused"] else _NAMES[status]
            before = values[row["run_id"]]
            values[row["run_id"]] = replace(before, **{name: getattr(before, name) + row["count"]})
    return values


async def last_deliveries(unit: UnitOfWork[Principal], channel_ids: Collection[int]) -> dict[int, Delivery]:
    """Returns each channel's newest delivery that is not a Test Hook, if it has one."""
    unit.principal.require(Action.READ_LOG)
    return await delivery_lists.last_deliveries(unit.tx, unit.principal.organization_id, channel_ids)


_NAMES = {
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.FAILED: "failed",
    DeliveryStatus.CANCELLED: "cancelled",
    DeliveryStatus.PENDING: "pending",
    DeliveryStatus.SENDING: "pending",
}

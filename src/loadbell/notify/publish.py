"""
Publishes events inside the transaction of the report.

The event with its frozen payload and one delivery for each subscribed channel are stored in the transaction that moves
the run: all or nothing.
"""

from loadbell.domain.events import Event, EventName, run_payload
from loadbell.domain.notices import encode_notice, run_notice
from loadbell.domain.runs import Result, Run
from loadbell.notify.route import RoutingFacts, is_change, matches
from loadbell.store.channels import listeners
from loadbell.store.deliveries import insert_event
from loadbell.store.engine.db import Transaction
from loadbell.store.enqueue import NewDelivery, enqueue
from loadbell.store.ordering import bring_forward, lock_unanswered
from loadbell.store.organizations import list_names
from loadbell.store.runs import find_previous_run, lock_last_result, set_last_result


async def publish_started(tx: Transaction, run: Run) -> None:
    """Publishes that ``run`` became Running."""
    await _publish(tx, RoutingFacts(EventName.STARTED, run, changed=False))


async def publish_finished(tx: Transaction, run: Run) -> None:
    """Publishes the end of ``run``, and stores its result for the next end of the same test."""
    last = await lock_last_result(tx, run.test_id) if run.has_test else None
    if run.has_test and run.result is not None and run.result is not Result.UNKNOWN and run.result is not last:
        await set_last_result(tx, run.test_id, run.result)
    facts = RoutingFacts(EventName.FINISHED, run, changed=is_change(run.result, last))
    await _publish(tx, facts)


async def _publish(tx: Transaction, facts: RoutingFacts) -> None:
    run = facts.run
    compares = facts.name is EventName.FINISHED and run.status.is_complete and run.metrics
    earlier = await find_previous_run(tx, run) if compares else None
    project, text = await list_names(tx, run.project_id, run.user_id)
    event = Event(
        id=tx.new_uuid(),
        organization_id=run.organization_id,
        name=facts.name,
        occurred_at=tx.now,
        payload=run_payload(run, facts.name),
        notice=encode_notice(run_notice(run, facts.name, project=project, who=text, now=tx.now, earlier=earlier)),
        run_id=run.id,
        project_id=run.project_id,
    )
    await insert_event(tx, event)
    channels = [item for item in await listeners(tx, run.organization_id) if matches(item.subscription, facts)]
    unanswered = await lock_unanswered(tx, run.id)
    deliveries = [
        NewDelivery(tx.new_uuid(), channel.id, channel.kind, after=unanswered.get(channel.id)) for channel in channels
    ]
    await enqueue(tx, event, deliveries)
    # A retry that is hours away must not hold back newer notifications.
    await bring_forward(tx, [unanswered[channel.id] for channel in channels if channel.id in unanswered])
    tx.wake_workers()

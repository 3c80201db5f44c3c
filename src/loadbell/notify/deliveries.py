"""Use cases on deliveries: test a channel, redeliver, cancel, read the log."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from loadbell.channels.settings import stored_settings
from loadbell.domain.changes import diff_fields
from loadbell.domain.channels import Channel, ChannelKind
from loadbell.domain.deliveries import Attempt, Cause, Delivery, DeliveryStatus, FinalStatus
from loadbell.domain.errors import Conflict, IllegalMove, NotFound
from loadbell.domain.events import Event, EventName, test_hook_payload
from loadbell.domain.ids import Micros
from loadbell.domain.notices import encode_notice, test_hook_notice
from loadbell.domain.orgs import Action, Principal
from loadbell.notify.channels import audit_name, audit_url, check_form, get_channel, parse_kind
from loadbell.notify.visibility import seen_attempts, seen_deliveries
from loadbell.store import deliveries as store
from loadbell.store.attempts import list_attempts
from loadbell.store.audit import append_entry
from loadbell.store.cancellation import cancel_one
from loadbell.store.channels import get_channel as find_channel
from loadbell.store.delivery_lists import list_deliveries
from loadbell.store.enqueue import NewDelivery, enqueue, lock_delivery, send_again, send_now
from loadbell.store.organizations import has_project, organization_names
from loadbell.store.runs import get_run
from loadbell.store.unit_of_work import UnitOfWork


async def test_saved(unit: UnitOfWork[Principal], channel_id: int) -> UUID:
    """Starts a Test Hook of a saved channel, even if paused. Returns the delivery's id.

    Raises:
        NotFound: the channel isn't in the caller's organization.
    """
    channel = await get_channel(unit, channel_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    return await _test(unit, channel.kind, channel, form=None)


async def test_form(
    unit: UnitOfWork[Principal], organization_id: int, *, kind: str, settings: Mapping[str, Any]
) -> UUID:
    """Starts a Test Hook of unsaved settings, without a signature. Returns the delivery's id.

    Raises:
        NotFound: the organization isn't the caller's.
        Invalid: the kind is not known, or a setting is wrong.
    """
    unit.principal.require_organization(organization_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    channel_kind = parse_kind(kind)
    form = check_form(channel_kind, settings, policy=unit.installation.policy)
    return await _test(unit, channel_kind, None, form=form)


async def test_form_of(unit: UnitOfWork[Principal], channel_id: int, settings: Mapping[str, Any]) -> UUID:
    """Starts a Test Hook of a saved channel's form; absent settings are taken from the channel.

    An unchanged form tests the channel itself, so the channel's log has the test. Any other form is sent unsigned.

    Raises:
        NotFound: the channel isn't in the caller's organization.
        Invalid: a setting is wrong, or a saved secret would go to another host.
    """
    channel = await get_channel(unit, channel_id)
    unit.principal.require(Action.MANAGE_CHANNELS)
    form = check_form(channel.kind, settings, policy=unit.installation.policy, current=channel.settings)
    same = form == asdict(stored_settings(channel.kind, channel.settings))
    return await _test(unit, channel.kind, channel, form=None if same else form)


async def redeliver(unit: UnitOfWork[Principal], delivery_id: UUID) -> Delivery:
    """Schedules one manual attempt of the same delivery now. Returns the updated delivery.

    Raises:
        NotFound: the caller can't see the delivery.
        Conflict: it is being sent, its project or channel is gone, the channel is turned off or paused, or it was the
            test of an unsaved form.
    """
    delivery = await _locked(unit, delivery_id)
    if delivery.status is DeliveryStatus.SENDING:
        raise Conflict("An attempt is running. Wait until it ends, then redeliver.")
    if delivery.channel_id is None:
        raise Conflict("This was a test of an unsaved form. Run the test again from the form.")
    channel = await find_channel(unit.tx, unit.principal.organization_id, delivery.channel_id)
    if channel is None:
        raise Conflict("This delivery's channel was deleted, so it can't be sent.")
    if delivery.project_id is not None and not await has_project(
        unit.tx, unit.principal.organization_id, delivery.project_id
    ):
        raise Conflict("This delivery's project was deleted, so it can't be sent.")
    if not channel.enabled:
        raise Conflict("This delivery's channel is off. Turn it on, then redeliver.")
    if channel.paused_reason is not None:
        raise Conflict("This delivery's channel is paused. Resume it, then redeliver.")
    if delivery.status is DeliveryStatus.PENDING:
        await send_now(unit.tx, delivery_id)
    else:
        await send_again(unit.tx, str(delivery_id), FinalStatus(delivery.status))
    unit.tx.wake_workers()
    await append_entry(unit.tx, unit.principal, "delivery.redelivered", f"delivery {delivery_id}", _about(delivery))
    return await _reread(unit, delivery_id)


async def cancel(unit: UnitOfWork[Principal], delivery_id: UUID) -> Delivery:
    """Cancels a pending delivery: no more attempts are made. Returns the updated delivery.

    Raises:
        NotFound: the caller can't see the delivery.
        IllegalMove: it has ended.
        Conflict: it is being sent.
    """
    delivery = await _locked(unit, delivery_id)
    if delivery.status is DeliveryStatus.SENDING:
        raise Conflict("An attempt is running and can't be stopped. If it fails, cancel the retries then.")
    if delivery.status is not DeliveryStatus.PENDING:
        raise IllegalMove(f"The delivery is {delivery.status.value}; only a pending one can be cancelled.")
    await cancel_one(unit.tx, delivery_id)
    unit.tx.wake_workers()
    cancelled = await _reread(unit, delivery_id)
    changes = {**_about(delivery), **diff_fields({"status": delivery.status}, {"status": cancelled.status})}
    await append_entry(unit.tx, unit.principal, "delivery.cancelled", f"delivery {delivery_id}", changes)
    return cancelled


async def get_delivery(unit: UnitOfWork[Principal], delivery_id: UUID) -> tuple[Delivery, list[Attempt]]:
    """Returns the delivery and its attempts, oldest first, as far as the caller may see them.

    Raises:
        NotFound: the caller can't see it.
    """
    unit.principal.require(Action.READ_DELIVERIES)
    delivery = await store.get_delivery(unit.tx, unit.principal.organization_id, delivery_id)
    if delivery is None or not unit.principal.can_see_project(delivery.project_id):
        raise _no_delivery(delivery_id)
    (seen,) = seen_deliveries(unit.principal, [delivery])
    return seen, seen_attempts(unit.principal, await list_attempts(unit.tx, delivery_id))


async def list_for_run(
    unit: UnitOfWork[Principal], run_id: int, *, before: UUID | None, limit: int
) -> tuple[list[Delivery], UUID | None]:
    """Returns up to ``limit`` deliveries of the run older than ``before``, newest first, and the next ``before``.

    Deliveries are reduced to what the caller may see.

    Raises:
        NotFound: the caller can't see the run.
    """
    unit.principal.require(Action.READ_DELIVERIES)
    run = await get_run(unit.tx, unit.principal.organization_id, run_id)
    if run is None or not unit.principal.can_see_project(run.project_id):
        raise NotFound(f"There is no run {run_id}.")
    found, following = await list_deliveries(
        unit.tx, unit.principal.organization_id, run_id=run_id, before=before, limit=limit
    )
    return seen_deliveries(unit.principal, found), following


async def list_log(  # noqa: PLR0913 - one argument for each filter
    unit: UnitOfWork[Principal],
    *,
    organization_id: int | None = None,
    channel_id: int | None = None,
    status: DeliveryStatus | None = None,
    event: EventName | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    before: UUID | None = None,
    limit: int,
) -> tuple[list[Delivery], UUID | None]:
    """Returns up to ``limit`` deliveries of the organization, or of one channel, that match, newest first.

    Also returns the next ``before``; None at the end. A page may have fewer than ``limit``, even none, before the end:
    see :func:`loadbell.store.delivery_lists.list_deliveries`.

    Raises:
        NotFound: the organization or channel isn't the caller's.
    """
    if organization_id is not None:
        unit.principal.require_organization(organization_id)
    if channel_id is not None:
        await get_channel(unit, channel_id)
    unit.principal.require(Action.READ_LOG)
    return await list_deliveries(
        unit.tx,
        unit.principal.organization_id,
        channel_id=channel_id,
        status=status,
        event=event,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )


async def _test(
    unit: UnitOfWork[Principal], kind: ChannelKind, channel: Channel | None, *, form: dict[str, Any] | None
) -> UUID:
    """Tests the saved ``channel``, or a ``form``: of that channel, or of none yet."""
    organization, text = await organization_names(unit.tx, unit.principal.organization_id, unit.principal.user_id)
    event = Event(
        id=unit.new_uuid(),
        organization_id=unit.principal.organization_id,
        name=EventName.TEST_HOOK,
        occurred_at=unit.now,
        payload=test_hook_payload(),
        notice=encode_notice(test_hook_notice(organization=organization, who=text, now=unit.now)),
    )
    tested = None if channel is None or form is not None else channel.id
    delivery = NewDelivery(unit.new_uuid(), tested, kind, cause=Cause.TEST, form=form)
    await store.insert_event(unit.tx, event)
    await enqueue(unit.tx, event, [delivery])
    unit.tx.wake_workers()
    subject = f"organization {unit.principal.organization_id}" if channel is None else f"channel {channel.id}"
    about = {} if channel is None else audit_name(channel)
    where = {} if form is None else audit_url(kind, form)
    changes = {"kind": kind, **about, **where, "delivery": str(delivery.id)}
    await append_entry(unit.tx, unit.principal, "channel.tested", subject, changes)
    return delivery.id


async def _locked(unit: UnitOfWork[Principal], delivery_id: UUID) -> Delivery:
    unit.principal.require(Action.READ_DELIVERIES)
    delivery = await lock_delivery(unit.tx, unit.principal.organization_id, delivery_id)
    if delivery is None or not unit.principal.can_see_project(delivery.project_id):
        raise _no_delivery(delivery_id)
    unit.principal.require(Action.MANAGE_DELIVERIES)
    return delivery


async def _reread(unit: UnitOfWork[Principal], delivery_id: UUID) -> Delivery:
    delivery = await store.get_delivery(unit.tx, unit.principal.organization_id, delivery_id)
    assert delivery is not None, "it was locked by this transaction"
    return delivery


def _about(delivery: Delivery) -> dict[str, Any]:
    return {"event": delivery.event, "run_id": delivery.run_id, "channel_id": delivery.channel_id}


def _no_delivery(delivery_id: UUID) -> NotFound:
    return NotFound(f"There is no delivery {delivery_id}.")

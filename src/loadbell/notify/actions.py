"""What people do with deliveries: test a channel, redeliver, cancel, read the log."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from loadbell.channels.settings import stored_settings
from loadbell.domain.changes import changed_fields
from loadbell.domain.channels import Channel, ChannelKind
from loadbell.domain.deliveries import Attempt, Cause, Delivery, DeliveryStatus
from loadbell.domain.errors import Conflict, IllegalMove, NotFound
from loadbell.domain.events import Event, EventName, test_hook_payload
from loadbell.domain.ids import Entropy, Micros, new_uuid
from loadbell.domain.notices import encode_notice, test_hook_notice
from loadbell.domain.orgs import Action, Principal
from loadbell.notify.channels import check_form, check_organization, get_channel, named, parse_kind, place
from loadbell.notify.visibility import seen_attempts, seen_deliveries
from loadbell.outbound.addresses import AddressPolicy
from loadbell.store import deliveries as store
from loadbell.store.audit import append_entry
from loadbell.store.channels import get_channel as find_channel
from loadbell.store.db import Transaction
from loadbell.store.delivery_lists import list_deliveries
from loadbell.store.organizations import has_project, organization_names
from loadbell.store.runs import get_run


async def test_saved(tx: Transaction, principal: Principal, channel_id: int, *, now: Micros, entropy: Entropy) -> UUID:
    """Starts a Test Hook of a saved channel, paused or not; gives the delivery's id.

    Raises:
        NotFound: the channel is not of the asker's organization.
    """
    channel = await get_channel(tx, principal, channel_id)
    principal.require(Action.MANAGE_CHANNELS)
    return await _test(tx, principal, channel.kind, channel, form=None, now=now, entropy=entropy)


async def test_form(  # noqa: PLR0913 - what stands in the form, and the ambient values
    tx: Transaction,
    principal: Principal,
    organization_id: int,
    *,
    kind: str,
    settings: Mapping[str, Any],
    policy: AddressPolicy,
    now: Micros,
    entropy: Entropy,
) -> UUID:
    """Starts a Test Hook of settings that are not saved; gives the delivery's id. Nothing is signed.

    Raises:
        NotFound: the organization is not the asker's.
        Invalid: the kind is not known, or a setting is wrong.
    """
    check_organization(principal, organization_id)
    principal.require(Action.MANAGE_CHANNELS)
    known = parse_kind(kind)
    form = check_form(known, settings, policy=policy)
    return await _test(tx, principal, known, None, form=form, now=now, entropy=entropy)


async def test_form_of(  # noqa: PLR0913 - as above
    tx: Transaction,
    principal: Principal,
    channel_id: int,
    settings: Mapping[str, Any],
    *,
    policy: AddressPolicy,
    now: Micros,
    entropy: Entropy,
) -> UUID:
    """Starts a Test Hook of the form of a saved channel, whose settings stand for those that are absent.

    A form that says just what is saved tests the channel, so that its log has the test. Any other is not signed.

    Raises:
        NotFound: the channel is not of the asker's organization.
        Invalid: a setting is wrong, or a saved secret would go to another host.
    """
    channel = await get_channel(tx, principal, channel_id)
    principal.require(Action.MANAGE_CHANNELS)
    form = check_form(channel.kind, settings, policy=policy, current=channel.settings)
    same = form == asdict(stored_settings(channel.kind, channel.settings))
    return await _test(tx, principal, channel.kind, channel, form=None if same else form, now=now, entropy=entropy)


async def redeliver(tx: Transaction, principal: Principal, delivery_id: UUID, *, now: Micros) -> Delivery:
    """Makes one manual attempt of the same delivery due now; gives the delivery as it stands then.

    Raises:
        NotFound: the asker does not see the delivery.
        Conflict: it is being sent, its project or channel is gone, that is turned off or paused, or it was the test of
            an unsaved form.
    """
    delivery = await _locked(tx, principal, delivery_id)
    if delivery.status is DeliveryStatus.SENDING:
        raise Conflict("An attempt is under way. Wait for its end, then redeliver.")
    if delivery.channel_id is None:
        raise Conflict("This was the test of a form that was not saved. Test the form again.")
    channel = await find_channel(tx, principal.organization_id, delivery.channel_id)
    if channel is None:
        raise Conflict("The channel of this delivery was deleted, so there is nowhere to send it.")
    if delivery.project_id is not None and not await has_project(tx, principal.organization_id, delivery.project_id):
        raise Conflict("The project of this delivery was deleted, so nothing is told of it any more.")
    if not channel.enabled:
        raise Conflict("The channel of this delivery is turned off. Turn it on, then redeliver.")
    if channel.paused_reason is not None:
        raise Conflict("The channel of this delivery is paused. Resume it, then redeliver.")
    await store.redeliver(tx, delivery, now)
    tx.wake_workers()
    await append_entry(tx, principal, "delivery.redelivered", f"delivery {delivery_id}", _about(delivery), now)
    return await _reread(tx, principal, delivery_id)


async def cancel(tx: Transaction, principal: Principal, delivery_id: UUID, *, now: Micros) -> Delivery:
    """Calls off what is pending: no further attempt is made. Gives the delivery as it stands then.

    Raises:
        NotFound: the asker does not see the delivery.
        IllegalMove: it has ended.
        Conflict: it is being sent.
    """
    delivery = await _locked(tx, principal, delivery_id)
    if delivery.status is DeliveryStatus.SENDING:
        raise Conflict("An attempt is under way and can't be called back. Cancel again if it is to be retried.")
    if delivery.status is not DeliveryStatus.PENDING:
        raise IllegalMove(f"The delivery is {delivery.status.value}; only a pending one can be cancelled.")
    await store.call_off(tx, delivery, now)
    tx.wake_workers()
    called_off = await _reread(tx, principal, delivery_id)
    changes = {**_about(delivery), **changed_fields({"status": delivery.status}, {"status": called_off.status})}
    await append_entry(tx, principal, "delivery.cancelled", f"delivery {delivery_id}", changes, now)
    return called_off


async def get_delivery(tx: Transaction, principal: Principal, delivery_id: UUID) -> tuple[Delivery, list[Attempt]]:
    """The delivery with every attempt, oldest first, as far as the asker may see them.

    Raises:
        NotFound: the asker does not see it.
    """
    principal.require(Action.READ_DELIVERIES)
    delivery = await store.get_delivery(tx, principal.organization_id, delivery_id)
    if delivery is None or not principal.sees_project(delivery.project_id):
        raise _no_delivery(delivery_id)
    (seen,) = seen_deliveries(principal, [delivery])
    return seen, seen_attempts(principal, await store.list_attempts(tx, delivery_id))


async def list_for_run(
    tx: Transaction, principal: Principal, run_id: int, *, before: UUID | None, limit: int
) -> tuple[list[Delivery], UUID | None]:
    """Up to ``limit`` deliveries of the run, newest first, older than ``before``, and the ``before`` of the next look.

    Of each comes what the asker may see.

    Raises:
        NotFound: the asker does not see the run.
    """
    principal.require(Action.READ_DELIVERIES)
    run = await get_run(tx, principal.organization_id, run_id)
    if run is None or not principal.sees_project(run.project_id):
        raise NotFound(f"There is no run {run_id}.")
    found, following = await list_deliveries(tx, principal.organization_id, run_id=run_id, before=before, limit=limit)
    return seen_deliveries(principal, found), following


async def list_log(  # noqa: PLR0913 - one argument for each filter
    tx: Transaction,
    principal: Principal,
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
    """Up to ``limit`` deliveries of the organization, or of one channel, that pass the filters, newest first.

    With them comes the ``before`` of the next look; None: there is nothing more. There may be fewer than ``limit``,
    even none, and still more to come: see :func:`loadbell.store.delivery_lists.list_deliveries`.

    Raises:
        NotFound: the organization or channel is not the asker's.
    """
    if organization_id is not None:
        check_organization(principal, organization_id)
    if channel_id is not None:
        await get_channel(tx, principal, channel_id)
    principal.require(Action.READ_LOG)
    return await list_deliveries(
        tx,
        principal.organization_id,
        channel_id=channel_id,
        status=status,
        event=event,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )


async def _test(  # noqa: PLR0913 - as the callers
    tx: Transaction,
    principal: Principal,
    kind: ChannelKind,
    channel: Channel | None,
    *,
    form: dict[str, Any] | None,
    now: Micros,
    entropy: Entropy,
) -> UUID:
    """Tests ``channel`` as it is saved, or else a ``form``: one of its own, or of no channel yet."""
    organization, who = await organization_names(tx, principal.organization_id, principal.user_id)
    event = Event(
        id=new_uuid(now, entropy),
        organization_id=principal.organization_id,
        name=EventName.TEST_HOOK,
        occurred_at=now,
        payload=test_hook_payload(),
        notice=encode_notice(test_hook_notice(organization=organization, who=who, now=now)),
    )
    tested = None if channel is None or form is not None else channel.id
    delivery = store.NewDelivery(new_uuid(now, entropy), tested, kind, cause=Cause.TEST, form=form)
    await store.insert_event(tx, event)
    await store.insert_deliveries(tx, event, [delivery], now)
    tx.wake_workers()
    subject = f"organization {principal.organization_id}" if channel is None else f"channel {channel.id}"
    about = {} if channel is None else named(channel)
    where = {} if form is None else place(kind, form)
    changes = {"kind": kind, **about, **where, "delivery": str(delivery.id)}
    await append_entry(tx, principal, "channel.tested", subject, changes, now)
    return delivery.id


async def _locked(tx: Transaction, principal: Principal, delivery_id: UUID) -> Delivery:
    principal.require(Action.READ_DELIVERIES)
    delivery = await store.lock_delivery(tx, principal.organization_id, delivery_id)
    if delivery is None or not principal.sees_project(delivery.project_id):
        raise _no_delivery(delivery_id)
    principal.require(Action.MANAGE_DELIVERIES)
    return delivery


async def _reread(tx: Transaction, principal: Principal, delivery_id: UUID) -> Delivery:
    delivery = await store.get_delivery(tx, principal.organization_id, delivery_id)
    assert delivery is not None, "it was locked by this transaction"
    return delivery


def _about(delivery: Delivery) -> dict[str, Any]:
    return {"event": delivery.event, "run_id": delivery.run_id, "channel_id": delivery.channel_id}


def _no_delivery(delivery_id: UUID) -> NotFound:
    return NotFound(f"There is no delivery {delivery_id}.")

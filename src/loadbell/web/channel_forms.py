"""
The form of a channel, made from the fields of its kind's settings: what it shows, and what it says.

A saved secret is shown masked. Sent back like that it means "as it is", so a page never contains a secret.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from loadbell.channels import channel_type, channel_types
from loadbell.channels.contract import MASK
from loadbell.channels.reference import Setting, list_settings
from loadbell.channels.settings import masked_settings
from loadbell.domain.channels import Channel, ChannelKind, Subscription
from loadbell.domain.deliveries import Attempt, Delivery, DeliveryStatus
from loadbell.domain.errors import FieldError, Invalid, NotFound
from loadbell.domain.events import EventName
from loadbell.domain.orgs import Action, Principal
from loadbell.domain.runs import FINAL, Result, RunStatus, Trigger
from loadbell.entry import polling
from loadbell.entry.rate_limits import RateLimit
from loadbell.notify import channels, deliveries
from loadbell.outbound.urls import has_other_host
from loadbell.store.unit_of_work import UnitOfWork
from loadbell.web.form import Form
from loadbell.web.page import PageRequest

MAX_NAME_LENGTH = 200

PRESETS: dict[str, tuple[str, str, Subscription]] = {
    "all": ("All", "Every start and end, whatever the result.", Subscription()),
    "failures": (
        "Only failures",
        "Runs that fail, time out, or are aborted by a threshold, a script error or the system.",
        Subscription(events=(EventName.FINISHED,), only_failures=True),
    ),
    "change": (
        "Only on change",
        "The first failure of a test, and the first pass after it. Runs with an unknown result are ignored.",
        Subscription(events=(EventName.FINISHED,), only_on_change=True),
    ),
}
"""The presets of a subscription: name, meaning, and the subscription without projects and triggers,
which are chosen separately."""

EVENTS = {
    EventName.STARTED: "A test starts",
    EventName.FINISHED: "A test ends",
    EventName.CHANNEL_PAUSED: "Another channel is paused",
}
ENDS = {status: status.text for status in sorted(FINAL)}
RESULTS = {Result.PASSED: "Passed", Result.FAILED: "Failed", Result.UNKNOWN: "Unknown"}
TRIGGERS = {
    Trigger.MANUAL: "Manual",
    Trigger.SCHEDULED: "Scheduled",
    Trigger.CI: "CI",
    Trigger.UNKNOWN: "Unknown",
}


@dataclass(frozen=True)
class FormField:
    """One field of the form with its current value."""

    name: str
    label: str
    help: str
    kind: str  #: ``text``, ``lines`` or ``box``
    value: str
    masked: bool  #: it is a saved secret, shown as such


@dataclass(frozen=True)
class SubscriptionForm:
    """The subscription chosen in the form."""

    preset: str  #: one of ``PRESETS`` or ``mine``
    subscription: Subscription
    preset_ignored: bool = False  #: another one was chosen, but boxes were ticked


@dataclass(frozen=True)
class HookResult:
    """The result of a Test Hook; ``attempt`` is None if it wasn't made in time."""

    delivery: Delivery
    attempt: Attempt | None

    @property
    def status(self) -> DeliveryStatus:
        """The delivery's."""
        return self.delivery.status


def build_fields(kind: ChannelKind, saved: Mapping[str, Any] | None, form: Form | None) -> tuple[FormField, ...]:
    """The fields of a form of ``kind``: as the sent ``form`` says, else as they are ``saved``, masked."""
    masked = {} if saved is None else masked_settings(kind, saved)
    shown = []
    for field in list_settings(kind):
        value = _to_text(masked.get(field.name, ""))
        kept = field.secret and bool(value) and (form is None or form.get(field.name, "") == value)
        if form is not None:
            value = form.get(field.name, "")
        shown.append(FormField(field.name, field.label, field.help, _WIDGETS[field.value_type], value, kept))
    return tuple(shown)


def parse_settings(kind: ChannelKind, form: Form, saved: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings that the form gives; what is sent back masked is left out, for it stays as it is.

    Raises:
        Invalid: a line of headers is not ``Name: value``.
    """
    masked = {} if saved is None else masked_settings(kind, saved)
    settings: dict[str, Any] = {}
    for field in list_settings(kind):
        text = form.get(field.name, "").strip()
        if field.value_type is dict:
            pairs = _parse_headers(field, text)
            kept = {} if saved is None else saved.get(field.name) or {}
            if any(value == MASK for value in pairs.values()) and _changes_host(settings, saved):
                continue  # saved values don't follow the URL; the parser of these settings reports it
            settings[field.name] = {name: _unmask(field, name, value, kept) for name, value in pairs.items()}
        elif field.value_type is bool:
            settings[field.name] = field.name in form
        elif not (text and text == masked.get(field.name)) and (text or not field.required):
            settings[field.name] = text
        elif not text:
            raise Invalid(FieldError(f"settings.{field.name}", f"Enter the {field.label} first."))
    return settings


def subscription_form(subscription: Subscription) -> SubscriptionForm:
    """How the form shows a subscription."""
    bare = replace(subscription, projects=(), triggers=())
    quick = next((name for name, (_, _, one) in PRESETS.items() if one == bare), "mine")
    return SubscriptionForm(quick, subscription)


def current_subscription_form(form: Form | None, saved: Subscription) -> SubscriptionForm:
    """What the form shows: as the sent ``form`` says, as far as that can be understood, else as it is ``saved``."""
    if form is None:
        return subscription_form(saved)
    try:
        return parse_subscription(form)
    except Invalid:
        return subscription_form(saved)


def parse_subscription(form: Form) -> SubscriptionForm:
    """The subscription that the form gives; nothing ticked in a group means all of it.

    What is ticked counts: a box of "My choice" makes it that, whatever else was chosen.

    Raises:
        Invalid: it holds what no box of ours says.
    """
    ticked = Subscription(
        events=_parse_boxes(form, "events", EventName),
        statuses=_parse_boxes(form, "statuses", lambda text: RunStatus(int(text))),
        results=_parse_boxes(form, "results", Result),
        only_on_change="only_on_change" in form,
        only_failures="only_failures" in form,
    )
    quick = form.get("quick", "all")
    overruled = quick in PRESETS and ticked != Subscription()
    chosen = PRESETS[quick][2] if quick in PRESETS and not overruled else ticked
    projects, triggers = _parse_boxes(form, "projects", int), _parse_boxes(form, "triggers", Trigger)
    subscription = replace(chosen, projects=projects, triggers=triggers)
    return SubscriptionForm("mine" if chosen is ticked else quick, subscription, overruled)


def parse_kind(name: str) -> ChannelKind:
    """The kind in an address.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in channel_types():
        raise NotFound("There is no such kind of channel.")
    return ChannelKind(name)


def parse_name(form: Form) -> str:
    """The name that the form gives.

    Raises:
        Invalid: it is empty or too long.
    """
    name = form.get("name", "").strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise Invalid(FieldError("name", f"enter a name of 1 to {MAX_NAME_LENGTH} characters"))
    return name


async def test_form(
    page: PageRequest, organization_id: int, kind: ChannelKind, form: Form, channel_id: int | None
) -> HookResult:
    """Tests the settings in the form, saved or not, and waits for the provider's response.

    A form that says just what is saved tests the saved channel, so that its log has the test.

    Raises:
        NotFound: the channel is not of the organization.
        Refused: the settings are wrong, or the person may not.
    """
    delivery_id = await page.write_in(organization_id, _start_test, page.context.test_hooks, kind, form, channel_id)
    return await wait_for_test(page, organization_id, delivery_id)


async def wait_for_test(page: PageRequest, organization_id: int, delivery_id: UUID) -> HookResult:
    """The result of a started Test Hook, once it has ended or taken too long."""
    return await polling.wait_for_test(
        lambda: page.read_in(organization_id, _get_test, delivery_id), page.context.send_timeout
    )


async def _start_test(
    unit: UnitOfWork[Principal], limit: RateLimit, kind: ChannelKind, form: Form, channel_id: int | None
) -> UUID:
    unit.principal.require(Action.MANAGE_CHANNELS)  # before what is wrong with the form
    if channel_id is None:
        settings = parse_settings(kind, form, None)
        delivery_id = await deliveries.test_form(unit, unit.principal.organization_id, kind=kind, settings=settings)
    else:
        saved = await channels.get_channel(unit, channel_id)
        settings = parse_settings(saved.kind, form, saved.settings)
        delivery_id = await deliveries.test_form_of(unit, channel_id, settings)
    limit.take(unit.principal.organization_id, unit.now)
    return delivery_id


async def _get_test(unit: UnitOfWork[Principal], delivery_id: UUID) -> HookResult:
    delivery, attempts = await deliveries.get_delivery(unit, delivery_id)
    return HookResult(delivery, attempts[-1] if attempts else None)


def kind_title(channel: Channel) -> str:
    """The kind of the channel, as people write it."""
    return channel_type(channel.kind).title


def summarize_subscription(subscription: Subscription, projects: Mapping[int, str]) -> str:
    """A subscription in a few words; ``projects``: the existing ones' names by id."""
    form_values = subscription_form(subscription)
    text = PRESETS[form_values.preset][0] if form_values.preset in PRESETS else _summarize_custom(subscription)
    if subscription.triggers:
        text += ", trigger " + _join(TRIGGERS[one] for one in subscription.triggers)
    if subscription.projects:
        text += ", project " + _join(projects.get(one, f"{one} (deleted)") for one in subscription.projects)
    return text


_WIDGETS = {str: "text", dict: "lines", bool: "box"}


def _summarize_custom(subscription: Subscription) -> str:
    parts = []
    if subscription.events:
        parts.append(_join(EVENTS.get(one, one.value) for one in subscription.events))
    if subscription.statuses:
        parts.append(_join(one.text for one in subscription.statuses))
    if subscription.results:
        parts.append(_join(RESULTS[one] for one in subscription.results))
    if subscription.only_on_change:
        parts.append("only on change")
    if subscription.only_failures:
        parts.append("only failures")
    return ": ".join(parts) or "All"


def _join(words: Iterable[str]) -> str:
    return ", ".join(words)


def _to_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {text}" for name, text in value.items())
    return "on" if value is True else str(value or "")


def _changes_host(settings: Mapping[str, Any], saved: Mapping[str, Any] | None) -> bool:
    """Whether the form's URL, which is read first, leads elsewhere than the saved one."""
    return saved is not None and "url" in settings and has_other_host(settings["url"], saved["url"])


def _unmask(field: Setting, name: str, value: str, saved: Mapping[str, str]) -> str:
    if value != MASK:
        return value
    if name not in saved:
        raise Invalid(FieldError(f"settings.{field.name}", f"Enter the value of {name}."))
    return saved[name]


def _parse_headers(field: Setting, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon or not name:
            raise Invalid(FieldError(f"settings.{field.name}", f'Line {number} isn\'t "Name: value".'))
        pairs[name] = value
    return pairs


def _parse_boxes(form: Form, name: str, read: Any) -> tuple[Any, ...]:
    try:
        return tuple(dict.fromkeys(read(text) for text in form.all(name)))
    except ValueError:
        raise Invalid(FieldError(name, "choose from the boxes")) from None


def sections() -> Sequence[ChannelKind]:
    """The kinds that have a section of their own, in the order of the page."""
    return tuple(channel_types())

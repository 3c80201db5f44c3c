"""
The contract between the core and a channel.

A channel is a module in ``loadbell.channels`` that exports ``CHANNEL``, a value of a subclass of :class:`ChannelType`.
It is pure: it turns settings, a notice and an envelope into a :class:`Message`, and a :class:`Reply` into an outcome.
API schema, CLI options, redaction, reference page and web form are generated from the fields of its settings.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from loadbell.domain.channels import ChannelKind
from loadbell.domain.deliveries import Outcome
from loadbell.domain.events import EventName
from loadbell.domain.ids import Micros
from loadbell.domain.notices import Notice
from loadbell.domain.token_bucket import TokenBucket
from loadbell.outbound.messages import Message, Reply

USER_AGENT = "LoadImpactWebHook"
"""The legacy contract: ``User-Agent`` always starts with this."""


@dataclass(frozen=True)
class Field:
    """The description of one setting.

    ``check`` returns an error message for a value about to be saved, or None; stored values are not checked.
    """

    label: str
    help: str
    secret: bool = False
    check: Callable[[Any], str | None] | None = None


def setting(
    label: str,
    help: str,  # noqa: A002 - reads as the form does
    *,
    secret: bool = False,
    check: Callable[[Any], str | None] | None = None,
    **kwargs: Any,
) -> Any:
    """Returns a dataclass field with its :class:`Field`; ``kwargs`` go to :func:`dataclasses.field`."""
    return field(metadata={"field": Field(label, help, secret, check)}, repr=not secret, **kwargs)


class ChannelSettings(Protocol):
    """The settings of one kind: a frozen dataclass whose fields come from :func:`setting`."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def url(self) -> str:
        """Where messages go. Its path and query are secret."""
        ...


@dataclass(frozen=True)
class Envelope:
    """The data of one attempt besides settings and notice."""

    delivery_id: UUID
    event: EventName
    attempt: int  #: number of this attempt, from 1
    now: Micros  #: when this attempt is made
    payload: bytes  #: the event's frozen payload
    secrets: tuple[str, ...] = field(default=(), repr=False)  #: live ``whsec_…`` signing secrets, newest first


SettingsT = TypeVar("SettingsT", bound=ChannelSettings)


class ChannelType(Protocol[SettingsT]):
    """One kind of channel. Its methods are pure; ``judge`` and ``wrong`` never raise for input from the core."""

    kind: ClassVar[ChannelKind]
    title: ClassVar[str]  #: the kind's name for people: "WebHook"
    icon: ClassVar[str]  #: SVG shapes of 16 by 16, drawn with a stroke
    section: ClassVar[int]  #: its position on the notifications page
    steps: ClassVar[tuple[str, ...]]  #: how to get the settings, one sentence each
    signs: ClassVar[bool] = False  #: whether channels of this kind have signing secrets
    sends_payload: ClassVar[bool] = False  #: whether the request body is the event's payload, byte for byte
    rate_limit: ClassVar[TokenBucket | None] = None  #: the rate that the provider documents, per channel

    @property
    def settings_type(self) -> type[SettingsT]:
        """The frozen dataclass of the kind's settings."""
        ...

    def wrong(self, settings: SettingsT) -> Mapping[str, str]:  # noqa: ARG002 - most kinds have nothing to compare
        """Checks settings that are each valid for their combination. Returns error messages by field."""
        return {}

    def render(self, settings: SettingsT, notice: Notice, envelope: Envelope) -> Message:
        """Builds the request that sends ``envelope.event`` to the receiver.

        Raises:
            ValueError: a stored setting can't be used.
        """
        ...

    def judge(self, reply: Reply, now: Micros) -> Outcome:
        """Judges the provider's response, which arrived at ``now``."""
        ...


def legacy_headers(envelope: Envelope) -> tuple[tuple[str, str], ...]:
    """The three headers of every request of every kind, spelled as LoadImpact documented them."""
    return (
        ("X-LoadImpact-ID", str(envelope.delivery_id)),
        ("X-LoadImpact-Event", envelope.event.value),
        ("User-Agent", USER_AGENT),
    )


def masked_url(url: str) -> str:
    """The part of a channel's URL that may be shown: ``https://host/…``, with the port if it names one."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}/…"


MASK = "…"
"""Replaces a secret value in the log and in responses."""

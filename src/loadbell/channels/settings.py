"""
Settings of channels as people send them: read, checked, merged with what is stored, and masked.

Everything here follows from the fields that a kind's settings carry; a new kind needs no code here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from loadbell.channels import channel_type
from loadbell.channels.contract import MASK, ChannelSettings, masked_url
from loadbell.channels.reference import Setting, list_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.errors import FieldError, Invalid
from loadbell.outbound.urls import has_other_host

_MASKED = "This is the masked value that loadbell shows. Send the full value, or leave the field out to keep it."
_ENTER_AGAIN = (
    "The URL has another scheme, host or port, and saved values aren't sent there. Enter this value again, or clear it "
    "to remove it."
)
_MAX_NAME_LENGTH = 50


def parse_settings(
    kind: ChannelKind,
    raw: Mapping[str, Any],
    *,
    check_url: Callable[[str], str | None],
    current: Mapping[str, Any] | None = None,
) -> ChannelSettings:
    """The settings that ``raw`` (a JSON object from outside) gives to a channel of ``kind``.

    A field that is absent keeps its value in ``current``, the stored settings when a channel is changed; but a secret
    one does not follow the URL to another scheme, host or port. ``check_url`` tells what is wrong with a URL, in a
    sentence, or None (``loadbell.outbound.addresses.check_url``).

    Raises:
        Invalid: something is wrong; it carries every wrong field, as ``settings.url``.
    """
    channel = channel_type(kind)
    fields = {setting.name: setting for setting in list_settings(kind)}
    errors = [
        FieldError(f"settings.{name[:_MAX_NAME_LENGTH]}", f"A {channel.title} channel has no such setting.")
        for name in raw
        if name not in fields
    ]
    stored = current or {}
    moves = _changes_host(raw, stored, check_url)
    values = dict(stored)
    for name, field in fields.items():
        if name in raw:
            values[name] = raw[name]
            wrong = _wrong(field, raw[name], check_url)
        elif moves and field.secret and stored.get(name):
            wrong = _ENTER_AGAIN
        else:
            wrong = None if name in values or not field.required else "This field is required."
        if wrong is not None:
            errors.append(FieldError(f"settings.{name}", wrong))
    if errors:
        raise Invalid(*errors)
    settings = stored_settings(kind, values)
    if wrong_together := channel.wrong(settings):
        raise Invalid(*(FieldError(f"settings.{name}", wrong) for name, wrong in wrong_together.items()))
    return settings


def stored_settings(kind: ChannelKind, stored: Mapping[str, Any]) -> ChannelSettings:
    """The settings of a channel as they were stored; nothing is checked again, and fields of the past are ignored."""
    settings_type = channel_type(kind).settings_type
    names = {field.name for field in dataclasses.fields(settings_type)}
    settings: ChannelSettings = settings_type(**{name: value for name, value in stored.items() if name in names})
    return settings


def masked_settings(kind: ChannelKind, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of a channel's settings: the URL as ``https://host/…``, other secret values as ``…``.

    An empty text is as good as none, and is left out.
    """
    shown = {}
    for field in list_settings(kind):
        if stored.get(field.name, "") != "":
            value = stored[field.name]
            shown[field.name] = _mask(field.name, value) if field.secret else value
    return shown


def _changes_host(raw: Mapping[str, Any], stored: Mapping[str, Any], check_url: Callable[[str], str | None]) -> bool:
    """Whether ``raw`` has a channel with these ``stored`` settings lead elsewhere; a wrong URL doesn't."""
    url, former = raw.get("url"), stored.get("url")
    return isinstance(url, str) and former is not None and check_url(url) is None and has_other_host(url, former)


def _mask(name: str, value: Any) -> Any:
    if not value:
        return value
    if isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    return masked_url(value) if name == "url" else MASK


def _wrong(field: Setting, value: Any, check_url: Callable[[str], str | None]) -> str | None:
    """What is wrong with one value, in a sentence."""
    if not _fits(field.value_type, value):
        return f"This must be {_IN_WORDS[field.value_type]}."
    if _is_masked(field.name, value):
        return _MASKED
    if field.name == "url" and (wrong := check_url(value)) is not None:
        return wrong
    return field.check(value) if field.check is not None else None


_IN_WORDS = {str: "a string", bool: "true or false", dict: "an object whose values are strings"}


def _fits(wanted: type, value: Any) -> bool:
    if not isinstance(value, wanted):
        return False
    return not isinstance(value, dict) or all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_masked(name: str, value: Any) -> bool:
    if name == "url":
        return MASK in value
    return value == MASK or (isinstance(value, Mapping) and MASK in value.values())

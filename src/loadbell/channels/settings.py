"""
Settings of channels as people send them: read, checked, merged with what is stored, and masked.

Everything here follows from the fields that a kind's settings carry; a new kind needs no code here.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any

from loadbell.channels import channel_type
from loadbell.domain.channels import ChannelKind
from loadbell.domain.errors import FieldError, Invalid
from loadbell.outbound.contract import MASK, ChannelSettings, Field, masked_url

_MASKED = "This is the masked value that loadbell shows. Send the whole value, or leave the field out to keep it."
_LONGEST_NAME_SHOWN = 50


def parse_settings(
    kind: ChannelKind,
    raw: Mapping[str, Any],
    *,
    check_url: Callable[[str], str | None],
    current: Mapping[str, Any] | None = None,
) -> ChannelSettings:
    """The settings that ``raw`` (a JSON object from outside) gives to a channel of ``kind``.

    A field that is absent keeps its value in ``current``, the stored settings when a channel is changed. ``check_url``
    tells what is wrong with a URL, in a sentence, or None (``loadbell.outbound.addresses.check_url``).

    Raises:
        Invalid: something is wrong; it carries every wrong field, as ``settings.url``.
    """
    channel = channel_type(kind)
    fields = {field.name: field for field in dataclasses.fields(channel.settings_type)}
    types = typing.get_type_hints(channel.settings_type)
    errors = [
        FieldError(f"settings.{name[:_LONGEST_NAME_SHOWN]}", f"A {channel.title} channel has no such setting.")
        for name in raw
        if name not in fields
    ]
    values = dict(current or {})
    for name, field in fields.items():
        if name in raw:
            values[name] = raw[name]
            wrong = _wrong(field, types[name], raw[name], check_url)
        else:
            wrong = None if name in values or not _is_required(field) else "This field is required."
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
    for field in dataclasses.fields(channel_type(kind).settings_type):
        if stored.get(field.name, "") != "":
            value = stored[field.name]
            shown[field.name] = _masked(field.name, value) if _field(field).secret else value
    return shown


def _masked(name: str, value: Any) -> Any:
    if not value:
        return value
    if isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    return masked_url(value) if name == "url" else MASK


def _wrong(
    field: dataclasses.Field[Any], wanted: Any, value: Any, check_url: Callable[[str], str | None]
) -> str | None:
    """What is wrong with one value, in a sentence."""
    if not _fits(wanted, value):
        return f"This must be {_IN_WORDS[_plain(wanted)]}."
    if _is_masked(field.name, value):
        return _MASKED
    if field.name == "url" and (wrong := check_url(value)) is not None:
        return wrong
    check = _field(field).check
    return check(value) if check is not None else None


_IN_WORDS = {str: "a text", bool: "true or false", dict: "an object whose values are texts"}


def _plain(wanted: Any) -> type:
    """``dict`` for ``dict[str, str]``; other types as they are."""
    plain: type = typing.get_origin(wanted) or wanted
    return plain


def _fits(wanted: Any, value: Any) -> bool:
    if not isinstance(value, _plain(wanted)):
        return False
    return not isinstance(value, dict) or all(isinstance(part, str) for pair in value.items() for part in pair)


def _is_masked(name: str, value: Any) -> bool:
    if name == "url":
        return MASK in value
    return value == MASK or (isinstance(value, Mapping) and MASK in value.values())


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _field(field: dataclasses.Field[Any]) -> Field:
    described: Field = field.metadata["field"]
    return described

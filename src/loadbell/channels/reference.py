"""
What a kind's settings are, read from the fields of their dataclass.

Whatever takes or shows settings follows from here: parsing and masking, the API's schema, the CLI, the docs.
"""

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from loadbell.channels import channel_type
from loadbell.channels.contract import Field
from loadbell.domain.channels import ChannelKind

_SCHEMAS: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    dict: {"type": "object", "additionalProperties": {"type": "string"}},
}
"""Every type that a setting may have, as JSON Schema says it; a ``dict`` is one from texts to texts."""


@dataclass(frozen=True)
class Setting:
    """One setting of a kind of channel. ``value_type`` is ``str``, ``bool`` or ``dict``."""

    name: str
    label: str
    help: str
    value_type: type
    required: bool
    secret: bool
    check: Callable[[Any], str | None] | None


@cache
def list_settings(kind: ChannelKind) -> tuple[Setting, ...]:
    """The settings of ``kind``, in the order in which a person fills them in.

    Raises:
        KeyError: no module implements it.
    """
    settings_type = channel_type(kind).settings_type
    types = typing.get_type_hints(settings_type)
    return tuple(_setting(field, types[field.name]) for field in dataclasses.fields(settings_type))


def settings_schema(kind: ChannelKind, *, change: bool = False) -> dict[str, Any]:
    """The JSON Schema of the settings object of ``kind``; in a ``change`` each of them may be left out."""
    settings = list_settings(kind)
    properties = {}
    for setting in settings:
        values: dict[str, Any] = {**_SCHEMAS[setting.value_type], "title": setting.label, "description": setting.help}
        if setting.name == "url":
            values["format"] = "uri"
        if setting.secret:
            values["writeOnly"] = True
        properties[setting.name] = values
    required = [setting.name for setting in settings if setting.required and not change]
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _setting(field: dataclasses.Field[Any], annotation: Any) -> Setting:
    said: Field = field.metadata["field"]
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    value_type = typing.get_origin(annotation) or annotation
    return Setting(field.name, said.label, said.help, value_type, required, said.secret, said.check)

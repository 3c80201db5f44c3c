"""The settings of each kind of channel in the OpenAPI document. Their fields come from the kinds themselves."""

from typing import Any

from loadbell.api import bodies
from loadbell.channels import channel_types
from loadbell.channels.reference import settings_schema

_REF = "#/components/schemas/{}"
_WITH_KIND = (bodies.NewChannelBody, bodies.FormBody)
_CHANGE = bodies.ChannelChangeBody


def describe_settings(components: dict[str, Any]) -> None:
    """Puts into ``components`` what each kind takes: a body that names a kind becomes a choice of one for each kind.

    A change names none, so that its settings may be those of any kind; the channel's own are meant.
    """
    for component in components.values():
        if component.get("properties", {}).get("kind") == {"type": "string"}:
            component["properties"]["kind"] = {"enum": sorted(channel_types())}
    changes: list[dict[str, Any]] = []
    for kind, channel in channel_types().items():
        name = channel.settings_type.__name__
        components[name] = settings_schema(kind)
        components[f"{name}Change"] = settings_schema(kind, change=True)
        changes.append({"$ref": _REF.format(f"{name}Change")})
    for body in _WITH_KIND:
        components[body.__name__] = _choice(components, body.__name__)
    components[_CHANGE.__name__]["properties"]["settings"] = {
        "anyOf": [*changes, {"type": "null"}],
        "default": None,
    }


def _choice(components: dict[str, Any], name: str) -> dict[str, Any]:
    whole = components[name]
    names = {}
    for kind, channel in channel_types().items():
        names[kind] = _REF.format(f"{channel.title}{name}")
        components[f"{channel.title}{name}"] = {
            **whole,
            "title": f"{channel.title}{name}",
            "properties": {
                **whole["properties"],
                "kind": {"const": kind},
                "settings": {"$ref": _REF.format(channel.settings_type.__name__)},
            },
        }
    return {
        "title": name,
        "description": whole["description"],
        "oneOf": [{"$ref": reference} for reference in names.values()],
        "discriminator": {"propertyName": "kind", "mapping": names},
    }

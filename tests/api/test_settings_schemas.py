"""The OpenAPI document tells each kind's settings as its dataclass declares them."""

import dataclasses
import json
from typing import Any

import pytest

from loadbell import api
from loadbell.api import openapi
from loadbell.channels import channel_type, channel_types
from loadbell.domain.channels import ChannelKind

every_kind = pytest.mark.parametrize("kind", list(channel_types()))


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """The schemas of the document."""
    document = json.loads(openapi.document(api._NOUNS.items(), "https://loadbell.example.org"))
    read: dict[str, Any] = document["components"]["schemas"]
    return read


def _of(schemas: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = schemas[reference["$ref"].rsplit("/", 1)[1]]
    return body


@pytest.mark.parametrize("body", ["NewChannelBody", "FormBody"])
@every_kind
def test_each_kind_has_its_own_body(schemas: dict[str, Any], kind: ChannelKind, body: str) -> None:
    """A body that names a kind is a choice of one for each kind, told apart by ``kind``, with that kind's settings."""
    choice = schemas[body]
    assert {"propertyName": "kind", "mapping": choice["discriminator"]["mapping"]} == choice["discriminator"]
    assert set(channel_types()) == set(choice["discriminator"]["mapping"])
    assert [{"$ref": reference} for reference in choice["discriminator"]["mapping"].values()] == choice["oneOf"]

    whole = _of(schemas, {"$ref": choice["discriminator"]["mapping"][kind]})
    settings = _of(schemas, whole["properties"]["settings"])
    fields = dataclasses.fields(channel_type(kind).settings_type)
    assert {"const": kind} == whole["properties"]["kind"]
    assert {"kind", "settings"} <= set(whole["required"])
    assert [field.name for field in fields] == list(settings["properties"])
    assert settings["additionalProperties"] is False
    missing = dataclasses.MISSING
    assert settings["required"] == [
        field.name for field in fields if field.default is missing and field.default_factory is missing
    ]


@every_kind
def test_each_setting_is_told_as_it_is_declared(schemas: dict[str, Any], kind: ChannelKind) -> None:
    """Label, help and secrecy are those of the field; a value that is secret is write-only."""
    told = schemas[channel_type(kind).settings_type.__name__]["properties"]

    for field in dataclasses.fields(channel_type(kind).settings_type):
        said = field.metadata["field"]
        one = told[field.name]
        assert (said.label, said.help, said.secret) == (one["title"], one["description"], one.get("writeOnly", False))
        assert one["type"] in {"string", "boolean", "object"}


def test_a_change_may_leave_out_any_setting(schemas: dict[str, Any]) -> None:
    """The settings of a change are those of any kind, none of them required, or null."""
    *kinds, null = schemas["ChannelChangeBody"]["properties"]["settings"]["anyOf"]

    assert {"type": "null"} == null
    assert len(channel_types()) == len(kinds)
    for reference in kinds:
        change = _of(schemas, reference)
        body = _of(schemas, {"$ref": reference["$ref"].removesuffix("Change")})
        assert "required" not in change
        assert body["properties"] == change["properties"]

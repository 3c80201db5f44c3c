"""The worst bodies within the cap: refused or understood in time that is in step with their length."""

import json
import time

import pytest

from loadbell.api.bodies import NewChannelBody, NewRunBody
from loadbell.domain.errors import Invalid, Refused
from loadbell.entry.bodies import MAX_BODY_SIZE, decode_body
from loadbell.entry.fields import MAX_ERRORS

FROZEN_SECONDS = 5.0

WORST = {
    "NUL under a long name": b'{"' + b"a" * 400_000 + b'": ["\\u0000"' + b", 0" * 200_000 + b"]}",
    "NUL in every text": b'{"x": [' + b'"\\u0000",' * 110_000 + b"0]}",
    "NUL in depth": b'{"a":' * 900 + b'["\\u0000"' + b",0" * 400_000 + b"]" + b"}" * 900,
    "digits": b'{"name": ' + b"1" * 1_000_000 + b"}",
    "numbers that are too large": b"{" + b",".join(b'"%d":1e999' % at for at in range(60_000)) + b"}",
    "wrong metrics": b'{"name":"n","metrics":{' + b",".join(b'"%d":"x"' % at for at in range(70_000)) + b"}}",
    "wrong links": b'{"name":"n","links":[' + b",".join(b"{}" for _ in range(300_000)) + b"]}",
    "wrong events": b'{"name":"n","subscription":{"events":[' + b'"",' * 300_000 + b'""]}}',
    "many names": b"{" + b",".join(b'"%d":1' % at for at in range(100_000)) + b"}",
    "the same name": b"{" + b'"name":1,' * 100_000 + b'"name":1}',
    "escapes": b'{"name": "' + b"\\\\" * 500_000 + b'"}',
}


@pytest.mark.parametrize("raw", WORST.values(), ids=WORST.keys())
@pytest.mark.parametrize("wanted", [NewRunBody, NewChannelBody])
def test_the_worst_body_freezes_nobody(raw: bytes, wanted: type[NewRunBody | NewChannelBody]) -> None:
    """No more than twenty fields are named, and soon."""
    assert len(raw) <= MAX_BODY_SIZE
    refusal: Refused | None = None
    began = time.monotonic()
    try:
        decode_body(raw, "application/json", wanted)
    except Refused as refused:
        refusal = refused
    took = time.monotonic() - began

    assert took < FROZEN_SECONDS
    assert len(str(refusal)) < 20_000
    assert len(getattr(refusal, "errors", ())) <= MAX_ERRORS


def test_what_is_wrong_in_depth_is_still_named() -> None:
    """The path that leads to a character that can't be stored."""
    raw = json.dumps({"x": {"y": ["", {"z": "\x00"}]}}).encode()
    with pytest.raises(Invalid) as refused:
        decode_body(raw, "application/json", NewRunBody)

    assert ["x.y.1.z"] == [error.field for error in refused.value.errors]

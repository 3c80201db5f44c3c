"""Bytes from outside, whatever they are: only documented exceptions come out, and work grows with the length."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, Reader

SEEDS = [
    b"/v2/metrics/1", b"//k6/v1/tests/", b'{"name":"x","thresholds":{"m{a:1}":["p(95)<1e9"]}}', b'[{"type":"Point"',
    b"p(95.5) <= 1e308", b'm{a:1,b:"2"}', b"Wed, 21 Oct 2015 07:28:00 GMT", b"120.5", b"metadata.json\x00", b"\x1a\x02",
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n', b"--x--\r\n", b'{"ok":false,"error":"',
    b"https://a.example:80/x?y#z", b"a@b.example", b"application/json; charset=", b"2026-01-01T00:00:00Z", b"MTIz",
    b'loadbell_session=lbs_x; loadbell_theme="dark"; loadbell_visitor=gAAAAA==; loadbell_organization=1',
    b"csrf_token=x&name=a&quick=mine&events=test.started&statuses=3&projects=1&project_ids=2&role=member&scope=read",
    b"&url=https%3A%2F%2Fa.example&headers=X-A%3A+b%0AX-B%3A+c&token=t&room=1&since=2026-01-01T00%3A00&sure=on",
]  # fmt: skip
WORST = [
    b"/", b"//v1", b"9", b"0", b" ", b".", b"-", b"a", b"<", b"{", b"[", b'{"a":', b'"', b"\\", b",", b"a:b,", b";",
    b"; a=", b'; a="', b"=", b"@", b"a.", b"\x00", b"\xff", b"\x80", b"\x1a\x00", b"\x7b", b"\r\n", b"--x\r\n",
    b"%", b":", b"(", b"1 ", b"&", b"#", b"?", b"|", b"_", b"+", b"%00", b"%C3%A9", b"%ff", b"&a",
    b"projects=1&", b"%0a", b"; loadbell_session=", b"\\0", b"\\377", b'\\"',
]  # fmt: skip
"""Letters and short texts which, repeated, have cost something somewhere."""
FORM = b'--x\r\nContent-Disposition: form-data; name="'
BEFORE = [
    b"http://", b"value<", b"m{", b'{"name":"', FORM, b"[", b"Mon, ", b'loadbell_session="', b"headers=", b"statuses=",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Noise, pieces of what is expected, and repetitions of the worst."""
    pieces = st.one_of(
        st.binary(max_size=40),
        st.sampled_from(SEEDS),
        st.sampled_from(SEEDS).map(lambda seed: seed[: len(seed) // 2]),
        st.tuples(st.sampled_from(WORST), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
    )
    return b"".join(draw(st.lists(pieces, max_size=5)))


@pytest.mark.parametrize("name", READERS)
def test_only_what_is_documented_comes_out(name: str) -> None:
    """Every reader of foreign bytes gives an answer or one of its own refusals."""
    read, refusals = READERS[name]

    examples = max(settings().max_examples // 4, 25)

    @settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=examples)
    @given(texts())
    def check(raw: bytes) -> None:
        with suppress(*refusals):
            read(raw)

    check()


@pytest.mark.parametrize("name", READERS)
def test_work_grows_with_the_length(name: str) -> None:
    """100 kB of the worst letters take little more than ten times what 10 kB take, and never long."""
    for number, letters in enumerate(WORST):
        _check_growth(READERS[name], b"" if number % 2 else BEFORE[number // 2 % len(BEFORE)], letters)


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_work_grows_with_the_length_behind_anything(name: str) -> None:
    """The same behind each beginning of what is expected."""
    for before in (b"", *BEFORE):
        for letters in WORST:
            _check_growth(READERS[name], before, letters)


def test_what_does_not_is_found() -> None:
    """The measure would find the pattern that thresholds were once read with."""
    old = re.compile(rb"\d+\.?\d*")
    with pytest.raises(AssertionError):
        _check_growth((lambda raw: old.fullmatch(raw + b"x"), ()), b"", b"9", largest=16_000)


def _check_growth(reader: Reader, before: bytes, letters: bytes, largest: int = 100_000) -> None:
    read, refusals = reader
    took = []
    for size in (largest // 10, largest):
        raw = before + letters * (size // len(letters))
        began = time.thread_time()
        with suppress(*refusals):
            read(raw)
        took.append(time.thread_time() - began)

    assert took[1] < max(40 * took[0], 0.5), (before, letters, took)

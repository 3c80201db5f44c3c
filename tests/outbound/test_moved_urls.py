"""When a URL leads elsewhere: by scheme, host and port, whatever way they are spelled."""

import pytest

from loadbell.outbound.urls import has_other_host


@pytest.mark.parametrize(
    ("url", "former"),
    [
        ("https://hooks.example.org/other?key=2", "https://hooks.example.org/one#x"),
        ("HTTPS://Hooks.Example.ORG/a", "https://hooks.example.org/a"),
        ("https://hooks.example.org./a", "https://hooks.example.org/a"),
        ("https://hooks.example.org:443/a", "https://hooks.example.org/a"),
        ("https://hooks.example.org:/a", "https://hooks.example.org/a"),
        ("http://hooks.example.org:80/a", "http://hooks.example.org"),
        ("https://hooks.example.org?a=b", "https://hooks.example.org/"),
        ("https://münchen.example/a", "https://xn--mnchen-3ya.example/a"),
        ("https://MÜNCHEN.example/a", "https://münchen.example/a"),
        ("https://hooks.example%2eorg/a", "https://hooks.example.org/a"),
        ("https://hooks.example.org/a", "https://hooks.example.org/a"),
        ("https://[2606:4700:0:0::1111]/a", "https://[2606:4700::1111]/a"),
        ("https://[2606:4700::1111]:443/a", "https://[2606:4700:0000::0:1111]/a"),
        ("https://0x08.8.8.8/a", "https://8.8.8.8/a"),
        ("https://134744072/a", "https://8.8.8.8/a"),
    ],
)
def test_the_same_place_in_another_spelling(url: str, former: str) -> None:
    """Path, query, case, trailing dot, default port, IDNA and the forms of an address make no other place."""
    assert not has_other_host(url, former)
    assert not has_other_host(former, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/a",
        "https://hooks.example.org:8443/a",
        "https://example.org/a",
        "https://hooks.example.org.evil.example/a",
        "https://evil.example/https://hooks.example.org/a",
        "https://evil.example/@hooks.example.org/a",
        "https://evil.example?@hooks.example.org/a",
        "https://evil.example#@hooks.example.org/a",
        "https://hooks.example.org@evil.example/a",
        "https://hooks.example.org:443@evil.example/a",
        "https://hooks.example.org\\@evil.example/a",
        "https://h00ks.example.org/a",
        "https://hooks.exаmple.org/a",  # noqa: RUF001 - a Cyrillic letter is the point
        "https://8.8.8.8/a",
        "https://[::ffff:8.8.8.8]/a",
        "nonsense",
        "",
    ],
)
def test_another_place(url: str) -> None:
    """Another scheme, host or port is another place, however it tries to look like the former; so is no URL at all."""
    assert has_other_host(url, "https://hooks.example.org/a")
    assert has_other_host("https://hooks.example.org/a", url)

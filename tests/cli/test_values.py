"""Secrets stand in no command line unless somebody puts them there: a file, stdin, or a word."""

import io
from pathlib import Path

import pytest

from loadbell.cli.values import read_value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a@b", "a@b"),
        ("@@handle", "@handle"),
        ("@@", "@"),
        ("@@@x", "@@x"),
        ("-x", "-x"),
        ("-", "from\nstdin"),
        ("@-", "from\nstdin"),
    ],
)
def test_what_a_word_gives(monkeypatch: pytest.MonkeyPatch, word: str, value: str) -> None:
    """A word stands for itself, one @ more makes an @ literal, and - is stdin without the line breaks at its end."""
    monkeypatch.setattr("sys.stdin", io.StringIO("from\nstdin\r\n"))
    assert value == read_value(word)


def test_a_file(tmp_path: Path) -> None:
    """@FILE is its content; one that can't be read, or is no text, is refused without showing it."""
    secret, binary = tmp_path / "secret", tmp_path / "binary"
    secret.write_text("opensesame ü\n\n")
    binary.write_bytes(b"\xff\xfe\x00secret")

    assert "opensesame ü" == read_value(f"@{secret}")
    with pytest.raises(ValueError, match=r"^it isn't UTF-8 text$"):
        read_value(f"@{binary}")
    for path in (tmp_path, tmp_path / "nowhere", ""):
        with pytest.raises(ValueError, match="directory"):
            read_value(f"@{path}")

"""
Reads the values of settings as text, and checks what holds for all of them.

No message shows a value: it may be a secret.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path

CONFIG_FILE = "LOADBELL_CONFIG_FILE"
COMMAND_SETTINGS = ("LOADBELL_URL", "LOADBELL_TOKEN")
"""The variables of the commands that talk to a server."""

_FREE_TEXT = "LOADBELL_SMTP_FROM"  # "Load # 1" <bell@example.org> is as it should be
_QUOTES = "\"'`“”„\u2018\u2019«»"
_CLOSE = 0.75
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, bytes that are not UTF-8, separators of lines


class BadSetting(Exception):  # noqa: N818 - reads as what happened
    """A setting can't be used; the message names it, says why, and never shows a secret value."""


def read_values(environment: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The values from the environment and the file in its ``LOADBELL_CONFIG_FILE``, stripped, without empty ones.

    Raises:
        BadSetting: a value is malformed, or the file can't be read.
    """
    text = environment.get(CONFIG_FILE, "").strip()
    values = _read_file(expand_path(CONFIG_FILE, _check(CONFIG_FILE, text)), known) if text else {}
    values |= {name: value.strip() for name, value in environment.items() if name in known and value.strip()}
    return {name: _check(name, value) for name, value in values.items() if value}


def find_misspelled(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A warning for each variable that looks like a misspelled setting."""
    names = {*known, CONFIG_FILE, *COMMAND_SETTINGS}
    told = []
    for name in sorted(set(environment) - names):
        prefix, _, rest = name.upper().partition("_")
        if difflib.SequenceMatcher(a=prefix, b="LOADBELL").ratio() > _CLOSE and (
            items := difflib.get_close_matches(rest, [known.partition("_")[2] for known in names], 1, _CLOSE)
        ):
            told.append(f"{name} is not a setting and is ignored. Did you mean LOADBELL_{items[0]}?")
    return told


def expand_path(name: str, text: str) -> Path:
    """The path in ``text``, with ``~`` as the home folder.

    Raises:
        BadSetting: there is no home folder, or it is another user's.
    """
    if not text.startswith("~"):
        return Path(text)
    try:
        home = Path("~").expanduser()
    except RuntimeError:
        home = Path()
    if text[1:2] not in {"", "/"} or not home.is_absolute():
        raise BadSetting(f"{name}: ~ can't be resolved here. Write the full path.")
    return home / text[2:]


def _read_file(path: Path, items: Collection[str]) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # with or without a byte order mark
    except OSError as error:
        raise BadSetting(f"{CONFIG_FILE}: {path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSetting(f"{CONFIG_FILE}: {path} isn't UTF-8 text. Save it as UTF-8.") from None
    values = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        where = f"{CONFIG_FILE}: line {number} of {path}"
        if re.match(r"export\s", line):
            raise BadSetting(f"{where} begins with export. Remove it: the file isn't a shell script.")
        if not equals or key.strip() not in items:
            raise BadSetting(f"{where} isn't NAME=value with a known name.")
        values[key.strip()] = value.strip()
    return values


def _check(name: str, value: str) -> str:
    if any(unicodedata.category(character) in _NO_TEXT for character in value):
        raise BadSetting(
            f"{name}: the value contains a line break or another control character, or isn't UTF-8. Correct it."
        )
    if value[-1] in _QUOTES or (value[0] in _QUOTES and name != _FREE_TEXT):
        raise BadSetting(f"{name}: the value begins or ends with a quotation mark. Remove the quotes.")
    if re.search(r"\s#", value) and name != _FREE_TEXT:
        raise BadSetting(f"{name}: the value has a # after a space. Write comments on their own lines.")
    return value

"""Every regular expression of ours: none takes long, whatever text it sees."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import loadbell
from tests.support.patterns import trouble

SOURCE = Path(loadbell.__file__).parent
SEARCHES = {"search", "sub", "subn", "findall", "finditer", "split"}
METHODS = SEARCHES | {"match", "fullmatch", "compile"}

OLD_PREFIX = r"\A(?!/api/).*?/+(?=v[12]/+(?:tests|metrics)(?:/|$))"
OLD_THRESHOLD = (
    r"\s*(?:(?P<name>value|count)|p\(\s*(?P<percent>\d+(?:\.\d+)?)\s*\))"
    r"\s*(?P<operator><=|<)\s*(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
)


@pytest.mark.parametrize(
    "pattern",
    [
        OLD_PREFIX, OLD_THRESHOLD, r"(a+)+", r"(a*)*b", r"(?:aa|a)*b", r"(?:\w|\dx?)*!",
        r"\d+\d+", r"\s*\s*x", r"(a?b?)*c", r"(a{1,9}){1,9}x",
        r".*a?.*b", r"x*(?:x*y)?", r"(?i)a*A*", r"[a-f]+[e-z]+1", r"(?:x+x+)+y", r"(.*)*", r"\w*[^ ]*!", r"a{2,}a{3,}",
        r"(?s).*\n*x", r"(?:a{1,999})+b", r"(?=a+a+b)c", rb"\w+\d+!",
    ],
)  # fmt: skip
def test_bad_patterns_are_found(pattern: str | bytes) -> None:
    """Nested repeats, repeats that share letters, alternatives that do: each has taken a server down somewhere."""
    assert trouble(pattern) is not None


@pytest.mark.parametrize("pattern", [r"\s+$", r"\w+@", r"<([^|>]+)\|", r"a*b", r"x(?:x+)y", r"[a-z]+(?=!)"])
def test_searches_that_begin_anew_are_found(pattern: str) -> None:
    """Matched from the beginning they are fine; searched for, each letter begins what fails at the end."""
    assert trouble(pattern, searched=True) is not None
    assert trouble(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d+(?:\.\d*)?|\.\d+", r"\s*=\s*", r"(?:\.[a-z]+)*", r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", r'"[^"]*"',
        r"(?:a|b)*c", r"[\w%+/=.-]{30,}", r"^a+$", r"(?:foo|bar)+", r"[^<>]*<[^<>]*>", r".*", r"(?:ab)*x",
    ],
)  # fmt: skip
def test_good_patterns_pass(pattern: str) -> None:
    """What can be read in one way only."""
    assert trouble(pattern) is None


def test_no_pattern_of_ours_may_take_long() -> None:
    """Each literal, each compiled constant and each pattern of a field, wherever it stands in the source."""
    found = [one for path in sorted(SOURCE.rglob("*.py")) for one in _patterns(path)]
    bad = [
        f"{where}: {pattern!r}: {why}"
        for where, pattern, flags, searched in found
        if (why := trouble(pattern, flags, searched=searched)) is not None
    ]

    assert len(found) > 40
    assert not bad, "\n".join(bad)


SCRIPT = r"""
  // "no" /(a+)+b/ "text"
  const a = "/(a+)+c/", b = `/(a+)+d/`, c = '\'/(a+)+e/'; /* /(a+)+f/ */
  const d = count / size / 2, e = list[0] / (1 + 2) / 3;
  if (/[/\]]+x$/i.test(a)) return a.replace(/\s+/gs, " ").split(/,/);
  return /z/;
"""


def test_patterns_of_scripts_are_found() -> None:
    """Each literal with its flags, and nothing that stands in a comment or a text, or divides."""
    assert [(r"[/\]]+x$", re.IGNORECASE), (r"\s+", re.DOTALL), (",", 0), ("z", 0)] == list(_literals(SCRIPT))


def test_no_pattern_of_our_scripts_may_take_long() -> None:
    """Those of others (``.min.js``) are not looked at; a pattern is a literal, so that it can be looked at."""
    scripts = [path for path in SOURCE.rglob("*.js") if not path.name.endswith(".min.js")]
    bad = [
        f"{path.name}: {pattern!r}: {why}"
        for path in scripts
        for pattern, flags in _literals(path.read_text())
        if (why := trouble(pattern, flags, searched=True)) is not None
    ]

    assert {"loadbell.js"} <= {path.name for path in scripts}
    assert not bad, "\n".join(bad)
    assert not [path.name for path in scripts if "RegExp" in path.read_text()]


_OF_SCRIPT = re.compile(
    r"""//[^\n]*|/\*.*?\*/  # a comment
    | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `(?:[^`\\]|\\.)*`
    | (?:(?<=return\ )|(?<![\w)\]])(?<![\w)\]]\ ))  # nothing is divided here
      /(?P<pattern>(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/(?P<flags>[a-z]*)""",
    re.VERBOSE | re.DOTALL,
)
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


def _literals(script: str) -> Iterator[tuple[str, int]]:
    """The regular expressions of a script and their flags. A slash behind a name, ) or ] divides."""
    for found in _OF_SCRIPT.finditer(script):
        if found["pattern"] is not None:
            yield found["pattern"], sum(_FLAGS.get(flag, 0) for flag in found["flags"])


def _patterns(path: Path) -> Iterator[tuple[str, str | bytes, int, bool]]:
    """Where it stands, the pattern, its flags, and whether it is searched for."""
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    used: dict[str, set[str]] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            used.setdefault(call.func.value.id, set()).add(call.func.attr)
    names = {
        node.value: target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in calls:
        where = f"{path.relative_to(SOURCE)}:{call.lineno}"
        for keyword in call.keywords:
            if (
                keyword.arg == "pattern"
                and isinstance(keyword.value, ast.Constant)
                and isinstance(keyword.value.value, str)
            ):
                yield where, keyword.value.value, 0, True
        function = call.func
        if not (
            isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "re"
        ):
            continue
        if function.attr not in METHODS:
            continue
        name = names.get(call)
        methods = (
            used.get(name, set()) if name else {function.attr} if function.attr != "compile" else SEARCHES & _all(used)
        )
        pattern, flags = _compiled(path, call, name)
        yield where, pattern, flags, bool(methods & SEARCHES)


def _all(used: dict[str, set[str]]) -> set[str]:
    return {method for name, methods in used.items() if name != "re" for method in methods} - {"split"}  # of texts


def _compiled(path: Path, call: ast.Call, name: str | None) -> tuple[str | bytes, int]:
    """The pattern and its flags: as they are written, or those of the constant that was made of them."""
    first = call.args[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes):
        flags = [node.attr for one in call.args[1:] for node in ast.walk(one) if isinstance(node, ast.Attribute)]
        return first.value, sum(getattr(re, flag) for flag in flags if hasattr(re, flag) and flag.isupper())
    assert name is not None, f"{path}:{call.lineno}: a pattern that is put together belongs into a constant"
    module = importlib.import_module(".".join(["loadbell", *path.relative_to(SOURCE).with_suffix("").parts]))
    made: re.Pattern[str] | re.Pattern[bytes] = getattr(module, name)
    return made.pattern, made.flags & ~re.UNICODE

"""The habits of this project that no linter knows. CONTRIBUTING.md says why."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.tree import ROOT, python_files, relative, text_files

MAX_FILE_LINES = 400
MAX_TEMPLATE_COLUMNS = 110
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}

# Written in two halves, so that this file does not hold what it looks for.
HOSTS = ["pypi." + "org", "python" + "hosted", "npmjs." + "org", "crates." + "io", "golang." + "org", "deb." + "debian"]
MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(?:" + "ro" + "ot|" + "wo" + r"rk)(?![\w-])")


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each comment; what stands in a string is none."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _is_marker(node: ast.expr, names: set[str]) -> bool:
    """Whether ``node`` reads ``pytest.NAME`` or ``pytest.mark.NAME``."""
    return isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node).startswith("pytest.")


def test_every_test_states_its_promise() -> None:
    """A reader learns from the first line of each test what holds if it passes."""
    silent = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in python_files()
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_no_file_is_long_without_a_reason() -> None:
    """A Python file of more than 400 lines says near its top why: ``# long: reason``."""
    long = []
    for path in python_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MAX_FILE_LINES and not any(re.match(r"# long: \S", line) for line in lines[:20]):
            long.append(f"{relative(path)}: {len(lines)} lines")

    assert long == []


def test_no_line_of_a_template_is_too_long_to_review() -> None:
    """No line of a template has more than 110 characters, so that a diff shows what a change does."""
    templates = [path for path in text_files() if path.suffix == ".html" and "templates" in path.parts]
    wide = [
        f"{relative(path)}:{number} has {len(line)} characters"
        for path in templates
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > MAX_TEMPLATE_COLUMNS
    ]

    assert templates
    assert wide == []


def test_no_check_is_silenced_without_a_reason() -> None:
    """Each ``noqa``, ``type: ignore`` and ``pragma`` names what it silences and says why, on the same line."""
    bare = []
    for path in python_files():
        for number, comment in _comments(path):
            silences = re.search(r"#\s*(noqa|nosec|pragma:|type:\s*ignore|mypy:|ruff:)", comment)
            explained = re.search(
                r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[\w, -]+\]|(pragma|mypy|ruff|nosec):? [\w =:-]+?)"
                r"\s+(- |# )\S",
                comment,
            )
            if silences and not explained:
                bare.append(f"{relative(path)}:{number} {comment}")

    assert bare == []


def test_no_test_is_skipped_without_a_reason() -> None:
    """Each skip and expected failure says why, so that the summary does."""
    bare = []
    for path in python_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        explained: set[ast.expr] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_marker(node.func, {"skip", "skipif", "xfail"}):
                said = node.args if node.func.attr == "skip" else []  # type: ignore[attr-defined]  # _is_marker checked
                if said or any(keyword.arg == "reason" for keyword in node.keywords):
                    explained.add(node.func)
        bare += [
            f"{relative(path)}:{node.lineno} {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and _is_marker(node, {"skip", "skipif", "xfail"})
            and node not in explained
        ]

    assert bare == []


def test_modules_are_named_for_what_they_do() -> None:
    """No module or folder has a name that could hold anything."""
    vague = [
        relative(path)
        for path in python_files()
        if BANNED_NAMES & {part.strip("_") for part in (*path.relative_to(ROOT).parts[:-1], path.stem)}
    ]

    assert vague == []


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    """Whoever installs decides where packages come from, and nothing depends on where somebody's clone lies."""
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if any(host in line.lower() for host in HOSTS) or MACHINE_PATHS.search(line):
                found.append(f"{relative(path)}:{number} {line.strip()[:120]}")

    assert found == []

"""The snippets of docs/testing.md do what the page says."""

from typing import Any

import pytest

from tests.support.snippets import Snippet, snippets
from tests.support.tree import ROOT

SNIPPETS = snippets(ROOT / "docs/testing.md")


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.name for snippet in SNIPPETS])
def test_each_snippet_passes(snippet: Snippet) -> None:
    """Every test that stands on the page passes as it stands there."""
    names: dict[str, Any] = {}
    exec(compile(snippet.code, "docs/testing.md", "exec"), names)
    tests = [run for name, run in names.items() if name.startswith("test_")]

    assert tests
    for run in tests:
        run()

"""The documentation says what the code does: settings, commands, routes, links, and each snippet that claims to run."""

import re
from pathlib import Path

import pytest

from loadbell.settings import DEFAULTS
from tests.support.tree import ROOT, shown

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """``text`` without its code blocks, in which a hash is no heading and brackets are no link."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _sections(text: str, level: str) -> dict[str, str]:
    """The text under each heading of ``level``, by the heading without its backticks."""
    parts = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)
    return {title.strip("` "): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_setting_has_an_entry_and_nothing_else_has() -> None:
    """docs/settings.md has one entry for each setting of the code, and none for a setting that is gone."""
    assert set(_sections(_page("docs/settings.md"), "###")) == set(DEFAULTS)


@pytest.mark.parametrize("name", [name for name, default in DEFAULTS.items() if default])
def test_the_documented_default_is_the_real_one(name: str) -> None:
    """A default that can be written down is written down as it is."""
    assert f"Default: `{DEFAULTS[name]}`\n" in _sections(_page("docs/settings.md"), "###")[name]


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to another page, and to a heading of one, leads there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", _prose(linked.read_text(encoding="utf-8")), flags=re.MULTILINE)
            if anchor not in {_anchor(heading) for heading in headings}:
                broken.append(target)

    assert broken == []

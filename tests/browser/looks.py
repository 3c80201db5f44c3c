"""What a page must look like to everybody: nothing cut or sideways, and no serious issue that axe-core finds."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser.tab import HEIGHT

_HERE = Path(__file__).parent
_AXE = (_HERE / "axe" / "axe.min.js").read_text(encoding="utf-8")
_LOOKS = (_HERE / "looks.js").read_text(encoding="utf-8")

_RUN_AXE = """
async ([within, only]) => {
  const options = { resultTypes: ["violations"], preload: false, rules: { "target-size": { enabled: true } } };
  if (only.length) options.runOnly = { type: "rule", values: only };
  const found = await axe.run(within ? { include: [within] } : document, options);
  return found.violations
    .filter((issue) => issue.impact === "serious" || issue.impact === "critical")
    .flatMap((issue) => issue.nodes.map((node) => `${issue.id}: ${node.target} — ${node.failureSummary}`));
}
"""
_OPEN = """
() => {
  for (const details of document.querySelectorAll("details:not([name])")) details.open = true;
}
"""
_CLOSE_TOP = "id => document.getElementById(id).hidePopover()"


def set_look(page: Page, width: int, theme: str) -> None:
    """Shows the page in a window of that width, to a person whose system has that theme."""
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")


def layout_issues(page: Page) -> list[str]:
    """What is cut, or scrolls sideways, in the window as it is now."""
    issues: list[str] = page.evaluate(_LOOKS)
    return issues


def access_issues(page: Page, *, within: str | None = None, only: tuple[str, ...] = ()) -> list[str]:
    """The serious and critical issues that axe-core sees (in the element ``within``; only by these rules)."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_AXE)  # the page's policy would refuse a script element, and is right to
    issues: list[str] = page.evaluate(_RUN_AXE, [within, list(only)])
    return issues


def open_details(page: Page) -> None:
    """Opens everything that can be folded out beside each other, so that it is looked at, too."""
    page.evaluate(_OPEN)


def issues_of_popovers(page: Page) -> list[str]:
    """What is wrong in the menus and questions of the page, each opened in turn."""
    names: list[str] = page.eval_on_selector_all("[popover][id]", "all => all.map(one => one.id)")
    issues = []
    for name in names:
        page.evaluate("id => document.getElementById(id).showPopover()", name)
        found = [*layout_issues(page), *access_issues(page, within=f"#{name}")]
        issues += [f"in #{name}: {issue}" for issue in found]
        page.evaluate(_CLOSE_TOP, name)
    return issues


def as_sentences(looked_at: dict[str, Any]) -> str:
    """What is wrong, by where it was seen; for the message of a failed test."""
    return "\n".join(f"{where}:\n  " + "\n  ".join(issues) for where, issues in looked_at.items() if issues)

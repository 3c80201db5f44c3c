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
  const order = ["heading-order", "page-has-heading-one", "empty-heading", "landmark-one-main", "region"];
  return found.violations
    .filter((issue) => issue.impact === "serious" || issue.impact === "critical" || order.includes(issue.id))
    .flatMap((issue) => issue.nodes.map((node) => `${issue.id}: ${node.target} — ${node.failureSummary}`));
}
"""
_OPEN = """
() => {
  for (const details of document.querySelectorAll("details:not([name])")) details.open = true;
}
"""
_FOCUSED = """
() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  if (!at.dataset.passed) at.dataset.passed = String(document.querySelectorAll("[data-passed]").length + 1);
  const style = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  const wide = parseFloat(style.outlineWidth) >= 2;
  const ringed = style.outlineStyle === "auto" || (style.outlineStyle !== "none" && wide);
  return {
    number: at.dataset.passed,
    name: `<${at.tagName.toLowerCase()} ${at.name || at.id || at.className}> “${at.textContent.trim().slice(0, 40)}”`,
    marked: ringed || style.boxShadow !== "none",
    seen: box.width > 1 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
  };
}
"""
_IDLE_BUTTONS = """
() => [...document.querySelectorAll("button, [role=button]")]
  .filter((button) => button.checkVisibility() && !button.hasAttribute("popovertarget")
    && !(button.form && button.type === "submit") && !button.href)
  .map((button) => `the button “${button.textContent.trim()}” does nothing without script`)
"""
_MAX_STOPS = 500


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
        items = [*layout_issues(page), *access_issues(page, within=f"#{name}")]
        issues += [f"in #{name}: {issue}" for issue in items]
        page.evaluate("id => document.getElementById(id).hidePopover()", name)
    return issues


def focus_issues(page: Page) -> list[str]:
    """What a person who only has a keyboard can't see of where they are, on the whole way through the page."""
    page.evaluate("document.activeElement.blur()")
    issues = []
    passed: set[str] = set()
    for _ in range(_MAX_STOPS):
        page.keyboard.press("Tab")
        stop: dict[str, Any] | None = page.evaluate(_FOCUSED)
        if stop is None or stop["number"] in passed:
            break
        passed.add(stop["number"])
        issues += [f"{stop['name']} doesn't show that it has the focus"] if not stop["marked"] else []
        issues += [f"{stop['name']} has the focus out of sight"] if not stop["seen"] else []
    return issues


def idle_buttons(page: Page) -> list[str]:
    """The buttons that do nothing on a page whose scripts are off."""
    issues: list[str] = page.evaluate(_IDLE_BUTTONS)
    return issues

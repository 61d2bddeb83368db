"""axe-core in the page: nothing serious may be found."""

from __future__ import annotations

from importlib.resources import files

from playwright.sync_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def check(page: Page) -> None:
    """Nothing serious for axe, and nothing wider than the window."""
    page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found = page.evaluate("options => axe.run(document, options)", options)
    serious = [
        (finding["id"], finding["nodes"][0]["html"][:200], finding["nodes"][0]["failureSummary"])
        for finding in found["violations"]
        if finding["impact"] in ("serious", "critical")
    ]
    assert serious == [], serious
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

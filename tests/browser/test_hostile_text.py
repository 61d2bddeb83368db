"""What a model writes is text: no markup, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from support.page_steps import Script, answered, say

ATTEMPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&#58;alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "<javascript:alert(1)>",
    "![x](https://tracker.invalid/pixel.png)",
    '[a](https://example.com "onmouseover=alert(1)")',
    "```html\n<script>alert(1)</script>\n```",
    "[ref]: javascript:alert(1)\n\n[ref]",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <b onclick=alert(1)>x</b> |",
    "<style>body{display:none}</style>",
    "&lt;img src=x onerror=alert(1)&gt;",
]


@pytest.mark.parametrize("live", [False, True], ids=["stored", "streaming"])
def test_markup_in_answers_stays_text(page: Page, live: bool) -> None:
    """Every attempt shows as text; links are http, https or mailto only."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    text = "\n\n".join(ATTEMPTS)
    before = [("delta", {"text": text[at : at + 7]}) for at in range(0, len(text), 7)]
    Script("" if live else text, before=before if live else []).on(page)
    say(page, "<img src=x onerror=alert(1)>")
    answer = answered(page, 1)
    assert page.locator("main script, main iframe, main style, main .prose img").count() == 0
    assert page.locator("main .prose svg:not(.icon)").count() == 0
    for link in answer.locator("a").all():
        assert (link.get_attribute("href") or "").startswith("https://")
    names = """() => [...document.querySelectorAll('.turn *')]
      .flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"""
    assert page.evaluate(names) == []
    expect(answer).to_contain_text("<script>alert(1)</script>")
    expect(page.locator(".bubble")).to_have_text("<img src=x onerror=alert(1)>")
    assert not [url for url in requested if "tracker" in url]


def test_role_play_sets_actions_and_speech_apart(page: Page) -> None:
    """Emphasis closes before a Korean particle, as Korean is written."""
    Script("**중요**합니다. *(웃으며)*그래. `a*b*c` 2 * 3 * 4").on(page)
    say(page, "안녕")
    answer = answered(page, 1)
    expect(answer.locator("strong")).to_have_text("중요")
    expect(answer.locator("em")).to_have_text("(웃으며)")
    expect(answer.locator("code")).to_have_text("a*b*c")
    expect(answer).to_contain_text("2 * 3 * 4")


def test_code_is_highlighted_and_copied(page: Page) -> None:
    """A fenced block gets colours for its language and a button that copies it alone."""
    Script("이렇게요:\n\n```python\ndef f(x):\n    return x < 1\n```").on(page)
    say(page, "안녕")
    answer = answered(page, 1)
    expect(answer.locator(".hl-keyword").first).to_have_text("def")
    answer.locator("figcaption button").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "def f(x):\n    return x < 1"


def test_text_runs_in_the_direction_of_its_own_letters(page: Page) -> None:
    """Arabic and Hebrew run from the right, paragraph by paragraph, while the page stays as it is;
    what is typed, said, answered and named alike."""
    direction = "e => [getComputedStyle(e).direction, getComputedStyle(e).textAlign]"
    arabic = "مرحبا بالعالم 123"
    Script(f"{arabic}\n\n한국어 문단\n\n- {arabic}\n\n```python\nprint(1)\n```").on(page)
    field = page.locator("#message")
    field.fill(arabic)
    assert field.evaluate(direction)[0] == "rtl"
    field.fill("안녕")
    assert field.evaluate(direction)[0] == "ltr"
    say(page, arabic)
    answer = answered(page, 1).locator(".prose")
    for place in (page.locator(".bubble"), answer):
        assert place.get_attribute("dir") == "auto"
        assert place.evaluate(direction)[0] == "rtl"
    box = answer.bounding_box()
    assert box is not None
    edges = """e => {
      const range = document.createRange();
      range.selectNodeContents(e);
      const box = range.getBoundingClientRect();
      return [box.left, box.right];
    }"""
    first, second = answer.locator("> p").all()
    assert first.evaluate(edges)[1] > box["x"] + box["width"] - 5, "Arabic begins at the right"
    assert second.evaluate(edges)[0] < box["x"] + 5, "Hangul begins at the left"
    assert answer.locator("pre").evaluate(direction)[0] == "ltr"
    title = page.locator(".topbar-title")
    expect(title).to_have_attribute("dir", "auto")
    assert page.locator("html").evaluate(direction)[0] == "ltr"


def test_every_field_and_name_has_its_own_direction(page: Page) -> None:
    """No field for text, and no element that shows a person's or a card's words, is without."""
    page.goto("/chat/#/characters/new")
    page.wait_for_selector("form.form")
    fields = "form.form :is(input:not([type=file]), textarea), input[type=search]"
    assert page.locator(fields).count() > 4
    assert page.locator(f":is({fields}):not([dir=auto])").count() == 0

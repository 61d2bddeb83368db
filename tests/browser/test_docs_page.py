"""The interactive documentation in a real browser: the "Try it out" button reaches the model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from support.process_group import Group

#: Milliseconds for a page, and for an answer on a busy machine.
PAGE_MS, ANSWER_MS = 120_000, 180_000


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page without the chat page's expectations."""
    made = browser.new_page()
    made.set_default_timeout(PAGE_MS)
    yield made
    made.close()


@pytest.mark.parametrize("assistant", ["office", "character"])
def test_try_it_out_answers(page: Page, group: Group, assistant: str) -> None:
    """«Try it out» and «Execute» show 200 and the model's answer; nothing is fetched from outside
    and nothing fails on the page."""
    base_url = group.url
    foreign: list[str] = []
    failures: list[str] = []
    page.on(
        "request",
        lambda request: (
            foreign.append(request.url)
            if not request.url.startswith((base_url, "data:", "blob:"))
            else None
        ),
    )
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(f"{base_url}/{assistant}/docs")
    operation = page.locator(".opblock-post").filter(has=page.locator('[data-path="/Llama"]'))
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answered = operation.locator(".live-responses-table .response").first
    expect(answered.locator(".response-col_status")).to_contain_text("200", timeout=ANSWER_MS)
    text = answered.locator(".highlight-code code").first.inner_text()
    assert isinstance(json.loads(text), str)
    assert json.loads(text)
    called = operation.locator(".request-url").inner_text()
    assert f"{base_url}/{assistant}/Llama" in called
    assert foreign == []
    assert failures == []

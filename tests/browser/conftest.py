"""The chat page in a real Chromium, against the whole group with the small model.

One group serves the whole session. Answers that a test must know word for word, and faults, are
scripted at the page's own network edge; everything else is the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from support.page_steps import PATIENCE_MS, watched
from support.process_group import Group, started

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """`chatbot-ai up` on free ports; one conversation at a time, so that a queue can form, and
    office answers that are long enough to be stopped."""
    folder = tmp_path_factory.mktemp("group")
    limits = {
        "CHATBOT_MAX_CONCURRENT": "1",
        "OFFICE_ANSWER_TOKENS": "384",
        # on a machine that is busy with other things nobody is refused for the wait
        "REQUEST_DEADLINE_S": "300",
    }
    with started(folder, **limits) as running:
        yield running


@pytest.fixture(scope="session")
def playwright(blocking_guard: BlockBuster) -> Iterator[Playwright]:
    """One for all tests. It keeps an event loop running in the thread of the tests, which are plain
    functions and may block; tests of coroutines need a process without it."""
    blocking_guard.deactivate()
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield chromium
    chromium.close()


@pytest.fixture
def context(browser: Browser, group: Group) -> Iterator[BrowserContext]:
    """A browser that was never here, of a reader of Korean, on a desktop."""
    fresh = browser.new_context(
        locale="ko-KR",
        viewport={"width": 1280, "height": 800},
        base_url=group.url,
        permissions=["clipboard-read", "clipboard-write"],
    )
    fresh.set_default_timeout(PATIENCE_MS)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """The chat page; a script's error or a refusal by the page's policy fails the test."""
    opened = context.new_page()
    problems = watched(opened)
    opened.goto("/chat/")
    opened.wait_for_selector("#message")
    yield opened
    assert problems == []


@pytest.fixture
def phone(browser: Browser, group: Group) -> Iterator[Page]:
    """The chat page on a phone."""
    fresh = browser.new_context(
        locale="ko-KR",
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        base_url=group.url,
    )
    fresh.set_default_timeout(PATIENCE_MS)
    opened = fresh.new_page()
    problems = watched(opened)
    opened.goto("/chat/")
    opened.wait_for_selector("#message")
    yield opened
    fresh.close()
    assert problems == []

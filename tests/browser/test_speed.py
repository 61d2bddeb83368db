"""What the page's first text needs, and what it asks the network for. How soon it shows is measured
by `python -m bench page`."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

from support.page_steps import PATIENCE_MS, Script, answered, say
from support.process_group import Group


def test_the_first_text_needs_no_module(browser: Browser, group: Group) -> None:
    """While no module has arrived yet, brand and welcome stand there already, in the reader's
    language."""
    for locale, welcome in (("ko-KR", "무엇을 도와드릴까요?"), ("en-GB", "What can I help with?")):
        context = browser.new_context(locale=locale, base_url=group.url)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.route("**/app/*.js", lambda route: route.abort())
        page.goto("/chat/")
        expect(page.get_by_text("ChatBot AI").first).to_be_visible()
        expect(page.get_by_text(welcome)).to_be_visible()
        assert page.locator(".welcome h1").inner_text() == welcome
        context.close()


def test_a_return_visit_transfers_next_to_nothing(page: Page) -> None:
    """Unchanged files are answered with 304 by their ETag."""
    statuses: list[int] = []
    page.on(
        "response",
        lambda answer: statuses.append(answer.status) if "/chat/" in answer.url else None,
    )
    sent = "performance.getEntriesByType('resource').filter(e => e.name.includes('/chat/'))"
    first = page.evaluate(f"{sent}.reduce((sum, e) => sum + e.encodedBodySize, 0)")
    page.reload()
    page.wait_for_selector("#message")
    again = page.evaluate(f"{sent}.reduce((sum, e) => sum + e.transferSize, 0)")
    assert first > 50_000
    assert again < first / 4
    assert set(statuses) <= {200, 304}


def test_the_page_talks_to_its_own_host_only(page: Page, group: Group) -> None:
    """Every request of a visit, a turn, the gallery and the settings stays with this origin."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector("#message")
    Script("![x](https://tracker.invalid/a.png) [y](https://tracker.invalid/)").on(page)
    say(page, "안녕")
    answered(page, 1)
    page.goto("/chat/#/characters")
    expect(page.get_by_role("heading", name="캐릭터", exact=True)).to_be_visible()
    page.get_by_role("button", name="설정").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    own = urlsplit(group.url)
    addresses = [urlsplit(url) for url in asked]
    network = [one for one in addresses if one.scheme not in ("blob", "data")]
    assert len(network) > 30
    assert {(one.scheme, one.netloc) for one in network} == {(own.scheme, own.netloc)}


def test_the_policy_is_exactly_this(page: Page) -> None:
    """The whole Content-Security-Policy header of the page and of its modules."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    for path in ("/chat/", "/chat/app/main.js", "/chat/early.js"):
        headers = page.request.get(path).headers
        assert headers["content-security-policy"] == policy
        assert headers["x-content-type-options"] == "nosniff"

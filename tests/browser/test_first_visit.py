"""The first visit: without keys it works at once, with keys the page asks for one."""

from __future__ import annotations

import json
import re

from page_steps import Script, answered, say
from playwright.sync_api import Page, Route, expect

CALLS = re.compile(r"/(office|character)/")


def guard(key: str) -> object:
    """Answer as a server with keys: 401 without the key, passed on with it."""

    def answer(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {key}":
            route.fallback()
            return
        error = {"code": "unauthorized", "message": "올바른 API 키가 필요합니다."}
        body = json.dumps({"error": error}, ensure_ascii=False)
        route.fulfill(status=401, content_type="application/json", body=body)

    return answer


def test_without_keys_on_this_machine_it_simply_works(page: Page) -> None:
    """Nothing is asked; the browser makes up a user of its own and keeps it."""
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("() => localStorage.getItem('chatbot.user')")
    first = page.evaluate("localStorage.getItem('chatbot.user')")
    page.reload()
    page.wait_for_selector("#message")
    assert page.evaluate("localStorage.getItem('chatbot.user')") == first


def test_with_keys_it_asks_once_and_keeps_the_key(page: Page) -> None:
    """A wrong key is refused in words, the right one opens the page and survives a reload."""
    page.route(CALLS, guard("right"))  # type: ignore[arg-type]
    page.reload()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("API 키")
    expect(field).to_be_focused()
    field.fill("wrong")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_be_visible()
    field.fill("right")
    field.press("Enter")
    expect(dialog).to_have_count(0)
    page.reload()
    page.wait_for_selector("#message")
    script = Script().on(page)
    say(page, "안녕")
    answered(page, 1)
    expect(dialog).to_have_count(0)
    assert script.sent[0]["user_id"].startswith("web-")
    page.get_by_role("button", name="설정").click()
    page.get_by_role("button", name="이 브라우저에서 키 지우기").click()
    expect(page.get_by_role("dialog").get_by_label("API 키")).to_be_visible()


def test_a_key_of_one_user_speaks_for_that_user(page: Page) -> None:
    """Where the key forbids the browser's own user, the page leaves the user to the key."""

    def bound(route: Route) -> None:
        if "user_id=" not in route.request.url:
            route.fulfill(json={"conversations": [], "next_before": None, "characters": []})
            return
        route.fulfill(status=403, json={"error": {"code": "forbidden", "message": "다른 사용자"}})

    page.route(CALLS, bound)
    page.route(CALLS, guard("bound"))  # type: ignore[arg-type]
    page.reload()
    page.get_by_role("dialog").get_by_label("API 키").fill("bound")
    page.get_by_role("dialog").get_by_label("API 키").press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    script = Script().on(page)
    say(page, "안녕")
    answered(page, 1)
    assert "user_id" not in script.sent[0]

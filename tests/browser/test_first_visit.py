"""The first visit: without keys it works at once, with keys the page asks for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

import pytest
from playwright.sync_api import Browser, Page, expect

from support.accessibility import check
from support.page_steps import PATIENCE_MS, Script, answered, say, watched
from support.process_group import COMMAND, Group, environment, started


@dataclass(frozen=True, slots=True)
class Guarded:
    """A group that admits by key only, with a key of each kind."""

    group: Group
    backend: str
    minas: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    backend = created(folder)
    minas = created(folder, "--kind", "user", "--user", "mina")
    with started(folder) as running:
        yield Guarded(running, backend, minas)


def created(folder: Path, *arguments: str) -> str:
    """A new key, made as an operator makes it."""
    command = [*COMMAND[:-1], "keys", "create", "--json", *arguments]
    made = run(command, env=environment(folder), capture_output=True, check=True)
    return str(json.loads(made.stdout)["key"])


@pytest.fixture
def visitor(browser: Browser, guarded: Guarded) -> Iterator[Page]:
    """The page of the guarded group, in a browser that has no key."""
    context = browser.new_context(locale="ko-KR", base_url=guarded.group.url)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    problems = watched(opened)
    opened.goto("/chat/")
    yield opened
    context.close()
    assert problems == []


def test_without_keys_on_this_machine_it_simply_works(page: Page) -> None:
    """Nothing is asked; the browser makes up a user of its own and keeps it."""
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("() => localStorage.getItem('chatbot.user')")
    first = page.evaluate("localStorage.getItem('chatbot.user')")
    page.reload()
    page.wait_for_selector("#message")
    assert page.evaluate("localStorage.getItem('chatbot.user')") == first


def test_it_says_what_answers_before_the_first_message(page: Page) -> None:
    """That an AI answers, also on each answer; and that this model speaks no Korean, with what to
    do about it. A reader of English is told nothing of the language."""
    notice = page.get_by_text("답변은 생성형 AI가 작성하며")
    expect(notice).to_be_visible()
    language = page.get_by_role("complementary").filter(has_text="한국어를 하지 못합니다")
    expect(language).to_contain_text("지금 연결된 모델(")
    expect(language).to_contain_text("models list")
    check(page)
    say(page, "안녕하세요!")
    answered(page, 1)
    expect(notice).to_be_visible()
    expect(language).to_be_visible()
    expect(page.get_by_text("AI 생성", exact=True)).to_have_count(1)
    check(page)
    page.evaluate("localStorage.setItem('chatbot.language', '\"en\"')")
    page.reload()
    expect(page.get_by_text("Answers are written by a generative AI")).to_be_visible()
    expect(page.get_by_text("AI-generated", exact=True)).to_have_count(1)
    expect(page.locator(".notice")).to_have_count(0)


def test_with_keys_it_asks_once_and_keeps_the_key(visitor: Page, guarded: Guarded) -> None:
    """A wrong key is refused in words, the right one opens the page and survives a reload."""
    dialog = visitor.get_by_role("dialog")
    field = dialog.get_by_label("API 키")
    expect(field).to_be_focused()
    check(visitor)
    field.fill("cbk_wrong")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_be_visible()
    check(visitor)
    field.fill(guarded.backend)
    # the page starts anew with it; reloading meanwhile would break that off
    with visitor.expect_navigation():
        field.press("Enter")
    expect(dialog).to_have_count(0)
    visitor.reload()
    visitor.wait_for_selector("#message")
    say(visitor, "Hello!")
    answered(visitor, 1)
    expect(visitor.locator(".chats .title")).to_have_text("Hello!")
    expect(dialog).to_have_count(0)
    visitor.get_by_role("button", name="설정").click()
    visitor.get_by_role("button", name="이 브라우저에서 API 키 삭제").click()
    expect(visitor.get_by_role("dialog").get_by_label("API 키")).to_be_visible()


def test_a_key_of_one_user_speaks_for_that_user(visitor: Page, guarded: Guarded) -> None:
    """Where the key forbids the browser's own user, the page leaves the user to the key."""
    field = visitor.get_by_role("dialog").get_by_label("API 키")
    field.fill(guarded.minas)
    field.press("Enter")
    expect(visitor.get_by_role("dialog")).to_have_count(0)
    script = Script().on(visitor)
    say(visitor, "안녕")
    answered(visitor, 1)
    assert "user_id" not in script.sent[0]
    visitor.goto("/chat/#/characters/new")
    visitor.get_by_label("이름", exact=True).fill("하늘")
    visitor.get_by_role("button", name="저장").click()
    expect(visitor.get_by_role("heading", name="하늘")).to_be_visible()

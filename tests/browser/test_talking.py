"""Talking to the office assistant: streaming, stopping, alternatives, faults."""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, Page, Route, expect

from support.cutting_proxy import cutting_proxy
from support.page_steps import Api, Script, answered, done, occupied, refusing, say
from support.process_group import Group

#: Presses the stop button in the moment in which the first words show.
STOP_AT_FIRST_WORDS = """() => new MutationObserver((_, watch) => {
  if (!document.querySelector('.live .prose')) return;
  watch.disconnect();
  document.querySelector('.send.stop').click();
}).observe(document.body, {childList: true, subtree: true})"""

#: Keeps every text that the queue's line has shown, however short it stood there.
KEEP_QUEUE_STATES = """() => {
  window.states = [];
  new MutationObserver(() => {
    const line = document.querySelector('[data-state="queued"]');
    if (line) states.push(line.textContent);
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def test_an_answer_streams_and_is_what_the_server_stored(page: Page, group: Group) -> None:
    """After a message the answer shows, the address names the conversation, a reload keeps it."""
    say(page, "Hello! Who are you?")
    expect(page.locator(".live, .turn .prose").first).to_be_visible()
    answer = answered(page, 1)
    expect(page).to_have_url(re.compile(r"#/office/[0-9a-f-]{36}$"))
    stored = Api(page, group.url).turns()
    assert [turn["input"] for turn in stored] == ["Hello! Who are you?"]
    shown = answer.locator(".prose").inner_text()
    assert shown
    page.reload()
    assert answered(page, 1).locator(".prose").inner_text() == shown
    expect(page.locator(".chats .title")).to_have_text("Hello! Who are you?")


def test_the_place_in_the_queue_shows_before_the_first_word(page: Page, group: Group) -> None:
    """While another answer has the only slot, the page says where the message stands and how
    long that will take."""
    say(page, "Hello!")
    answered(page, 1)
    page.evaluate(KEEP_QUEUE_STATES)
    with occupied(group.url):
        say(page, "And me?")
        page.wait_for_function("() => states.some((line) => /번째/.test(line))")
        page.wait_for_function("() => states.some((line) => /약 [0-9]+(초|분) 뒤/.test(line))")
    answered(page, 2)


def test_stopping_keeps_what_was_said_and_it_can_go_on(page: Page, group: Group) -> None:
    """Stop ends the answer at the server as well; "continue" appends to the same answer."""
    page.evaluate(STOP_AT_FIRST_WORDS)
    say(page, "Write one sentence about each month of the year.")
    last = answered(page, 1)
    api = Api(page, group.url)
    (stopped,) = api.turns()
    assert stopped["status"] == "interrupted"
    expect(last.locator(".state")).to_be_visible()
    last.get_by_role("button", name="이어서 쓰기").click()
    answered(page, 1)
    (whole,) = api.turns()
    assert whole["output"].startswith(stopped["output"])
    assert len(whole["output"]) > len(stopped["output"])
    assert len(whole["outputs"]) == 1


def test_alternatives_are_kept_and_flipped_through(page: Page, group: Group) -> None:
    """A second answer shows as 2/2; flipping back selects the first at the server too."""
    say(page, "Name a colour.")
    answered(page, 1).get_by_role("button", name="답변 다시 생성").click()
    expect(page.locator(".flipper")).to_contain_text("2/2")
    last = answered(page, 1)
    api = Api(page, group.url)
    (turn,) = api.turns()
    assert (len(turn["outputs"]), turn["selected"]) == (2, 1)
    with page.expect_response(re.compile("/select")):
        last.get_by_role("button", name="이전 답변").click()
    expect(last.locator(".flipper")).to_contain_text("1/2")
    assert api.turns()[0]["selected"] == 0
    page.reload()
    expect(answered(page, 1).locator(".flipper")).to_contain_text("1/2")


def test_an_edited_message_replaces_the_turns_after_it(page: Page, group: Group) -> None:
    """Editing the first of two turns asks first, then leaves one turn with the new wording."""
    say(page, "One.")
    answered(page, 1)
    say(page, "Two.")
    answered(page, 2)
    first = page.locator(".turn").first
    first.hover()
    first.get_by_role("button", name="수정 후 다시 보내기").click()
    field = page.get_by_label("수정할 메시지")
    expect(field).to_be_focused()
    field.fill("Only one.")
    field.press("Enter")
    dialog = page.get_by_role("dialog", name="이후 메시지가 삭제됩니다")
    expect(dialog).to_contain_text("1개")
    dialog.get_by_role("button", name="취소").click()
    expect(field).to_have_value("Only one.")
    expect(page.locator(".turn")).to_have_count(2)
    field.press("Enter")
    dialog.get_by_role("button", name="보내기").click()
    answered(page, 1)
    assert [turn["input"] for turn in Api(page, group.url).turns()] == ["Only one."]


def test_an_answer_is_copied_as_it_was_written(page: Page) -> None:
    """Copying gives the Markdown, not what it looks like."""
    Script("**굵게** `code`").on(page)
    say(page, "안녕")
    answered(page, 1).get_by_role("button", name="복사").click()
    assert page.evaluate("navigator.clipboard.readText()") == "**굵게** `code`"


def test_a_dropped_connection_is_taken_up_again(context: BrowserContext, group: Group) -> None:
    """The connection is cut after the first words; the whole answer arrives once all the same."""
    with cutting_proxy(int(group.environment["GATEWAY_PORT"])) as proxy:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{proxy.port}/chat/")
        page.wait_for_selector("#message")
        proxy.arm(b"event: delta")
        say(page, "Count from one to ten in words.")
        answered(page, 1)
        assert proxy.cuts == 1
        (turn,) = Api(page, group.url).turns()
        assert turn["status"] == "complete"
        text = page.locator(".turn .prose").inner_text()
        page.reload()
        assert answered(page, 1).locator(".prose").inner_text() == text
        page.close()


def test_an_error_is_said_in_words_and_tried_again(page: Page) -> None:
    """The server's sentence shows; the button waits for as long as the server asks."""
    sentence = "지금은 사용자가 많습니다."
    error = {"code": "busy", "message": sentence, "retry_after_s": 2}
    Script("이제 됩니다.").on(page)
    page.route("**/Llama", refusing(1, 503, error))
    say(page, "안녕")
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text(sentence)
    expect(failure.get_by_role("button")).to_be_disabled()
    expect(failure.get_by_role("button")).to_be_enabled()
    failure.get_by_role("button").click()
    expect(answered(page, 1)).to_contain_text("이제 됩니다.")
    expect(failure).to_have_count(0)


def test_sources_are_numbered_to_hover_and_to_open(page: Page) -> None:
    """[1] becomes a link to its source with a note; a number without a source stays text."""
    sources = [{"n": 1, "title": "서울시 공고", "url": "https://www.example.com/a"}]
    script = Script(
        "오늘 시작합니다[1]. 둘째는 없습니다[7].",
        before=[("sources", {"sources": sources, "warnings": []})],
        last=done(sources=sources),
    ).on(page)
    page.get_by_role("switch", name="웹 검색").click()
    say(page, "언제 시작해?")
    answer = answered(page, 1)
    assert script.sent[0]["google_access"] is True
    mark = answer.locator(".citation > a")
    expect(mark).to_have_attribute("href", "https://www.example.com/a")
    expect(answer.get_by_role("tooltip")).to_be_hidden()
    mark.hover()
    expect(answer.get_by_role("tooltip")).to_contain_text("서울시 공고")
    expect(answer.locator(".prose")).to_contain_text("[7]")
    answer.locator("summary").click()
    expect(answer.locator(".sources a")).to_have_text("서울시 공고")


def test_a_reload_shows_sources_and_how_the_answer_ended(page: Page) -> None:
    """What an answer rests on and that it was cut come from the server, so that another browser
    shows them too."""
    sources = [{"n": 1, "title": "서울시 공고", "url": "https://www.example.com/a"}]

    def grounded(route: Route) -> None:
        answer = route.fetch()
        found = answer.json()
        first = found["turns"][0]["alternatives"][0]
        first |= {"text": "시작합니다[1].", "finish_reason": "length", "sources": sources}
        route.fulfill(response=answer, json=found)

    say(page, "Hello!")
    answered(page, 1)
    page.route("**/turns?*", grounded)
    page.reload()
    answer = answered(page, 1)
    expect(answer.locator(".citation > a")).to_have_attribute("href", "https://www.example.com/a")
    expect(answer.locator(".state")).to_have_text("길이 한도에 도달해 중단되었습니다")
    answer.locator("summary").click()
    expect(answer.locator(".sources a")).to_have_text("서울시 공고")


def test_a_search_that_fails_is_said_and_the_answer_comes(page: Page) -> None:
    """Without any network the office answers all the same and says that it did not search."""
    page.get_by_role("switch", name="웹 검색").click()
    say(page, "What is new?")
    answered(page, 1)
    expect(page.locator(".notes")).to_contain_text("검색")


def test_what_was_left_out_of_the_context_is_said(page: Page) -> None:
    """The note names how many turns the answer did not see."""
    context = {"used_tokens": 2000, "limit_tokens": 2048, "turns_left_out": 3}
    Script(last=done(context=context)).on(page)
    say(page, "안녕")
    answered(page, 1)
    expect(page.locator(".notes")).to_contain_text("3")

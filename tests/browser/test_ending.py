"""Answers that do not end by themselves: stopped, left, deleted, expired, or followed elsewhere."""

from __future__ import annotations

import asyncio
import re
import threading
import time

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, TurnAnswer
from chatbot_ai.domain.grounding import Source
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.page_steps import Api, Script, answered, events, occupied, place_of, say, user_of
from support.process_group import HEAL_S, Group, eventually

LONG = "Tell me about every month of the year, one after the other."


def live_text(page: Page) -> None:
    """Wait until the first words of an answer show."""
    page.locator(".live .prose").wait_for()


def has_ended(api: Api) -> None:
    """Wait until the office generates nothing and nobody waits."""

    def is_idle() -> bool:
        figures = api.call("GET", "/office/performance").json()
        return not figures["waiting"] and not figures["active_connections"]

    eventually(is_idle, HEAL_S, "the office is idle")


def held(page: Page, pattern: str) -> list[Route]:
    """Keep requests waiting, before any answer; they are given back to be ended."""
    found: list[Route] = []

    def keep(route: Route) -> None:
        found.append(route)

    page.route(pattern, keep)
    return found


def test_stopping_in_the_queue_gives_the_message_back(page: Page, group: Group) -> None:
    """The place in the queue is left at the server, nothing is stored, the text is not lost."""
    say(page, "Hello!")
    answered(page, 1)
    with occupied(group.url):
        say(page, "I have changed my mind")
        page.locator('[data-state="queued"]').wait_for()
        page.get_by_role("button", name="중지").click()
        expect(page.locator("#message")).to_have_value("I have changed my mind")
        expect(page.locator(".turn")).to_have_count(1)
    api = Api(page, group.url)
    has_ended(api)
    assert [turn["input"] for turn in api.turns()] == ["Hello!"]


def test_stopping_before_the_first_word_gives_the_message_back(page: Page) -> None:
    """Nothing has come back yet: the request is given up and the field has the text again."""
    waiting = held(page, "**/Llama")
    say(page, "아직 아무 말도 없다")
    expect(page.locator(".send.stop")).to_be_visible()
    page.get_by_role("button", name="중지").click()
    expect(page.locator("#message")).to_have_value("아직 아무 말도 없다")
    expect(page.locator(".live")).to_have_count(0)
    expect(page.get_by_role("button", name="보내기")).to_be_enabled()
    assert len(waiting) == 1


def test_a_stopped_message_and_the_next_one_are_both_kept(page: Page) -> None:
    """Stopped while the next message is being typed: both are in the field, the older first."""
    held(page, "**/Llama")
    say(page, "보낸 글")
    expect(page.locator(".send.stop")).to_be_visible()
    page.locator("#message").fill("쓰던 글")
    page.get_by_role("button", name="중지").click()
    expect(page.locator("#message")).to_have_value("보낸 글\n\n쓰던 글")
    page.reload()
    expect(page.locator("#message")).to_have_value("보낸 글\n\n쓰던 글")


def test_stopping_an_edit_leaves_the_conversation_as_it_was(page: Page, group: Group) -> None:
    """The old turn is there again, at the server too, and the new wording is not lost."""
    say(page, "Hello!")
    answered(page, 1)
    page.locator(".turn").hover()
    page.get_by_role("button", name="수정 후 다시 보내기").click()
    field = page.get_by_label("수정할 메시지")
    expect(field).to_be_focused()
    field.fill(LONG)
    field.press("Enter")
    live_text(page)
    page.get_by_role("button", name="중지").click()
    answered(page, 1)
    expect(page.locator(".bubble")).to_have_text("Hello!")
    expect(page.locator("#message")).to_have_value(LONG)
    assert [turn["input"] for turn in Api(page, group.url).turns()] == ["Hello!"]


def test_deleting_in_one_tab_ends_the_answer_in_another_first(
    page: Page, context: BrowserContext, group: Group
) -> None:
    """The conversation does not come back from the tab in which it was being answered."""
    say(page, "Hello!")
    answered(page, 1)
    other = context.new_page()
    other.goto("/chat/")
    say(page, LONG)
    live_text(page)
    entry = other.locator(".chats li", has_text="Hello!")
    entry.hover()
    entry.get_by_role("button").first.click()
    other.get_by_role("menuitem", name="삭제").click()
    other.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(other.locator(".nothing")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/$"))
    api = Api(page, group.url)
    has_ended(api)
    assert api.call("GET", "/office/conversations").json()["conversations"] == []
    other.close()


@pytest.mark.parametrize("is_slow", [False, True], ids=["read in time", "read afterwards"])
def test_a_message_sent_while_the_conversation_is_still_being_read_stays(
    page: Page, is_slow: bool
) -> None:
    """The reading is waited for, but not for ever; its late result wipes nothing away."""
    reading = held(page, "**/office/conversations/slowly-read?*")
    Script("네, 여기 있습니다.").on(page)
    with page.expect_request(re.compile("slowly-read")):
        page.goto("/chat/#/office/slowly-read")
    say(page, "거기 있어?")
    if is_slow:
        answered(page, 1)
    error = {"error": {"code": "not_found", "message": "없음"}}
    with page.expect_response(re.compile("slowly-read")):
        reading[0].fulfill(status=404, json=error)
    expect(answered(page, 1)).to_contain_text("네, 여기 있습니다.")
    expect(page.locator(".bubble")).to_have_text("거기 있어?")


def test_a_stop_that_cannot_reach_the_server_still_frees_the_field(page: Page) -> None:
    """What was said stays, and the next message can be written and sent."""
    page.route(re.compile(r"/office/streams/"), lambda route: route.abort())
    say(page, LONG)
    live_text(page)
    page.get_by_role("button", name="중지").click()
    expect(page.locator(".send.stop")).to_have_count(0)
    expect(page.locator(".turn .prose")).not_to_be_empty()
    expect(page.locator(".live")).to_have_count(0)


def test_deleting_in_the_middle_of_an_answer_is_for_good(page: Page, group: Group) -> None:
    """The answer ends first, so nothing is stored afterwards that brings the conversation back."""
    say(page, "Hello!")
    answered(page, 1)
    _, db_id = place_of(page)
    say(page, LONG)
    live_text(page)
    entry = page.locator(".chats li", has_text="Hello!")
    entry.hover()
    entry.get_by_role("button").first.click()
    page.get_by_role("menuitem", name="삭제").click()
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(page).to_have_url(re.compile(r"#/$"))
    api = Api(page, group.url)
    has_ended(api)
    left = api.call("GET", "/office/conversations").json()["conversations"]
    assert db_id not in [one["db_id"] for one in left]
    page.reload()
    expect(page.locator(".nothing")).to_be_visible()


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "lost"])
def test_a_stream_that_has_expired_is_no_error_where_its_answer_is_stored(
    page: Page, group: Group, is_stored: bool
) -> None:
    """Back after the server forgot the stream: the stored answer shows and nothing invites to ask
    twice; a message that has no answer is said to have none."""
    say(page, "Hello!")
    answered(page, 1)
    key = "/".join(place_of(page))
    index, text = (0, "Hello!") if is_stored else (1, "And you?")
    kept = {"mode": "message", "index": index, "input": text}
    left = {"streamId": "gone", "mode": "message", "live": kept}
    page.evaluate(
        """([key, left, text]) => {
          localStorage.setItem(`chatbot.live:${key}`, JSON.stringify(left));
          localStorage.setItem(`chatbot.unsent:${key}`, JSON.stringify(text));
        }""",
        [key, left, text],
    )
    with page.expect_response(re.compile("/office/streams/gone")) as asked:
        page.reload()
    assert asked.value.status == 404
    if is_stored:
        answered(page, 1)
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.locator("#message")).to_have_value("")
    else:
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator(".bubble").last).to_have_text("And you?")
    assert len(Api(page, group.url).turns()) == 1
    assert page.evaluate(f"localStorage.getItem('chatbot.live:{key}')") is None


def test_another_tab_shows_the_answer_as_it_comes(
    page: Page, context: BrowserContext, group: Group
) -> None:
    """The words show in both tabs while they are being written; stop works from either."""
    say(page, "Hello!")
    answered(page, 1)
    other = context.new_page()
    other.goto(page.url)
    answered(other, 1)
    say(page, LONG)
    live_text(other)
    expect(other.locator(".bubble").last).to_have_text(LONG)
    other.get_by_role("button", name="중지").click()
    answered(other, 2)
    answered(page, 2)
    assert Api(page, group.url).turns()[-1]["status"] == "interrupted"
    other.close()


def test_a_tab_that_is_closed_leaves_its_answer_to_another(
    page: Page, context: BrowserContext, group: Group
) -> None:
    """The other tab takes the stream up and shows it to its end, without a pause."""
    say(page, "Hello!")
    answered(page, 1)
    first = context.new_page()
    first.goto(page.url)
    answered(first, 1)
    say(first, LONG)
    live_text(page)
    with page.expect_request(re.compile("/office/streams/")):
        first.close()
    answered(page, 2)
    assert Api(page, group.url).turns()[-1]["status"] == "complete"


def test_another_answer_is_not_said_to_search(page: Page, group: Group) -> None:
    """Answering again uses what was found before; the page must not promise a search."""
    say(page, "Hello!")
    answered(page, 1)
    page.get_by_role("switch", name="웹 검색").click()
    held(page, "**/regenerate?*")
    with page.expect_request(re.compile("/regenerate")) as asked:
        page.get_by_role("button", name="답변 다시 생성").click()
    assert "google_access" not in (asked.value.post_data or "")
    expect(page.locator(".working")).to_contain_text("답변을 준비하고 있습니다")
    page.get_by_role("button", name="중지").click()
    answered(page, 1)


def test_a_failure_is_not_announced_as_the_answer_before_it(page: Page) -> None:
    """The live region is silent after a failure; the alert speaks."""
    script = Script("첫 번째 답변입니다.").on(page)
    say(page, "안녕")
    answered(page, 1)
    region = page.locator(".column [aria-live]")
    expect(region).to_have_text("첫 번째 답변입니다.")
    page.unroute("**/Llama")
    error = {"code": "busy", "message": "지금은 사용자가 많습니다."}
    body = events(("queued", {"position": 1, "wait_s": 3}), ("error", error))
    page.route(
        "**/Llama",
        lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body),
    )
    say(page, "또 안녕")
    expect(page.get_by_role("alert")).to_contain_text("지금은 사용자가 많습니다.")
    expect(region).to_have_text("")
    assert len(script.sent) == 1


def stored_turns(group: Group, key: ConversationKey, new: list[NewTurn]) -> None:
    """Turns put into the group's conversation file, as if they had been talked there."""

    async def store() -> None:
        turns = SqliteConversationStore(group.folder / "data" / "chatbot.sqlite3")
        await turns.open()
        for turn in new:
            await turns.append(key, turn)
        await turns.close()

    # Playwright's own loop runs in this thread
    thread = threading.Thread(target=lambda: asyncio.run(store()))
    thread.start()
    thread.join()


def test_what_was_left_out_of_a_real_context_is_said(page: Page, group: Group) -> None:
    """Turns that fill the real context: the next answer names how many it did not see."""
    say(page, "Hello!")
    answered(page, 1)
    _, db_id = place_of(page)
    yes = TurnAnswer("Yes.", "test", time.time(), finish_reason="stop")
    long = "가나다라마바사아자차" * 30
    turns = [NewTurn(f"stored-{number}", f"{number}: {long}", yes) for number in range(3)]
    stored_turns(group, ConversationKey("office", user_of(page), db_id), turns)
    page.reload()
    answered(page, 4)
    say(page, "And now?")
    answered(page, 5)
    expect(page.locator(".notes")).to_contain_text(re.compile("이전 메시지 [1-4]개"))


def test_sources_and_ends_are_the_servers(page: Page, group: Group) -> None:
    """An answer that another browser was given shows its sources, and that it was cut."""
    source = Source(1, "서울시 공고", "https://www.example.com/a")
    cut = TurnAnswer(
        "오늘 시작합니다[1]. 그리고",
        "test",
        time.time(),
        finish_reason="length",
        sources=(source,),
    )
    key = ConversationKey("office", user_of(page), "from-elsewhere")
    stored_turns(group, key, [NewTurn("elsewhere", "언제 시작해?", cut)])
    page.goto("/chat/#/office/from-elsewhere")
    answer = answered(page, 1)
    expect(answer.locator(".citation > a")).to_have_attribute("href", source.url)
    answer.locator("summary").click()
    expect(answer.locator(".sources a")).to_have_text("서울시 공고")
    expect(answer.locator(".state")).to_have_text("길이 한도에 도달해 중단되었습니다")
    answer.get_by_role("button", name="이어서 쓰기").click()
    expect(page.locator(".turn .prose")).to_contain_text("오늘 시작합니다")
    answered(page, 1)
    expect(answer.locator(".citation > a")).to_have_attribute("href", source.url)
    (turn,) = Api(page, group.url).turns()
    assert turn["output"].startswith("오늘 시작합니다")
    assert len(turn["output"]) > len(cut.text)

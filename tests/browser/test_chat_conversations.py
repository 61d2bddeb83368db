"""The list of conversations, drafts and several tabs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.page_steps import PATIENCE_MS, Api, Script, answered, place_of, say
from support.process_group import Group


def ask(page: Page, text: str) -> None:
    """A real turn in a new conversation."""
    page.goto("/chat/#/")
    say(page, text)
    answered(page, 1)


def choose(page: Page, title: str, action: str) -> None:
    """Open the menu of a conversation and choose from it."""
    entry = page.locator(".chats li", has_text=title)
    entry.hover()
    entry.get_by_role("button").first.click()
    page.get_by_role("menuitem", name=action).click()


def test_conversations_are_listed_found_renamed_exported_and_deleted(
    page: Page, group: Group, tmp_path: Path
) -> None:
    """Everything that the list offers is done at the server and shows at once."""
    ask(page, "서울 날씨 알려 줘")
    ask(page, "주간 보고 써 줘")
    titles = page.locator(".chats .title")
    expect(titles).to_have_text(["주간 보고 써 줘", "서울 날씨 알려 줘"])

    page.get_by_role("searchbox").fill("날씨")
    expect(titles).to_have_text(["서울 날씨 알려 줘"])
    page.get_by_role("searchbox").fill("없는 말")
    expect(page.locator(".nothing")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(titles).to_have_count(2)

    choose(page, "주간 보고", "이름 바꾸기")
    page.get_by_label("대화 이름").fill("<img src=x onerror=alert(1)> 보고서")
    page.get_by_role("button", name="저장").click()
    expect(titles.first).to_have_text("<img src=x onerror=alert(1)> 보고서")
    assert page.locator(".chats li img:not(.portrait)").count() == 0

    with page.expect_download() as saved:
        choose(page, "보고서", "데이터로 내보내기")
    file = tmp_path / "saved"
    saved.value.save_as(file)
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert any("주간 보고 써 줘" in json.dumps(line, ensure_ascii=False) for line in lines)
    assert saved.value.suggested_filename.endswith(".jsonl")
    with page.expect_download() as saved:
        choose(page, "보고서", "문서로 내보내기")
    assert saved.value.suggested_filename.endswith(".md")
    saved.value.save_as(file)
    document = file.read_text("utf-8")
    (turn,) = Api(page, group.url).turns()
    assert turn["input"] in document
    assert turn["output"].strip() in document
    assert document.startswith("# ")

    _, db_id = place_of(page)
    choose(page, "보고서", "삭제")
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(titles).to_have_text(["서울 날씨 알려 줘"])
    expect(page).to_have_url(re.compile(r"#/$"))
    left = Api(page, group.url).call("GET", "/office/conversations").json()["conversations"]
    assert db_id not in [one["db_id"] for one in left]


def test_a_draft_survives_a_reload(page: Page) -> None:
    """What was written and not sent is there again; after sending it is gone."""
    page.locator("#message").press_sequentially("쓰다 만 글")
    page.reload()
    expect(page.locator("#message")).to_have_value("쓰다 만 글")
    Script().on(page)
    page.locator("#message").press("Enter")
    answered(page, 1)
    page.goto("/chat/#/")
    page.reload()
    expect(page.locator("#message")).to_have_value("")


def test_a_message_without_an_answer_is_not_lost_in_a_reload(page: Page) -> None:
    """The page is left before the server has answered: the text is back in the field."""
    page.route("**/Llama", lambda route: route.abort())
    say(page, "아직 답이 없는 질문")
    expect(page.get_by_role("alert")).to_be_visible()
    page.reload()
    expect(page.locator("#message")).to_have_value("아직 답이 없는 질문")


def test_an_answer_goes_on_after_a_reload(page: Page, group: Group) -> None:
    """A page that is loaded anew in the middle of an answer takes the stream up again."""
    say(page, "Tell me about the four seasons, please.")
    kept = "() => Object.keys(localStorage).some(key => key.startsWith('chatbot.live:'))"
    page.wait_for_function(kept)
    page.reload()
    answered(page, 1)
    (turn,) = Api(page, group.url).turns()
    assert turn["status"] == "complete"


def test_tabs_stay_in_step(page: Page, context: BrowserContext) -> None:
    """A second tab shows the first one's turn, its title and its end without a reload."""
    say(page, "Good morning!")
    answered(page, 1)
    other = context.new_page()
    other.goto(page.url)
    answered(other, 1)
    say(page, "And good night!")
    answered(other, 2)
    expect(other.locator(".bubble").last).to_have_text("And good night!")
    choose(page, "Good morning!", "이름 바꾸기")
    page.get_by_label("대화 이름").fill("인사")
    page.get_by_role("button", name="저장").click()
    expect(other.locator(".chats .title")).to_have_text("인사")
    choose(page, "인사", "삭제")
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(other).to_have_url(re.compile(r"#/$"))
    expect(other.locator(".chats .title")).to_have_count(0)
    other.close()


def test_each_conversation_keeps_its_own_draft(page: Page) -> None:
    """Changing between conversations brings back what was being written in each."""
    Script().on(page)
    places = []
    for text in ("하나", "둘"):
        page.goto("/chat/#/")
        say(page, text)
        answered(page, 1)
        places.append(page.url)
        page.locator("#message").fill(f"{text}의 초안")
    for place, draft in zip(places, ("하나의 초안", "둘의 초안"), strict=True):
        page.goto(place)
        expect(page.locator("#message")).to_have_value(draft)
        page.reload()
        expect(page.locator("#message")).to_have_value(draft)


def test_a_new_conversation_in_another_tab_leaves_this_draft_alone(
    page: Page, context: BrowserContext
) -> None:
    """Two tabs begin a conversation each; sending in one wipes nothing in the other."""
    page.locator("#message").press_sequentially("이 탭의 글")
    other = context.new_page()
    other.goto("/chat/#/")
    other.wait_for_selector("#message")
    Script().on(other)
    other.locator("#message").fill("")
    say(other, "다른 탭의 글")
    answered(other, 1)
    expect(page.locator("#message")).to_have_value("이 탭의 글")
    page.reload()
    expect(page.locator("#message")).to_have_value("이 탭의 글")
    other.close()


def test_sending_in_one_tab_leaves_what_another_writes_in_the_same_conversation(
    page: Page, context: BrowserContext, group: Group
) -> None:
    """The message that was sent disappears from both fields, anything else stays."""
    ask(page, "Hello!")
    other = context.new_page()
    other.goto(page.url)
    answered(other, 1)
    other.locator("#message").fill("half a sentence")
    say(page, "And you?")
    answered(page, 2)
    answered(other, 2)
    expect(other.locator("#message")).to_have_value("half a sentence")
    assert len(Api(page, group.url).turns()) == 2
    other.close()


def test_one_assistant_that_is_down_hides_only_its_own_conversations(page: Page) -> None:
    """The other one's stay, and the page says what is wrong."""
    ask(page, "Hello!")
    error = {"error": {"code": "unavailable", "message": "캐릭터 서비스를 쓸 수 없습니다."}}
    page.route(
        re.compile("/character/conversations"), lambda route: route.fulfill(status=503, json=error)
    )
    page.reload()
    expect(page.locator(".chats .title")).to_have_text("Hello!")
    expect(page.locator(".nothing")).to_have_text("캐릭터 서비스를 쓸 수 없습니다.")


def test_a_conversations_menu_opens_and_closes_by_keyboard(page: Page) -> None:
    """Enter opens it on its first line, arrows move, Escape and Tab close it, focus comes back."""
    ask(page, "Hello!")
    page.locator(".chats a").focus()
    page.keyboard.press("Tab")
    opener = page.get_by_role("button", name=re.compile("’ 메뉴"))
    expect(opener).to_be_focused()
    for close in ("Escape", "Tab"):
        page.keyboard.press("Enter")
        expect(page.get_by_role("menu")).to_be_visible()
        expect(page.get_by_role("menuitem", name="이름 바꾸기")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("menuitem", name="문서로 내보내기")).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("menuitem", name="삭제")).to_be_focused()
        page.keyboard.press(close)
        expect(page.get_by_role("menu")).to_have_count(0)
        opener.focus()
        expect(opener).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="이름 바꾸기")).to_be_visible()


def test_on_a_tablet_the_menu_of_a_conversation_can_be_seen(browser: Browser, group: Group) -> None:
    """Where nothing hovers, the button is there without hovering."""
    tablet = browser.new_context(
        locale="ko-KR",
        viewport={"width": 1180, "height": 820},
        is_mobile=True,
        has_touch=True,
        base_url=group.url,
    )
    tablet.set_default_timeout(PATIENCE_MS)
    page = tablet.new_page()
    page.goto("/chat/")
    page.locator("#message").fill("Hello!")
    page.get_by_role("button", name="보내기").tap()
    answered(page, 1)
    opener = page.get_by_role("button", name=re.compile("’ 메뉴"))
    expect(opener).to_have_css("opacity", "1")
    opener.tap()
    expect(page.get_by_role("menu")).to_be_visible()
    tablet.close()

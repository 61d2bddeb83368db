"""How the page looks and reads: accessibility, languages, themes, phone and keyboard.

Every view is drawn on a phone and a desktop, light and dark, and saved as a picture in the
session's temporary folder (`--basetemp` chooses it).
"""

from __future__ import annotations

import base64
import colorsys
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from chatbot_ai.cards.pictures import PNG_MAGIC
from support import card_samples as samples
from support.accessibility import check
from support.page_steps import (
    PATIENCE_MS,
    Api,
    Script,
    answered,
    done,
    events,
    refusing,
    say,
    watched,
)
from support.process_group import Group

OFFICE_ANSWER = """회의 내용을 **결정 사항**과 *할 일*로 나누었습니다.[1]

### 결정 사항
1. 신제품 공개는 **12월 3일**로 확정합니다.
2. 가격은 지난 분기와 같게 유지합니다.

| 할 일 | 담당 | 기한 |
|---|---|---:|
| 보도 자료 초안 | 김민서 | 11/26 |
| 매장 점검표 | 이도윤 | 11/28 |

남은 일정은 아래처럼 계산할 수 있습니다.

```python
from datetime import date

def days_left(today: date) -> int:
    return (date(2026, 12, 3) - today).days  # 공개일까지
```

> 이번 주 안에 `보도 자료` 검토를 마쳐야 합니다.
"""
CHARACTER_ANSWER = """*책장을 덮고 창밖을 바라본다.* "비가 그칠 것 같진 않네요, 민아님."

*따뜻한 찻잔을 두 손으로 감싸며* "조금만 더 있다 가세요. 마침 새로 들어온 책이 있거든요.
바다를 건너간 우편배달부 이야기인데… **첫 문장**이 참 좋아요."
"""
SOURCES = [{"n": 1, "title": "11월 4주차 회의록", "url": "https://wiki.example.com/1122"}]
CAST = [
    ("서연", '*고개를 든다* "어서 오세요. 비가 많이 오죠?"', 0.55),
    ("하늘", "왔구나! 오늘은 어디부터 갈까?", 0.58),
    ("Rachel", "Hey, you made it. Coffee first, questions later?", 0.03),
    ("도현 선배", "또 야근이야? 저녁은 먹었고?", 0.1),
]

Width = Literal["phone", "desktop"]
Theme = Literal["light", "dark"]


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> Theme:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["desktop", "phone"])
def width(request: pytest.FixtureRequest) -> Width:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def view(browser: Browser, group: Group, width: Width, theme: Theme) -> Iterator[Page]:
    """The page in one of the four combinations."""
    size = {"width": 390, "height": 844} if width == "phone" else {"width": 1360, "height": 860}
    context = browser.new_context(
        locale="ko-KR",
        color_scheme=theme,
        viewport=size,  # type: ignore[arg-type]
        device_scale_factor=2 if width == "phone" else 1,
        is_mobile=width == "phone",
        has_touch=width == "phone",
        reduced_motion="reduce",
        base_url=group.url,
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems = watched(page)
    page.goto("/chat/")
    page.wait_for_selector("#message")
    yield page
    context.close()
    assert problems == []


def portrait(hue: float) -> bytes:
    """A picture with some shape in it: a head and shoulders before a soft ground."""
    width, height = 240, 320
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            light = 0.86 - 0.3 * y / height
            shade = (hue, 0.22, light)
            if (x - 120) ** 2 + (y - 130) ** 2 < 58**2:
                shade = (hue + 0.45, 0.3, 0.82)
            elif ((x - 120) / 100) ** 2 + ((y - 330) / 130) ** 2 < 1:
                shade = (hue, 0.45, 0.45)
            red, green, blue = colorsys.hls_to_rgb(shade[0] % 1, shade[2], shade[1])
            rows += bytes((int(red * 255), int(green * 255), int(blue * 255)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        PNG_MAGIC
        + samples.encoded(b"IHDR", header)
        + samples.encoded(b"IDAT", zlib.compress(bytes(rows)))
        + samples.encoded(b"IEND", b"")
    )


def inspect(page: Page, name: str, folder: Path, width: str, theme: str) -> None:
    """Save a picture and ask axe; nothing serious may be found, nothing may stick out."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(350)
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"{name}-{width}-{theme}.png")
    check(page)


def test_every_view_is_accessible_in_every_form(
    view: Page, group: Group, width: Width, theme: Theme, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """axe finds nothing serious and nothing sticks out of the window, in seven views."""
    folder = tmp_path_factory.getbasetemp() / "pictures"

    def look(name: str) -> None:
        inspect(view, name, folder, width, theme)

    look("empty")
    script = Script(
        OFFICE_ANSWER,
        before=[("sources", {"sources": SOURCES, "warnings": []})],
        last=done(sources=SOURCES),
    ).on(view)
    view.get_by_role("switch").click()
    ask = "오늘 회의록을 결정 사항과 할 일로 나누어 정리하고, 공개일까지 며칠 남았는지도 알려 줘."
    say_and_send(view, ask)
    answered(view, 1)
    expect(view.locator(".hl-keyword").first).to_be_attached()
    look("office")

    api = Api(view, group.url)
    made = []
    for name, greeting, hue in CAST:
        body: dict[str, Any] = {"name": name, "greeting": greeting, "context": "…"}
        body["alternate_greetings"] = ["오랜만이네요.", "*손을 흔든다*"]
        if name != "도현 선배":
            body["picture"] = base64.b64encode(portrait(hue)).decode()
        made.append(api.call("POST", "/character/characters", json=body).json()["id"])
    view.goto("/chat/#/characters")
    expect(view.locator(".tile img")).to_have_count(3)
    look("gallery")
    view.goto(f"/chat/#/characters/{made[0]}")
    expect(view.locator("img.poster")).to_be_visible()
    look("character")
    view.goto(f"/chat/#/characters/{made[0]}/edit")
    expect(view.locator("img.poster")).to_be_visible()
    look("form")
    view.goto(f"/chat/#/characters/{made[0]}")
    view.get_by_role("button", name="대화 시작").click()
    expect(view.locator(".opening img")).to_be_visible()
    script.text, script.before, script.last = CHARACTER_ANSWER, [], done()
    script.sent.clear()
    say_and_send(view, "조금만 쉬었다 가도 될까요?")
    answered(view, 1)
    look("talk")
    if width == "phone":
        view.get_by_role("button", name="메뉴 열기").click()
        view.wait_for_timeout(300)
        look("menu")
    view.get_by_role("button", name="설정").click()
    look("settings")


WORDS = {
    "ko-KR": ("메뉴", "삭제", "취소", "수정 후 다시 보내기", "설정"),
    "en-GB": ("Menu for", "Delete", "Cancel", "Edit and resend", "Settings"),
}


@pytest.mark.parametrize(("language", "scheme"), [("ko-KR", "light"), ("en-GB", "dark")])
def test_passing_views_are_accessible_in_both_languages(
    browser: Browser, group: Group, language: str, scheme: Theme
) -> None:
    """Those that come and go: an open menu, questions, an error, the queue, a running answer."""
    context = browser.new_context(
        locale=language,
        color_scheme=scheme,
        viewport={"width": 1280, "height": 800},
        reduced_motion="reduce",
        base_url=group.url,
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/chat/")
    page.wait_for_selector("#message")
    check(page)
    pass_by(page, WORDS[language])
    context.close()


def pass_by(page: Page, words: tuple[str, ...]) -> None:
    """Visit and check each of the passing views."""
    more, delete, cancel, edit, settings = words
    say(page, "Hello!")
    answered(page, 1)
    check(page)
    page.get_by_role("button", name=re.compile(more)).click()
    expect(page.get_by_role("menu")).to_be_visible()
    check(page)
    page.get_by_role("menuitem", name=delete).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page)
    page.get_by_role("dialog").get_by_role("button", name=cancel).click()
    page.get_by_role("button", name=edit).click()
    check(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=settings, exact=True).click()
    check(page)
    page.keyboard.press("Escape")

    queued = ("queued", {"position": 2, "wait_s": 12})
    delta = ("delta", {"text": "One, *two*,\n\n```python\nprint(3)\n```"})
    for begun in ([queued], [queued, delta]):
        # a stream that neither goes on nor ends, as between two words
        page.evaluate(HOLD, events(*begun))
        say(page, "And now?")
        page.locator('[data-state="queued"]' if len(begun) == 1 else ".live .prose").wait_for()
        check(page)
        page.reload()
        page.wait_for_selector("#message")
    refused = {"code": "busy", "message": "Busy.", "retry_after_s": 30}
    page.route("**/Llama", refusing(1, 503, refused))
    say(page, "And now?")
    expect(page.get_by_role("alert")).to_be_visible()
    check(page)
    for place in ("#/characters", "#/characters/new"):
        page.goto(f"/chat/{place}")
        page.locator(".page h1").wait_for()
        check(page)


#: The next message's answer begins as given and stays open.
HOLD = """(text) => {
  const real = window.fetch;
  window.fetch = (url, options) => {
    if (!String(url).endsWith('/Llama')) return real(url, options);
    window.fetch = real;
    const body = new ReadableStream({
      start(controller) { controller.enqueue(new TextEncoder().encode(text)); },
    });
    return Promise.resolve(new Response(body, {headers: {'Content-Type': 'text/event-stream'}}));
  };
}"""


def say_and_send(page: Page, text: str) -> None:
    """Write and press the button, as on a phone."""
    page.locator("#message").fill(text)
    page.get_by_role("button", name="보내기").click()


def test_language_and_theme_are_chosen_and_kept(page: Page) -> None:
    """English and dark show at once, in this tab and after a reload."""
    page.get_by_role("button", name="설정").click()
    page.get_by_text("English").click()
    dialog = page.get_by_role("dialog", name="Settings")
    dialog.get_by_text("Dark").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="What can I help with?")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="What can I help with?")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("html").get_attribute("data-theme") == "dark"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in ground[4:-1].split(",")) < 150


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    """From the top: skip to the field, talk, open the conversation's menu and close it."""
    Script("네.").on(page)
    page.locator(".brand").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    answered(page, 1)
    expect(page.locator("#message")).to_be_focused()
    focus = "() => getComputedStyle(document.activeElement).outlineStyle"
    page.keyboard.press("Tab")
    expect(page.get_by_role("switch")).to_be_focused()
    assert page.evaluate(focus) == "solid"


def test_a_screen_reader_hears_the_whole_answer_once(page: Page) -> None:
    """The live region says that an answer is under way, then the answer as a whole."""
    Script("준비되었습니다.").on(page)
    region = page.locator(".column [aria-live]")
    page.evaluate(
        """() => {
          window.heard = [];
          const region = document.querySelector('.column [aria-live]');
          new MutationObserver(() => heard.push(region.textContent))
            .observe(region, {childList: true, characterData: true, subtree: true});
        }"""
    )
    say(page, "안녕")
    answered(page, 1)
    expect(region).to_have_text("준비되었습니다.")
    # an empty region says nothing
    heard = [text for text in page.evaluate("window.heard") if text]
    assert heard.count("준비되었습니다.") == 1
    assert len(heard) <= 3


def test_the_drawer_of_a_phone_opens_and_closes(phone: Page) -> None:
    """The menu is out of reach until it is opened; Escape and choosing close it."""
    menu = phone.get_by_role("navigation")
    expect(menu).to_be_hidden()
    phone.get_by_role("button", name="메뉴 열기").tap()
    expect(menu).to_be_visible()
    phone.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    phone.get_by_role("button", name="메뉴 열기").tap()
    menu.get_by_role("link", name="캐릭터").tap()
    expect(menu).to_be_hidden()
    expect(phone.get_by_role("heading", name="캐릭터", exact=True)).to_be_visible()

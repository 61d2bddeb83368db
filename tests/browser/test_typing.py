"""Enter while Korean is being composed: sent once, whole, never twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from support.page_steps import Script, answered, say

#: Plays events on the message field; `set` changes its text as an input method does.
PLAY = """async (steps) => {
  const field = document.getElementById('message');
  field.focus();
  const setter = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
  for (const [kind, data] of steps) {
    if (kind === 'set') {
      setter.call(field, data);
      field.dispatchEvent(new InputEvent('input', {bubbles: true}));
    } else if (kind.startsWith('composition')) {
      field.dispatchEvent(new CompositionEvent(kind, {data, bubbles: true}));
    } else if (kind === 'wait') {
      await new Promise((resolve) => setTimeout(resolve, data));
    } else {
      const event = new KeyboardEvent(kind, {bubbles: true, cancelable: true, ...data});
      Object.defineProperty(event, 'keyCode', {value: data.keyCode});
      field.dispatchEvent(event);
    }
  }
}"""
COMPOSING_ENTER = ("keydown", {"key": "Enter", "keyCode": 229, "isComposing": True})
LATE_ENTER = ("keydown", {"key": "Enter", "keyCode": 229, "isComposing": False})
#: Chrome on Windows: the input method has the key, its place tells which one it was.
PROCESS = {"key": "Process", "keyCode": 229, "isComposing": True}
PROCESS_ENTER = ("keydown", PROCESS | {"code": "Enter"})
PROCESS_NUMPAD = ("keydown", PROCESS | {"code": "NumpadEnter"})
ENTER = ("keydown", {"key": "Enter", "keyCode": 13})
COMPOSED = [
    ("set", "안녕하세"),
    ("compositionstart", ""),
    ("compositionupdate", "요"),
    ("set", "안녕하세요"),
]

SEQUENCES = {
    "Enter belongs to the composition": [
        *COMPOSED,
        COMPOSING_ENTER,
        ("compositionend", "요"),
    ],
    "Enter comes twice": [*COMPOSED, COMPOSING_ENTER, ("compositionend", "요"), ENTER],
    "Enter comes twice, the second later": [
        *COMPOSED,
        COMPOSING_ENTER,
        ("compositionend", "요"),
        ("wait", 40),
        ENTER,
    ],
    "the composition ends before its Enter": [*COMPOSED, ("compositionend", "요"), LATE_ENTER],
    "the last syllable arrives with the end": [
        ("set", "안녕하세"),
        ("compositionstart", ""),
        ("compositionupdate", "요"),
        COMPOSING_ENTER,
        ("compositionend", "요"),
        ("set", "안녕하세요"),
    ],
    "Chrome on Windows": [*COMPOSED, PROCESS_ENTER, ("compositionend", "요"), ENTER],
    "Chrome on Windows, the Enter once": [*COMPOSED, PROCESS_ENTER, ("compositionend", "요")],
    "the number pad's Enter": [*COMPOSED, PROCESS_NUMPAD, ("compositionend", "요")],
    "a syllable's key before it": [
        *COMPOSED,
        ("keydown", PROCESS | {"code": "KeyD"}),
        PROCESS_ENTER,
        ("compositionend", "요"),
    ],
    "no composition": [("set", "안녕하세요"), ENTER],
    "two presses of Enter": [("set", "안녕하세요"), ENTER, ENTER],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_enter_sends_once_and_whole(page: Page, name: str) -> None:
    """However the browser orders its events, one message with the last syllable goes out."""
    script = Script().on(page)
    page.evaluate(PLAY, SEQUENCES[name])
    answered(page, 1)
    page.wait_for_timeout(200)
    assert [body["input_data"] for body in script.sent] == ["안녕하세요"]
    expect(page.locator("#message")).to_have_value("")


def test_enter_that_chooses_a_candidate_does_not_send(page: Page) -> None:
    """A composition that ends in no Hangul (Hanja, Japanese) keeps the text in the field."""
    script = Script().on(page)
    steps = [
        ("compositionstart", ""),
        ("compositionupdate", "漢"),
        ("set", "漢字"),
        COMPOSING_ENTER,
        ("compositionend", "漢字"),
        ("wait", 200),
    ]
    page.evaluate(PLAY, steps)
    expect(page.locator("#message")).to_have_value("漢字")
    assert script.sent == []


@pytest.mark.parametrize("kind", ["Process", "Enter"])
def test_shift_enter_in_a_composition_does_not_send(page: Page, kind: str) -> None:
    """It ends the syllable and makes a line, which is the browser's own doing; nothing goes."""
    script = Script().on(page)
    key = {"key": kind, "code": "Enter", "keyCode": 229, "isComposing": True, "shiftKey": True}
    after = {"key": "Enter", "code": "Enter", "keyCode": 13, "shiftKey": True}
    steps = [
        *COMPOSED,
        ("keydown", {"key": "Shift", "code": "ShiftLeft", "keyCode": 16, "shiftKey": True}),
        ("keydown", key),
        ("compositionend", "요"),
        ("keydown", after),
        ("set", "안녕하세요\n"),
        ("wait", 200),
    ]
    page.evaluate(PLAY, steps)
    expect(page.locator("#message")).to_have_value("안녕하세요\n")
    assert script.sent == []
    page.keyboard.type("둘째 줄")
    page.keyboard.press("Enter")
    answered(page, 1)
    assert [body["input_data"] for body in script.sent] == ["안녕하세요\n둘째 줄"]


def test_the_browsers_own_input_method_sends_once(page: Page) -> None:
    """Chromium composes by itself: the syllable is committed, then the message goes."""
    script = Script().on(page)
    page.locator("#message").focus()
    wire = page.context.new_cdp_session(page)
    for syllable in ("ㅎ", "하", "한"):
        compose = {"text": syllable, "selectionStart": 1, "selectionEnd": 1}
        wire.send("Input.imeSetComposition", compose)
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    wire.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
    wire.send("Input.insertText", {"text": "한"})
    wire.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})
    answered(page, 1)
    assert [body["input_data"] for body in script.sent] == ["한"]


def test_shift_enter_makes_a_line(page: Page) -> None:
    """Shift+Enter stays in the field; the lines go out together."""
    script = Script().on(page)
    field = page.locator("#message")
    field.fill("첫 줄")
    field.press("Shift+Enter")
    field.press_sequentially("둘째 줄")
    field.press("Enter")
    answered(page, 1)
    assert [body["input_data"] for body in script.sent] == ["첫 줄\n둘째 줄"]


def test_nothing_is_sent_while_an_answer_is_under_way(page: Page) -> None:
    """A second Enter during an answer leaves the text in the field."""
    sent: list[Route] = []

    def keep(route: Route) -> None:  # Playwright marks its handlers, which a built-in one forbids
        sent.append(route)

    page.route("**/Llama", keep)
    say(page, "하나")
    expect(page.locator(".send.stop")).to_be_visible()
    say(page, "둘")
    page.wait_for_timeout(200)
    expect(page.locator("#message")).to_have_value("둘")
    assert len(sent) == 1
    sent[0].abort()


def test_a_message_that_is_too_long_is_counted_and_held_back(page: Page) -> None:
    """501 characters are named and not sent; 500 syllables are."""
    script = Script().on(page)
    say(page, "가" * 501)
    note = "한 번에 500자까지 보낼 수 있습니다 (현재 501자)"
    expect(page.locator("#composer-note")).to_have_text(note)
    expect(page.get_by_role("button", name="보내기")).to_be_disabled()
    assert script.sent == []
    say(page, "가" * 500)
    answered(page, 1)
    assert len(script.sent[0]["input_data"]) == 500


def test_on_a_phone_enter_makes_a_line(phone: Page) -> None:
    """Where the pointer is a finger, only the button sends."""
    script = Script().on(phone)
    say(phone, "한 줄")
    phone.wait_for_timeout(200)
    assert script.sent == []
    phone.get_by_role("button", name="보내기").tap()
    answered(phone, 1)
    assert len(script.sent) == 1

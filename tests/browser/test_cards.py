"""Cards of other tools through the page: brought, edited, dropped, refused, searched, continued."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chatbot_ai.cards import read_card
from support import card_samples as samples
from support.page_steps import Api, answered, bring, place_of, saved, say
from support.process_group import Group

#: A drop of files, as a file manager makes it.
DROP = """async ([selector, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (mark) => mark.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  const target = document.querySelector(selector);
  const left = [];
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    const event = new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: transfer});
    target.dispatchEvent(event);
    left.push(!event.defaultPrevented);
  }
  return left.slice(1);
}"""


def open_card(page: Page, name: str) -> None:
    page.locator(".tile", has_text=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("form", ["png", "json"])
def test_older_cards_come_in_and_go_out_byte_for_byte(
    page: Page, tmp_path: Path, kind: str, form: str
) -> None:
    """A V1 and a SillyTavern V2 card keep their version and every field they had."""
    card = samples.v1() if kind == "v1" else samples.sillytavern_v2()
    text = json.dumps(card, ensure_ascii=False)
    data = text.encode() if form == "json" else samples.png(samples.text_chunk("chara", card))
    name = card["name"]
    bring(page, f"card.{form}", data)
    open_card(page, name)
    back = saved(page, form.upper(), tmp_path)
    found = read_card(back).card
    assert json.loads(found.text) == card
    if form == "json":
        assert back == data


def test_a_renamed_v1_card_stays_v1(page: Page, tmp_path: Path) -> None:
    """The form sends what was edited and nothing else."""
    card = samples.v1()
    bring(page, "card.json", json.dumps(card, ensure_ascii=False).encode())
    open_card(page, card["name"])
    page.get_by_role("link", name="수정").click()
    page.get_by_label("이름", exact=True).fill("새 이름")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="저장").click()
    assert sent.value.post_data_json == {"name": "새 이름"}
    expect(page.get_by_role("heading", name="새 이름", exact=True)).to_be_visible()
    back = json.loads(saved(page, "JSON", tmp_path))
    assert back == card | {"name": "새 이름"}


def test_an_edited_card_keeps_what_the_form_does_not_know(page: Page, tmp_path: Path) -> None:
    """Context and a greeting are edited; lorebook, extensions and foreign keys are untouched."""
    card = samples.sillytavern_v2()
    bring(page, "card.png", samples.png(samples.text_chunk("chara", card)))
    open_card(page, card["name"])
    page.get_by_role("link", name="수정").click()
    page.get_by_label("설정", exact=False).last.fill("고친 설정")
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_role("heading", name=card["name"], exact=True)).to_be_visible()
    back = json.loads(read_card(saved(page, "PNG", tmp_path)).card.text)
    changed = {key for key in card["data"] if back["data"].get(key) != card["data"][key]}
    assert changed == {"description"}
    assert back["data"]["description"] == "고친 설정"
    assert back["data"].keys() == card["data"].keys()


def test_saving_without_a_change_sends_nothing(page: Page) -> None:
    """The card is not written anew for nothing."""
    card = samples.sillytavern_v2()
    bring(page, "card.json", json.dumps(card).encode())
    open_card(page, card["name"])
    page.get_by_role("link", name="수정").click()
    changes: list[str] = []
    page.on(
        "request", lambda request: changes.append(request.method) if is_change(request) else None
    )
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_role("heading", name=card["name"], exact=True)).to_be_visible()
    assert changes == []


def is_change(request: Any) -> bool:
    return bool(request.method != "GET")


@pytest.mark.parametrize("place", [".gallery", ".welcome h1"])
def test_a_dropped_card_is_imported_wherever_it_lands(page: Page, place: str) -> None:
    """In the gallery and beside it; the browser never leaves the page for the file."""
    if place == ".gallery":
        page.goto("/chat/#/characters")
    page.locator(place).wait_for()
    card = json.dumps(samples.v1(), ensure_ascii=False).encode()
    files = [["card.json", base64.b64encode(card).decode()], ["bad.svg", "PHN2Zz4="]]
    assert page.evaluate(DROP, [place, files]) == [False, False]
    expect(page.locator(".tile strong")).to_have_text(samples.v1()["name"])
    expect(page.get_by_role("alert")).to_contain_text("bad.svg")


def test_a_zip_bomb_is_refused_with_a_sentence(page: Page) -> None:
    """A small file that would become 200 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(samples.risuai_v3()))
        archive.writestr("assets/big.bin", bytes(200 << 20))
    assert len(buffer.getvalue()) < 1 << 20
    bring(page, "bomb.charx", buffer.getvalue())
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("bomb.charx")
    assert len(refusal.inner_text()) > 20
    expect(page.locator(".tile")).to_have_count(0)


def test_the_gallery_is_searched_and_so_are_conversations_by_character(
    page: Page, group: Group
) -> None:
    """By name and greeting; a conversation is named after its character and found by it."""
    api = Api(page, group.url)
    for name, greeting in (("하늘", "왔구나!"), ("바다", "어서 와요.")):
        api.call("POST", "/character/characters", json={"name": name, "greeting": greeting})
    page.goto("/chat/#/characters")
    names = page.locator(".tile strong")
    expect(names).to_have_count(2)
    field = page.get_by_role("searchbox", name="캐릭터 검색")
    field.fill("왔구")
    expect(names).to_have_text(["하늘"])
    field.fill("없음")
    expect(page.get_by_text("일치하는 캐릭터가 없습니다.")).to_be_visible()
    field.fill("바")
    page.locator(".tile").click()
    page.get_by_role("button", name="대화 시작").click()
    say(page, "Good morning!")
    answered(page, 1)
    titles = page.locator(".chats .title")
    expect(titles).to_have_text(["바다 · Good morning!"])
    chats = page.get_by_role("searchbox", name="대화 검색")
    chats.fill("하늘")
    expect(titles).to_have_count(0)
    chats.fill("바다")
    expect(titles).to_have_text(["바다 · Good morning!"])


def test_a_characters_answer_is_continued(page: Page, group: Group) -> None:
    """Continue appends to the last line of the role play, at the server too."""
    api = Api(page, group.url)
    made = api.call("POST", "/character/characters", json={"name": "하늘", "greeting": "왔구나!"})
    page.goto(f"/chat/#/characters/{made.json()['id']}")
    page.get_by_role("button", name="대화 시작").click()
    with page.expect_request("**/character/Llama") as sent:
        say(page, "Tell me a story.")
    # the server takes the whole card, its lorebook too
    assert sent.value.post_data_json is not None
    assert sent.value.post_data_json["character_id"] == made.json()["id"]
    answered(page, 1)
    (before,) = api.turns()
    with page.expect_response(re.compile("/continue")):
        page.get_by_role("button", name="이어서 쓰기").click()
    answered(page, 1)
    (after,) = api.turns()
    assert after["output"].startswith(before["output"])
    assert len(after["outputs"]) == 1
    assert place_of(page)[0] == "character"


def test_a_conversation_outlives_the_greeting_it_began_with(page: Page, group: Group) -> None:
    """The alternate greeting is taken out of the card: the talk goes on with the first one."""
    api = Api(page, group.url)
    fields = {"name": "하늘", "greeting": "첫째", "alternate_greetings": ["둘째"]}
    made = api.call("POST", "/character/characters", json=fields).json()["id"]
    page.goto(f"/chat/#/characters/{made}")
    page.get_by_role("group", name="첫인사 선택").get_by_text("2").click()
    page.get_by_role("button", name="대화 시작").click()
    expect(page.locator(".opening")).to_contain_text("둘째")
    say(page, "Hello!")
    answered(page, 1)
    api.call("PATCH", f"/character/characters/{made}", json={"alternate_greetings": []})
    page.reload()
    answered(page, 1)
    say(page, "Still there?")
    answered(page, 2)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_particles_fit_the_name(page: Page) -> None:
    """을 after a final consonant, 를 after a vowel: no 을(를) anywhere."""
    for name, sentence in (("하늘", "‘하늘’을 가져왔습니다."), ("바다", "‘바다’를 가져왔습니다.")):
        bring(page, "card.json", json.dumps(samples.v1() | {"name": name}).encode())
        expect(page.locator(".toast")).to_contain_text(sentence)


def test_a_nickname_is_what_the_greeting_says(page: Page) -> None:
    """V3: {{char}} is the nickname where the card has one."""
    card = {
        "spec": "chara_card_v3",
        "spec_version": "3.0",
        "data": {
            "name": "김하늘 (도서관)",
            "nickname": "하늘",
            "first_mes": "나는 {{char}}, 반가워.",
            "description": "사서",
        },
    }
    bring(page, "card.json", json.dumps(card).encode())
    page.locator(".tile").click()
    expect(page.locator(".greeting")).to_contain_text("나는 하늘, 반가워.")

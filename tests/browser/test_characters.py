"""The gallery, characters and their files."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chatbot_ai.cards import inspect_picture, read_card
from support import card_samples as samples
from support.page_steps import Api, answered, bring, place_of, saved, say
from support.process_group import Group

CARD = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": {
        "name": "서연",
        "description": "도서관 사서.",
        "first_mes": '*고개를 든다* "어서 오세요, {{user}}님."',
        "alternate_greetings": ["비가 오네요.", "문 닫을 시간이에요."],
        "group_only_greetings": [],
        "creator_notes": "<script>alert(1)</script> **노트**",
        "tags": ["도서관"],
        "extensions": {"other/tool": {"kept": [1, 2.50]}},
    },
}


def test_a_character_is_made_with_a_picture_that_becomes_a_small_png(
    page: Page, group: Group
) -> None:
    """Name, greetings and a large picture: the gallery shows it, the server has a PNG."""
    page.goto("/chat/#/characters")
    expect(page.get_by_role("heading", name="아직 캐릭터가 없습니다")).to_be_visible()
    page.get_by_role("link", name="새 캐릭터").click()
    page.get_by_label("이름", exact=True).fill("하늘")
    page.get_by_label("첫인사", exact=False).first.fill("왔구나, {{user}}!")
    page.get_by_role("button", name="첫인사 추가").click()
    page.get_by_label("다른 첫인사 1").fill("또 왔네?")
    page.get_by_label("설정", exact=False).last.fill("밝고 수다스러운 친구.")
    picture: Any = {"name": "wide.jpg", "mimeType": "image/jpeg", "buffer": photo(page)}
    page.get_by_label("이미지", exact=True).set_input_files(picture)
    expect(page.locator(".form-picture img")).to_be_visible()
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_role("heading", name="하늘")).to_be_visible()
    api = Api(page, group.url)
    (line,) = api.call("GET", "/character/characters").json()["characters"]
    stored = api.call("GET", f"/character/characters/{line['id']}/picture")
    found = inspect_picture(stored.content)
    assert (found.media_type, found.width, found.height) == ("image/png", 1024, 512)
    page.get_by_role("link", name="수정").click()
    page.get_by_label("이름", exact=True).fill("바다")
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_role("heading", name="바다")).to_be_visible()
    page.goto("/chat/#/characters")
    expect(page.locator(".tile strong")).to_have_text("바다")
    expect(page.locator(".tile img")).to_be_visible()


def photo(page: Page) -> bytes:
    """A JPEG of 2000 x 1000 pixels, as a camera would give it."""
    text = page.evaluate(
        """() => {
          const canvas = document.createElement('canvas');
          canvas.width = 2000; canvas.height = 1000;
          canvas.getContext('2d').fillRect(10, 10, 500, 500);
          return canvas.toDataURL('image/jpeg').split(',')[1];
        }"""
    )
    return base64.b64decode(text)


@pytest.mark.parametrize("kind", ["png", "json", "charx"])
def test_cards_come_in_and_go_out_in_every_format(page: Page, tmp_path: Path, kind: str) -> None:
    """What is exported holds the same data as what was imported, unknown fields included."""
    data = {
        "png": samples.png(samples.text_chunk("ccv3", CARD)),
        "json": json.dumps(CARD, ensure_ascii=False, indent=1).encode(),
        "charx": samples.charx(CARD),
    }[kind]
    bring(page, f"card.{kind}", data)
    page.locator(".tile", has_text="서연").click()
    expect(page.get_by_role("heading", name="서연")).to_be_visible()
    expect(page.locator(".creator-notes")).to_contain_text("<script>alert(1)</script>")
    for format in ("PNG", "JSON", "CHARX"):
        back = read_card(saved(page, format, tmp_path)).card
        kept = {key: back.data[key] for key in CARD["data"]}
        assert kept == CARD["data"]
    if kind == "json":
        assert saved(page, "JSON", tmp_path) == data


def test_a_card_whose_picture_is_no_png_is_exported_as_png_all_the_same(
    page: Page, tmp_path: Path
) -> None:
    """The page converts the picture of a CHARX card for the PNG file."""
    card = json.loads(json.dumps(CARD))
    icon = {"type": "icon", "uri": "embeded://assets/i.jpg", "name": "main", "ext": "jpg"}
    card["data"]["assets"] = [icon]
    bring(page, "card.charx", samples.charx(card, {"assets/i.jpg": photo(page)}))
    page.locator(".tile", has_text="서연").click()
    read = read_card(saved(page, "PNG", tmp_path))
    assert (read.format, read.media_type) == ("png", "image/png")


def test_a_greeting_is_chosen_and_the_talk_begins_with_it(page: Page, group: Group) -> None:
    """The chosen greeting opens the conversation; another can be flipped to until it begins."""
    bring(page, "card.json", json.dumps(CARD).encode())
    page.locator(".tile", has_text="서연").click()
    page.get_by_role("group", name="첫인사 선택").get_by_text("2").click()
    page.get_by_role("button", name="대화 시작").click()
    opening = page.locator(".opening")
    expect(opening).to_contain_text("비가 오네요.")
    opening.get_by_role("button", name="다음 첫인사").click()
    expect(opening).to_contain_text("문 닫을 시간이에요.")
    opening.get_by_role("button", name="이전 첫인사").click()
    opening.get_by_role("button", name="이전 첫인사").click()
    expect(opening.locator(".action")).to_have_text("고개를 든다")
    expect(opening.locator(".speech")).to_contain_text("어서 오세요")
    expect(page.get_by_label("서연에게 말하기")).to_be_focused()
    say(page, "Hello!")
    answered(page, 1)
    expect(page.locator(".speaker")).to_contain_text("서연")
    expect(opening.locator(".flipper")).to_have_count(0)
    assistant, db_id = place_of(page)
    assert (assistant, db_id[32:35]) == ("character", "-0-")
    page.locator(".by-assistant").last.get_by_role("button", name="답변 다시 생성").click()
    expect(answered(page, 1).locator(".flipper")).to_contain_text("2/2")
    (turn,) = Api(page, group.url).turns()
    assert (turn["input"], len(turn["outputs"])) == ("Hello!", 2)


def test_a_deleted_characters_conversation_can_still_be_read(page: Page) -> None:
    """The turns stay; the field says that it cannot go on."""
    bring(page, "card.json", json.dumps(CARD).encode())
    page.locator(".tile", has_text="서연").click()
    page.get_by_role("button", name="대화 시작").click()
    say(page, "Hello!")
    answered(page, 1)
    talk = page.url
    page.locator(".opening .who").click()
    page.get_by_role("button", name="삭제").click()
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(page).to_have_url(re.compile(r"#/characters$"))
    page.goto(talk)
    expect(page.locator(".bubble")).to_have_text("Hello!")
    expect(page.locator("#message")).to_be_disabled()


HOSTILE = {
    "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "cut.png": samples.png(samples.text_chunk("chara", samples.v1()))[:60],
    "path.charx": samples.charx(CARD, {"../../x": b"1"}),
    "huge.png": bytes(9 << 20),
}


def test_hostile_files_are_refused_with_a_sentence(page: Page) -> None:
    """Each bad file is named with what is wrong, and no character appears."""
    for name, data in HOSTILE.items():
        bring(page, name, data)
        refusal = page.get_by_role("alert")
        expect(refusal).to_contain_text(name)
        assert len(refusal.inner_text()) > len(name) + 10
    expect(page.locator(".tile")).to_have_count(0)


def test_a_card_full_of_markup_stays_text(page: Page) -> None:
    """Scripts in name, greeting and tags show as they are written."""
    card = json.loads(json.dumps(CARD))
    bad = "<img src=x onerror=alert(1)>"
    card["data"] |= {"name": bad, "first_mes": f"{bad} [x](javascript:alert(2))", "tags": [bad]}
    bring(page, "card.json", json.dumps(card).encode())
    expect(page.locator(".tile strong")).to_have_text(bad)
    page.locator(".tile").click()
    expect(page.locator(".greeting")).to_contain_text(bad)
    assert page.locator("main img, main a[href^='javascript']").count() == 0

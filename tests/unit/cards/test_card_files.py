"""Card files: PNG, CHARX and JSON, read and written, there and back."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any, get_args

import pytest

from chatbot_ai.cards import (
    CardError,
    CardFormat,
    CardLimits,
    CharacterCard,
    read_card,
    write_card,
)
from chatbot_ai.cards.errors import Notice, Reason
from chatbot_ai.cards.pictures import inspect_picture
from chatbot_ai.cards.png import read_png
from chatbot_ai.messages import read_table
from support import card_samples as samples

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>'


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def reason_of(data: bytes, limits: CardLimits | None = None) -> str:
    with pytest.raises(CardError) as caught:
        read_card(data, None, limits or CardLimits())
    return caught.value.reason


def notices(data: bytes, filename: str | None = None) -> list[str]:
    return [warning.notice for warning in read_card(data, filename).warnings]


def archive(build: Callable[[zipfile.ZipFile], object]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("card.json", text_of(samples.risuai_v3()))
        build(target)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "value", [samples.v1(), samples.sillytavern_v2(), samples.chub_v2(), samples.risuai_v3()]
)
def test_a_png_card_comes_back_byte_for_byte(value: dict[str, Any]) -> None:
    """Reading, writing and reading again gives the same text and the same picture."""
    keyword = "ccv3" if value.get("spec") == "chara_card_v3" else "chara"
    first = read_card(samples.png(samples.text_chunk(keyword, text_of(value))), "card.png")
    written = write_card(first.card, first.picture, "png", first.assets)
    again = read_card(written)
    assert again.card.text == first.card.text == text_of(value)
    assert again.picture == first.picture == samples.png()
    assert again.media_type == "image/png"


def test_writing_replaces_old_cards_and_leaves_the_picture_alone() -> None:
    """All chunks but the card's own stay, in their order; every CRC is right."""
    comment = samples.encoded(b"tEXt", b"parameters\0a prompt")
    old = samples.png(
        samples.text_chunk("Chara", samples.v1()),
        comment,
        samples.text_chunk("CCV3", samples.risuai_v3(), kind=b"iTXt"),
    )
    card = CharacterCard.new("하나", first_mes="안녕")
    written = write_card(card, old, "png")
    assert read_png(written).picture == samples.png(comment)
    assert read_card(written).card == card
    assert written.count(b"chara\0") == written.count(b"ccv3\0") == 1


def test_ccv3_is_preferred_and_chara_is_its_v2_copy() -> None:
    """A V3 card is written for old applications, too."""
    card = read_card(samples.charx(samples.risuai_v3(), samples.risuai_files())).card
    written = write_card(card, samples.png(), "png")
    assert read_card(written).card.version == 3
    only_v2 = written.replace(b"ccv3\0", b"none\0")
    end = only_v2.index(b"none\0") - 4
    length = int.from_bytes(only_v2[end - 4 : end], "big")
    body = only_v2[end + 4 : end + 4 + length]
    mended = only_v2[: end - 4] + samples.encoded(b"tEXt", body) + only_v2[end + 8 + length :]
    assert read_card(mended).card.version == 2


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("keyword", ["chara", "Chara", "CHARA"])
def test_any_text_chunk_and_any_case_of_the_keyword_will_do(kind: bytes, keyword: str) -> None:
    """Tools differ in the chunk they choose."""
    data = samples.png(samples.text_chunk(keyword, samples.v1(), kind=kind))
    assert read_card(data).card.name == "서연"


def test_base64_with_line_breaks_and_without_padding_is_read() -> None:
    """Two habits of real files."""
    chunk = samples.text_chunk("chara", text_of(samples.v1()) + " ")
    body = chunk[8:-4].rstrip(b"=")
    body = body[:100] + b"\r\n" + body[100:]
    assert read_card(samples.png(samples.encoded(b"tEXt", body))).card.name == "서연"


def test_legacy_assets_of_a_png_are_found_and_kept() -> None:
    """`__asset:` addresses point at chunks; they are written back as chunks."""
    value = samples.risuai_v3()
    value["data"]["assets"] = [
        {"type": "emotion", "uri": "__asset:0", "name": "joy", "ext": "webp"},
        {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"},
    ]
    chunk = samples.encoded(b"tEXt", b"chara-ext-asset_:0\0" + base64.b64encode(samples.webp()))
    first = read_card(samples.png(chunk, samples.text_chunk("ccv3", text_of(value))))
    assert [(a.path, a.media_type) for a in first.assets] == [("0", "image/webp")]
    again = read_card(write_card(first.card, first.picture, "png", first.assets))
    assert again.assets == first.assets
    assert again.card.text == text_of(value)


def test_a_charx_comes_back_with_all_its_files() -> None:
    """Card text, pictures and files of unknown kind survive; the icon is the picture."""
    first = read_card(samples.charx(samples.risuai_v3(), samples.risuai_files()), "a.charx")
    assert first.format == "charx"
    assert first.picture == samples.png()
    assert {asset.path: asset.media_type for asset in first.assets} == {
        "assets/icon/images/main.png": "image/png",
        "assets/emotion/images/joy.webp": "image/webp",
        "module.risum": None,
    }
    assert sorted(w.notice for w in first.warnings) == ["asset_missing", "asset_not_shown"]
    written = write_card(first.card, first.picture, "charx", first.assets)
    again = read_card(written)
    assert again.card.text == first.card.text
    assert again.assets == first.assets
    assert write_card(first.card, first.picture, "charx", first.assets) == written


@pytest.mark.parametrize("scheme", ["embeded://", "embedded://", "__asset:", "EMBEDED://"])
def test_every_spelling_of_an_inner_address_is_understood(scheme: str) -> None:
    """One d, two, or the older form."""
    value = samples.risuai_v3()
    value["data"]["assets"] = [
        {"type": "icon", "uri": f"{scheme}a.png", "name": "main", "ext": "png"}
    ]
    read = read_card(samples.charx(value, {"a.png": samples.png(width=9)}))
    assert read.picture == samples.png(width=9)
    assert read.warnings == ()


def test_an_archive_behind_a_jpeg_is_read_with_the_jpeg_as_picture() -> None:
    """One file that is a picture to a viewer and a card to an application."""
    value = samples.risuai_v3()
    del value["data"]["assets"]
    read = read_card(samples.charx(value, prefix=samples.jpeg()), "card.jpg")
    assert (read.format, read.media_type) == ("charx", "image/jpeg")
    assert read.picture == samples.jpeg()


def test_a_self_extracting_program_before_the_archive_is_dropped_and_told() -> None:
    """The program is never kept."""
    data = samples.charx(samples.risuai_v3(), samples.risuai_files(), prefix=b"MZ" + bytes(500))
    assert "bytes_dropped" in notices(data)
    assert read_card(data).card.name == "서연"


def test_cards_move_between_formats_with_their_pictures() -> None:
    """CHARX to PNG to CHARX to JSON: names, greetings, pictures and emotions stay."""
    first = read_card(samples.charx(samples.risuai_v3(), samples.risuai_files()))
    as_png = read_card(write_card(first.card, first.picture, "png", first.assets))
    assert as_png.assets == first.assets
    assert as_png.card.assets[1].uri == "__asset:assets/emotion/images/joy.webp"
    back = read_card(write_card(as_png.card, as_png.picture, "charx", as_png.assets))
    assert back.assets == first.assets
    assert back.picture == first.picture
    assert {k: v for k, v in back.card.data.items() if k != "assets"} == {
        k: v for k, v in first.card.data.items() if k != "assets"
    }
    as_json = read_card(write_card(back.card, back.picture, "json", back.assets))
    assert as_json.picture == first.picture
    assert as_json.card.assets[1].uri.startswith("data:image/webp;base64,")


@pytest.mark.parametrize("picture", [samples.jpeg(), samples.webp(), samples.gif()])
def test_a_picture_becomes_the_main_icon_of_a_charx(picture: bytes) -> None:
    """Also where an older card or another icon was."""
    v1 = CharacterCard.from_text(text_of(samples.v1()))
    assert read_card(write_card(v1, picture, "charx")).picture == picture
    first = read_card(samples.charx(samples.risuai_v3(), samples.risuai_files()))
    changed = read_card(write_card(first.card, picture, "charx", first.assets))
    assert changed.picture == picture
    assert "assets/icon/images/main.png" not in {asset.path for asset in changed.assets}
    assert changed.card.assets[1:] == first.card.assets[1:]


def test_a_card_without_a_picture_gets_a_plain_one() -> None:
    """A PNG card needs pixels."""
    written = write_card(CharacterCard.new("하나"), None, "png")
    picture = read_card(written).picture
    assert picture is not None
    assert inspect_picture(picture).media_type == "image/png"


def test_a_json_card_is_written_as_it_was_read() -> None:
    """Also with a byte-order mark before it, which is not written again."""
    text = text_of(samples.sillytavern_v2())
    read = read_card(b"\xef\xbb\xbf" + text.encode(), "card.json")
    assert (read.format, read.picture) == ("json", None)
    assert write_card(read.card, None, "json") == text.encode()


def test_the_file_name_is_compared_and_never_believed() -> None:
    """A JSON card named .png is read as JSON, and told."""
    assert notices(text_of(samples.v1()).encode(), "card.PNG") == ["extension_differs"]
    assert notices(text_of(samples.v1()).encode(), "card.txt") == []


@pytest.mark.parametrize("picture", [samples.jpeg(), samples.webp()])
def test_a_png_card_needs_a_png_picture(picture: bytes) -> None:
    """Nothing is converted behind the caller's back."""
    with pytest.raises(CardError) as caught:
        write_card(CharacterCard.new("하나"), picture, "png")
    assert caught.value.reason == "picture_not_png"


def test_every_reason_and_notice_has_its_sentence_in_both_languages() -> None:
    """No refusal leaves a person without words."""
    reasons = {f"error.{reason}" for reason in get_args(Reason)}
    assert set(read_table("cards")) == reasons | {f"warning.{one}" for one in get_args(Notice)}


@pytest.mark.parametrize("assets", [True, 7, "x", {}, {"a": {"type": "icon"}}, [None], None])
@pytest.mark.parametrize("form", ["png", "json", "charx"])
def test_a_card_with_odd_assets_is_written_in_every_format(
    form: CardFormat, assets: object
) -> None:
    """What cannot be read as assets takes nothing from the rest of the card."""
    value = samples.risuai_v3()
    value["data"]["assets"] = assets
    read = read_card(samples.png(samples.text_chunk("ccv3", value)))
    again = read_card(write_card(read.card, read.picture, form, read.assets))
    assert again.card.name == read.card.name
    assert again.card.description == read.card.description

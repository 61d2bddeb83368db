"""Files that are damaged or made to harm, and why each is refused."""

from __future__ import annotations

import io
import json
import stat
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import pytest

from chatbot_ai.cards import CardError, CardLimits, read_card
from chatbot_ai.cards.errors import Reason
from chatbot_ai.cards.jsoncard import decode_text
from chatbot_ai.cards.pictures import inspect_picture
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
    ("picture", "media_type", "size"),
    [
        (samples.png(width=9, height=2), "image/png", (9, 2)),
        (samples.jpeg(640, 480), "image/jpeg", (640, 480)),
        (samples.webp(100, 50), "image/webp", (100, 50)),
        (samples.gif(7, 8), "image/gif", (7, 8)),
    ],
)
def test_pictures_are_known_by_their_bytes(
    picture: bytes, media_type: str, size: tuple[int, int]
) -> None:
    """Type and size come from the headers."""
    found = inspect_picture(picture)
    assert (found.media_type, (found.width, found.height)) == (media_type, size)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (SVG, "picture_svg"),
        (b"\xef\xbb\xbf <svg onload=x()>", "picture_svg"),
        ('\ufeff<svg onload="x()"/>'.encode("utf-16-le"), "picture_svg"),
        (b"BM" + bytes(100), "picture_type"),
        (b"", "picture_type"),
        (samples.png(width=20_000), "picture_size"),
        (samples.png(width=0), "picture_size"),
        (samples.png(width=16_000, height=16_000), "picture_size"),
        (samples.jpeg(0, 5), "picture_size"),
        (samples.png() + b"<script>", "file_polyglot"),
        (samples.webp() + b"<script>", "file_polyglot"),
        (samples.jpeg() + samples.charx({}), "file_polyglot"),
        (samples.png()[:-12], "picture_damaged"),
        (samples.jpeg()[:-2], "picture_damaged"),
        (samples.gif()[:-1], "picture_damaged"),
        (samples.webp()[:-3], "picture_damaged"),
    ],
)
def test_other_pictures_are_refused(picture: bytes, reason: str) -> None:
    """Scripts, bombs, ruins and two files in one."""
    with pytest.raises(CardError) as caught:
        inspect_picture(picture)
    assert caught.value.reason == reason


PLAIN = samples.png(samples.text_chunk("chara", samples.v1()))
FLIPPED = bytearray(PLAIN)
TEXT_AT = PLAIN.index(b"tEXt")
# of the checksum behind the card
FLIPPED[TEXT_AT + 4 + int.from_bytes(PLAIN[TEXT_AT - 4 : TEXT_AT], "big")] ^= 1


@pytest.mark.parametrize("tail", [b"<script>", samples.charx(samples.v1())])
def test_what_is_attached_to_a_picture_is_left_behind(tail: bytes) -> None:
    """Neither what is stored nor what is exported holds it."""
    read = read_card(PLAIN + tail)
    assert read.card.name == samples.v1()["name"]
    assert read.picture == samples.png()
    assert [warning.notice for warning in read.warnings] == ["bytes_dropped"]


@pytest.mark.parametrize(
    ("data", "notice"),
    [(PLAIN[:-6], ""), (PLAIN[:-12], ""), (bytes(FLIPPED), "checksum_wrong")],
)
def test_a_card_in_a_damaged_picture_is_read(data: bytes, notice: str) -> None:
    """A checksum that is wrong or an end that is missing costs no card."""
    read = read_card(data)
    assert read.card.name
    assert read.picture == samples.png()
    assert not notice or notice in [warning.notice for warning in read.warnings]


def test_other_text_in_a_picture_does_not_keep_its_card_out() -> None:
    """A note that is damaged or inflates to 80 MB stays what it is: part of the picture."""
    notes = [
        samples.encoded(b"zTXt", b"note\0\0" + huge()),
        samples.encoded(b"iTXt", b"note\0\1\0"),
        samples.encoded(b"zTXt", b"note\0\0nonsense"),
    ]
    read = read_card(samples.png(*notes, samples.text_chunk("chara", samples.v1())))
    assert read.card.name == samples.v1()["name"]
    assert reason_of(samples.png(*notes)) == "card_missing"


@cache
def huge() -> bytes:
    """80 MB, compressed."""
    return zlib.compress(b"A" * (80 << 20), 9)


def bomb(kind: bytes) -> bytes:
    """A text chunk that inflates to 80 MB."""
    head = b"chara\0\0" if kind == b"zTXt" else b"chara\0\1\0\0\0"
    return samples.png(samples.encoded(kind, head + huge()))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "file_empty"),
        (b"hello", "format_unknown"),
        (SVG, "picture_svg"),
        (samples.png(), "card_missing"),
        (samples.jpeg(), "card_missing"),
        (samples.gif() + samples.charx(samples.v1()), "file_polyglot"),
        (PLAIN[:40], "card_missing"),
        (PLAIN[:33] + b"\xff\xff\xff\xff" + PLAIN[37:], "png_damaged"),
        (PLAIN[:33] + b"\x7f\xff\xff\xfftEXtchara\0", "png_damaged"),
        (samples.png(samples.text_chunk("chara", samples.v1()), width=1 << 31), "picture_size"),
        (samples.png(samples.encoded(b"tEXt", b"chara\0!!!!")), "base64_invalid"),
        (samples.png(samples.encoded(b"tEXt", b"chara\0/////w==")), "json_invalid"),
        (samples.png(samples.encoded(b"tEXt", b"chara\0")), "json_invalid"),
        (samples.png(samples.encoded(b"zTXt", b"chara\0\0nonsense")), "png_damaged"),
        (samples.png(samples.encoded(b"iTXt", b"chara\0\1\0")), "png_damaged"),
        (bomb(b"zTXt"), "inflated_too_large"),
        (bomb(b"iTXt"), "inflated_too_large"),
        (samples.png(*[samples.encoded(b"tEXt", b"")] * 70_000), "png_damaged"),
        (
            samples.png(
                samples.text_chunk("chara", samples.v1()),
                samples.encoded(b"tEXt", b"chara-ext-asset_:../x\0AAAA"),
            ),
            "path_unsafe",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_files_are_refused_with_their_reason(data: bytes, reason: str) -> None:
    """Truncated, lying, overgrown and double files."""
    assert reason_of(data) == reason


def test_a_few_empty_bytes_behind_a_png_are_dropped_and_told() -> None:
    """Some tools pad their files."""
    assert "bytes_dropped" in notices(PLAIN + bytes(10))


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a\\b",
        "C:/x",
        "a//b",
        "a/./b",
        "x\x01",
        "n" * 300,
        " ",
        "\u202ea",
    ],
)
def test_paths_that_lead_outside_are_refused(path: str) -> None:
    """The archive's names never become a way out."""
    assert reason_of(archive(lambda target: target.writestr(path, b"x"))) == "path_unsafe"


def test_a_nul_in_a_path_is_refused() -> None:
    """Libraries cut names at NUL; the whole name counts here."""
    data = archive(lambda target: target.writestr("a.png_b", b"x"))
    assert reason_of(data.replace(b"a.png_b", b"a.png\0b")) == "path_unsafe"


def test_two_files_of_one_name_are_refused() -> None:
    """Readers disagree on which one counts."""

    def build(target: zipfile.ZipFile) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr("card.json", b"{}")

    assert reason_of(archive(build)) == "path_repeated"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int) -> None:
    """Only files and folders belong in a card."""
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    data = archive(lambda target: target.writestr(info, b"/etc/passwd"))
    assert reason_of(data) == "path_link"


def write_all(target: zipfile.ZipFile, count: int, content: bytes) -> None:
    for number in range(count):
        target.writestr(str(number), content)


def test_bombs_are_stopped_while_they_inflate() -> None:
    """By ratio, by total and by the size of card.json."""
    dense = archive(lambda target: target.writestr("a.bin", bytes(40 << 20)))
    assert reason_of(dense) == "inflated_too_large"
    limits = CardLimits(inflated_bytes=3 << 20, inflate_ratio=10_000)
    several = archive(lambda target: write_all(target, 4, bytes(1 << 20)))
    assert reason_of(several, limits) == "inflated_too_large"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("card.json", b" " * (9 << 20))
    assert reason_of(buffer.getvalue()) == "inflated_too_large"


def test_a_declared_size_that_lies_does_not_help_a_bomb() -> None:
    """What is counted is what comes out."""
    data = bytearray(archive(lambda target: target.writestr("a.bin", bytes(30 << 20))))
    true_size = (30 << 20).to_bytes(4, "little")
    assert data.count(true_size) == 2
    assert reason_of(bytes(data.replace(true_size, (10).to_bytes(4, "little")))) in {
        "zip_damaged",
        "inflated_too_large",
    }


def test_too_many_files_other_methods_and_passwords_are_refused() -> None:
    """Each with its own reason."""
    many = archive(lambda target: write_all(target, 600, b""))
    assert reason_of(many) == "files_too_many"
    lzma = archive(lambda target: target.writestr("a", b"x" * 99, zipfile.ZIP_LZMA))
    assert reason_of(lzma) == "zip_method"
    data = bytearray(archive(lambda _: None))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert reason_of(bytes(data)) == "zip_encrypted"


def test_a_damaged_or_foreign_archive_is_refused() -> None:
    """Cut off, altered, or without card.json."""
    data = archive(lambda _: None)
    assert reason_of(data[: len(data) // 2]) == "zip_damaged"
    altered = bytearray(data)
    altered[60] ^= 0xFF
    assert reason_of(bytes(altered)) in {"zip_damaged", "json_invalid"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("folder/card.json", b"{}")
    assert reason_of(buffer.getvalue()) == "not_a_character"


def test_an_archive_is_looked_into_for_a_number_of_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files it holds, no more than 16 are tried; a card behind them is not found."""
    tried: list[bytes] = []

    def note(data: bytes) -> str:
        tried.append(data)
        return decode_text(data)

    monkeypatch.setattr("chatbot_ai.cards.charx.decode_text", note)
    card = b'{"name":"Mina","first_mes":"hi"}'
    for before, reason in ((15, None), (16, "card_missing"), (100, "card_missing")):
        tried.clear()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for number in range(before):
                target.writestr(f"cards/{number:03}.json", b"{}")
            target.writestr("cards/zzz.json", card)
        if reason is None:
            assert read_card(buffer.getvalue()).card.name == "Mina"
        else:
            assert reason_of(buffer.getvalue()) == reason
        assert len(tried) == 16


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("나의 세계.json", "나의 세계"),
        (None, "Lorebook"),
        ("a\nb.json", "Lorebook"),
        (".json", "Lorebook"),
    ],
)
def test_a_lorebook_without_a_name_is_named_after_its_file(filename: str | None, name: str) -> None:
    """A book that has a name keeps it, and so does a character that is called Lorebook."""
    book = b'{"entries": {"0": {"uid": 0, "key": ["x"], "content": "y"}}}'
    assert read_card(book, filename).card.name == name
    named = b'{"name": "Isles", "entries": {"0": {"uid": 0, "key": ["x"], "content": "y"}}}'
    assert read_card(named, filename).card.name == "Isles"
    character = b'{"name": "Lorebook", "first_mes": "I am Lorebook."}'
    assert read_card(character, filename).card.name == "Lorebook"


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("assets/icon/images/main.png", SVG, "picture_svg"),
        ("assets/icon/images/main.png", b"<html>", "picture_type"),
        ("other/thing.svg", SVG, "picture_svg"),
        ("other/thing.bin", SVG, "picture_svg"),
        ("other/thing.png", b"text", "picture_type"),
    ],
)
def test_files_that_pose_as_pictures_are_refused(path: str, content: bytes, reason: str) -> None:
    """Whether or not the card names them."""
    assert reason_of(samples.charx(samples.risuai_v3(), {path: content})) == reason


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("data:image/svg+xml;base64,PHN2Zz4=", "picture_svg"),
        ("data:image/svg+xml,<svg>", "picture_svg"),
        ("data:image/png;base64,PHN2Zz4=", "picture_svg"),
        ("data:image/png;base64,AAAA", "picture_type"),
        ("data:image/png;base64,???", "base64_invalid"),
        ("https://example.org/a.png", "asset_remote"),
        ("javascript:alert(1)", "asset_uri"),
        ("file:///etc/passwd", "asset_uri"),
        ("embeded://../../etc/passwd", "asset_missing"),
    ],
)
def test_addresses_of_assets_are_looked_at_and_never_followed(uri: str, expected: str) -> None:
    """Bad content is refused, foreign addresses are told."""
    value = samples.risuai_v3()
    value["data"]["assets"] = [{"type": "icon", "uri": uri, "name": "main", "ext": "png"}]
    data = text_of(value).encode()
    if expected in get_args(Reason):
        assert reason_of(data) == expected
    else:
        assert notices(data) == [expected]


def test_a_file_over_the_limit_is_refused_before_it_is_read() -> None:
    """The limit is the caller's."""
    assert reason_of(PLAIN, CardLimits(file_bytes=100)) == "file_too_large"

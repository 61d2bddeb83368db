"""What a person is told about a card, in Korean and English, by reason or notice.

`{…}` are the params of the CardError or CardWarning.
"""

from __future__ import annotations

from typing import NamedTuple

from chatbot_ai.cards.errors import Notice, Reason


class Sentence(NamedTuple):
    """One message in both languages."""

    ko: str
    en: str


CARD_ERRORS: dict[Reason, Sentence] = {
    "base64_invalid": Sentence(
        "카드 데이터가 손상되어 읽을 수 없습니다. 원본 파일을 다시 받아 주세요.",
        "The card's data is damaged. Please get the original file again.",
    ),
    "card_missing": Sentence(
        "이 파일에는 캐릭터 카드가 들어 있지 않습니다.",
        "There is no character card in this file.",
    ),
    "characters_too_many": Sentence(
        "캐릭터는 {limit}명까지 둘 수 있습니다. 쓰지 않는 캐릭터를 지우고 다시 해 주세요.",
        "You can keep up to {limit} characters. Delete some and try again.",
    ),
    "field_type": Sentence(
        "카드의 ‘{name}’ 항목 형식이 올바르지 않습니다.",
        "The card's field “{name}” has the wrong type.",
    ),
    "file_empty": Sentence("파일이 비어 있습니다.", "The file is empty."),
    "file_polyglot": Sentence(
        "이미지 뒤에 다른 데이터가 붙어 있어 받을 수 없습니다.",
        "Something else is attached to the picture, so the file was refused.",
    ),
    "file_too_large": Sentence(
        "카드가 너무 큽니다. {limit_mib} MiB까지 받을 수 있습니다.",
        "The card is too large. Up to {limit_mib} MiB is accepted.",
    ),
    "format_unknown": Sentence(
        "PNG, JSON, CHARX 캐릭터 카드만 불러올 수 있습니다.",
        "Only PNG, JSON and CHARX character cards can be imported.",
    ),
    "greeting_missing": Sentence(
        "{index}번 첫인사가 이 카드에 없습니다.",
        "This card has no greeting number {index}.",
    ),
    "json_invalid": Sentence(
        "카드의 JSON을 읽을 수 없습니다.",
        "The card's JSON cannot be read.",
    ),
    "json_too_complex": Sentence(
        "카드의 구조가 지나치게 복잡합니다.",
        "The card's structure is too complex.",
    ),
    "lorebook_too_large": Sentence(
        "로어북이 너무 큽니다. 한도는 {limit}개입니다.",
        "The lorebook is too large; the limit is {limit}.",
    ),
    "name_missing": Sentence(
        "캐릭터에 이름이 없습니다. 이름을 적어 주세요.",
        "The character has no name. Please give it one.",
    ),
    "not_a_character": Sentence(
        "JSON 파일이지만 캐릭터 카드가 아닙니다.",
        "This is JSON, but not a character card.",
    ),
    "inflated_too_large": Sentence(
        "압축을 풀면 너무 커지는 파일이라 받을 수 없습니다.",
        "The file grows too large when unpacked, so it was refused.",
    ),
    "files_too_many": Sentence(
        "카드에 든 파일이 너무 많습니다. {limit}개까지 받을 수 있습니다.",
        "The card holds too many files. Up to {limit} are accepted.",
    ),
    "path_link": Sentence(
        "카드 안에 링크 파일이 있어 받을 수 없습니다: {path}",
        "The card contains a link, so it was refused: {path}",
    ),
    "path_repeated": Sentence(
        "카드 안에 같은 이름의 파일이 두 번 있습니다: {path}",
        "The card contains two files of the same name: {path}",
    ),
    "path_unsafe": Sentence(
        "카드 안의 파일 이름이 안전하지 않습니다: {path}",
        "The card contains a file with an unsafe name: {path}",
    ),
    "picture_damaged": Sentence(
        "이미지 파일이 손상되었습니다.",
        "The picture is damaged.",
    ),
    "picture_not_png": Sentence(
        "PNG로 내보내려면 이미지가 PNG여야 합니다. CHARX로 내보내거나 이미지를 바꿔 주세요.",
        "To export a PNG card the picture must be a PNG. Export CHARX, or change the picture.",
    ),
    "picture_size": Sentence(
        "이미지 크기를 받을 수 없습니다: {width}×{height}",
        "The picture's size is not accepted: {width}×{height}",
    ),
    "picture_svg": Sentence(
        "SVG 이미지는 스크립트를 담을 수 있어 받지 않습니다. PNG, JPEG, WebP, GIF로 바꿔 주세요.",
        "SVG pictures can carry scripts and are not accepted. Use PNG, JPEG, WebP or GIF.",
    ),
    "picture_type": Sentence(
        "이미지는 PNG, JPEG, WebP, GIF만 받을 수 있습니다.",
        "Pictures must be PNG, JPEG, WebP or GIF.",
    ),
    "png_damaged": Sentence(
        "PNG 파일이 손상되었거나 끝까지 받아지지 않았습니다.",
        "The PNG file is damaged or incomplete.",
    ),
    "text_encoding": Sentence(
        "카드의 글자가 올바른 UTF-8이 아닙니다.",
        "The card's text is not valid UTF-8.",
    ),
    "text_too_long": Sentence(
        "매크로를 풀면 글이 너무 길어집니다.",
        "The text becomes too long once its macros are replaced.",
    ),
    "zip_damaged": Sentence(
        "CHARX 파일이 손상되었거나 끝까지 받아지지 않았습니다.",
        "The CHARX file is damaged or incomplete.",
    ),
    "zip_encrypted": Sentence(
        "암호가 걸린 CHARX 파일은 불러올 수 없습니다.",
        "An encrypted CHARX file cannot be imported.",
    ),
    "zip_method": Sentence(
        "지원하지 않는 압축 방식입니다: {path}",
        "The compression method is not supported: {path}",
    ),
}

CARD_WARNINGS: dict[Notice, Sentence] = {
    "asset_missing": Sentence(
        "카드가 말하는 파일이 안에 없습니다: {path}",
        "A file that the card names is not in it: {path}",
    ),
    "asset_not_shown": Sentence(
        "이 파일은 보여 주지는 않지만 내보낼 때 그대로 담습니다: {path}",
        "This file is not shown here, but kept for export: {path}",
    ),
    "asset_remote": Sentence(
        "다른 서버에 있는 에셋은 불러오지 않습니다: {name}",
        "An asset on another server is not loaded: {name}",
    ),
    "asset_uri": Sentence(
        "주소를 알 수 없는 에셋은 쓰지 않습니다: {name}",
        "An asset with an unknown kind of address is not used: {name}",
    ),
    "bytes_dropped": Sentence(
        "카드가 아닌 데이터 {bytes}바이트를 버렸습니다.",
        "{bytes} bytes that are not part of the card were dropped.",
    ),
    "card_repeated": Sentence(
        "파일에 카드가 여러 번 들어 있어 첫 번째를 읽었습니다.",
        "The file holds the card several times; the first was read.",
    ),
    "extension_differs": Sentence(
        "파일 이름과 달리 내용은 {format}입니다.",
        "Unlike its name, the file is {format}.",
    ),
    "name_empty": Sentence(
        "캐릭터에 이름이 없습니다. 대화하기 전에 적어 주세요.",
        "The character has no name. Give it one before you chat.",
    ),
    "spec_newer": Sentence(
        "더 새로운 규격({version})의 카드라 일부가 쓰이지 않을 수 있습니다.",
        "The card follows a newer specification ({version}); parts may go unused.",
    ),
    "spec_unclear": Sentence(
        "카드의 규격 표시가 올바르지 않지만 읽을 수 있는 만큼 읽었습니다.",
        "The card's specification is unclear; it was read as far as possible.",
    ),
}

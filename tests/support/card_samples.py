"""Cards as well-known tools write them, built from the specifications' structure."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from typing import Any

from chatbot_ai.cards.pictures import PNG_MAGIC


def encoded(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png(*text_chunks: bytes, width: int = 4, height: int = 3, tail: bytes = b"") -> bytes:
    """A grey PNG with extra chunks before IDAT, a pHYs chunk and two IDAT chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(min(width, 64))) * min(height, 64))
    chunks = [
        encoded(b"IHDR", header),
        encoded(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1"),
        *text_chunks,
        encoded(b"IDAT", pixels[:5]),
        encoded(b"IDAT", pixels[5:]),
        encoded(b"IEND", b""),
    ]
    return PNG_MAGIC + b"".join(chunks) + tail


def text_chunk(keyword: str, card: Any, *, kind: bytes = b"tEXt") -> bytes:
    """A card in a text chunk; `card` is an object, or the JSON text itself."""
    text = card if isinstance(card, str) else json.dumps(card, ensure_ascii=False)
    payload = base64.b64encode(text.encode())
    name = keyword.encode("latin-1") + b"\0"
    if kind == b"zTXt":
        return encoded(kind, name + b"\0" + zlib.compress(payload))
    if kind == b"iTXt":
        return encoded(kind, name + b"\1\0ko\0\0" + zlib.compress(payload))
    return encoded(kind, name + payload)


def jpeg(width: int = 8, height: int = 6) -> bytes:
    """The headers of a JPEG, as far as anybody reads who does not decode it."""
    app0 = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
    return b"\xff\xd8" + app0 + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xaa\xff\xd9"


def gif(width: int = 2, height: int = 2) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0\x2c" + bytes(12) + b";"


def webp(width: int = 5, height: int = 7) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    body = b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", bits) + bytes(5)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def charx(card: Any, files: dict[str, bytes] | None = None, *, prefix: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps(card, ensure_ascii=False, indent=2))
        for path, content in (files or {}).items():
            archive.writestr(path, content)
    return prefix + buffer.getvalue()


def v1() -> dict[str, Any]:
    return {
        "name": "서연",
        "description": "{{char}}은(는) 도서관 사서이다. 책을 좋아한다.",
        "personality": "차분하고 다정하다",
        "scenario": "비 오는 날, {{user}}이(가) 도서관에 들어온다.",
        "first_mes": "*고개를 든다* 어서 오세요, {{user}}님.",
        "mes_example": "<START>\n{{user}}: 안녕\n{{char}}: 안녕하세요.\n<START>\n{{user}}: 책?",
    }


def sillytavern_v2() -> dict[str, Any]:
    """V1 fields beside `data`, chat state of the tool, and its own extensions."""
    data = v1() | {
        "creator_notes": "비밀 노트",
        "system_prompt": "",
        "post_history_instructions": "",
        "tags": ["korean", "library"],
        "creator": "somebody",
        "character_version": "1.2",
        "alternate_greetings": ["*책을 덮는다* 또 오셨네요."],
        "extensions": {
            "talkativeness": "0.5",
            "fav": False,
            "world": "",
            "depth_prompt": {"prompt": "책 이야기를 한다", "depth": 4, "role": "system"},
        },
        "group_only_greetings": [],
        "character_book": {
            "name": "도서관",
            "extensions": {},
            "entries": [
                {
                    "id": 0,
                    "keys": ["서고"],
                    "secondary_keys": [],
                    "comment": "",
                    "content": "지하 서고는 잠겨 있다.",
                    "constant": False,
                    "selective": True,
                    "insertion_order": 100,
                    "enabled": True,
                    "position": "before_char",
                    "use_regex": True,
                    "extensions": {"position": 0, "probability": 100, "depth": 4, "sticky": None},
                }
            ],
        },
    }
    return v1() | {
        "creatorcomment": "비밀 노트",
        "avatar": "none",
        "talkativeness": "0.5",
        "fav": False,
        "create_date": "2024-7-20 @12h 00m 00s 000ms",
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": data,
    }


def risuai_v3() -> dict[str, Any]:
    return {
        "spec": "chara_card_v3",
        "spec_version": "3.0",
        "data": {
            **v1(),
            "nickname": "연이",
            "creator_notes": "notes",
            "creator_notes_multilingual": {"ko": "한국어 노트", "en": "notes"},
            "system_prompt": "",
            "post_history_instructions": "",
            "alternate_greetings": ["둘째 인사", "셋째 인사"],
            "group_only_greetings": ["모두 안녕"],
            "tags": [],
            "creator": "",
            "character_version": "",
            "source": ["risuai:1234"],
            "creation_date": 1720000000,
            "modification_date": 1721000000.0,
            "assets": [
                {
                    "type": "icon",
                    "uri": "embeded://assets/icon/images/main.png",
                    "name": "main",
                    "ext": "png",
                },
                {
                    "type": "emotion",
                    "uri": "embeded://assets/emotion/images/joy.webp",
                    "name": "joy",
                    "ext": "webp",
                },
                {"type": "x-risu-asset", "uri": "__asset:9", "name": "bgm", "ext": "mp3"},
            ],
            "character_book": {
                "scan_depth": 5,
                "token_budget": 500,
                "recursive_scanning": False,
                "extensions": {"risu_fullWordMatching": False},
                "entries": [
                    {
                        "keys": ["열쇠"],
                        "content": "@@depth 2\n@@role assistant\n열쇠는 서연의 주머니에 있다.",
                        "extensions": {"risu_case_sensitive": False},
                        "enabled": True,
                        "insertion_order": 10,
                        "use_regex": False,
                        "mode": "normal",
                    }
                ],
            },
            "extensions": {
                "risuai": {
                    "bias": [],
                    "viewScreen": "none",
                    "customScripts": [],
                    "utilityBot": False,
                },
                "depth_prompt": {"depth": 0, "prompt": ""},
            },
            "futureField": {"numbers": [1, 2.50, 1e3], "nothing": None, "text": "é 한 \u2028"},
        },
        "unknownTop": [1, {"a": None}],
    }


def chub_v2() -> dict[str, Any]:
    """null where lists belong, and the gallery's own extensions."""
    return {
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {
            **v1(),
            "name": "Rachel",
            "creator_notes": "",
            "system_prompt": "Stay in character. {{original}}",
            "post_history_instructions": "Short answers.",
            "alternate_greetings": None,
            "tags": ["English"],
            "creator": "anonymous",
            "character_version": 1.5,
            "extensions": {
                "chub": {"id": 42, "full_path": "anonymous/rachel", "expressions": None},
                "fav": False,
            },
            "character_book": None,
        },
    }


def risuai_files() -> dict[str, bytes]:
    return {
        "assets/icon/images/main.png": png(),
        "assets/emotion/images/joy.webp": webp(),
        "module.risum": b"\x00\x01binary",
    }

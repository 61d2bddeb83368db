"""What one request of 1 MiB can do to a service, however it is made.

    python -m bench.worst_case [KIND ...] [--json FILE]

Each kind is a request, or a few, that was made to be dear: to normalise, to parse, to search, to
unpack, to wait for. They go to a real service of its own, whose engine only keeps a pace. Inside it
a heartbeat notes by how much the event loop was late. The machine may be busy with other things,
so of a delay no more counts than the service itself computed meanwhile. Memory is the service's
own (VmRSS), before the kind and after it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.claims import Claim, arguments, report
from bench.slow_bodies import sent_slowly
from bench.stack import ROOT, free_port, wait_for, without_thread_settings
from bench.waiting import paced_engine
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.server import service
from chatbot_ai.server.compose import build_app
from chatbot_ai.settings import Config, load_config

sys.path.insert(0, str(ROOT / "tests"))

from support.hostile_schemas import DEAR_TO_CHECK

#: The largest body of a request that is not a file, and what is made of a file here too.
SIZE = (1 << 20) - 4096
LOOP_MS, GROWTH_MB = 100.0, 64.0
BEAT_S = 0.002
#: Seconds for one request; the service gives up before.
PATIENCE_S = 60.0
JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
FIELDS = {"character_name": "레이첼", "greeting": "안녕!", "context": "제빵사"}


@dataclass(frozen=True)
class Call:
    """One request. `then` makes further ones of the character that was imported by it."""

    path: str
    content: bytes = b""
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    then: Callable[[str], list[Call]] | None = None


def body(path: str, **fields: Any) -> Call:
    return Call(path, json.dumps(fields, ensure_ascii=False).encode())


def card(fields: dict[str, Any] | None = None, *, entries: list[Any] | None = None) -> bytes:
    """A card's JSON, with this lorebook."""
    data = {"name": "하늘", "first_mes": "왔구나!", "description": "등대지기", **(fields or {})}
    if entries is not None:
        data["character_book"] = {"entries": entries, "scan_depth": 400, "token_budget": 1 << 20}
    whole = {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}
    return json.dumps(whole, ensure_ascii=False).encode()


def chats(user_id: str) -> Callable[[str], list[Call]]:
    """What follows an import: the card's page, its prompt, a message to it, its files."""

    def calls(character_id: str) -> list[Call]:
        query = f"?user_id={user_id}"
        base = f"/characters/{character_id}"
        return [
            Call(f"{base}{query}", method="GET"),
            Call(f"{base}/prompt{query}", method="GET"),
            *(
                body("/Llama", input_data=text, character_id=character_id, user_id=user_id, db_id=d)
                for d in ("a", "b")
                for text in ("가" * 500, "e\u0301\u0323" * 160)
            ),
            Call(f"{base}/export{query}&format=charx", method="GET"),
            Call(f"{base}/export{query}&format=json", method="GET"),
            Call(f"/characters{query}", method="GET"),
            Call(f"{base}{query}", method="DELETE"),
        ]

    return calls


def imported(content: bytes, user_id: str = "w") -> list[Call]:
    path = f"/characters/import?user_id={user_id}"
    return [Call(path, content, headers=OCTETS, then=chats(user_id))]


def zipped(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in files:
            archive.writestr(path, content)
    return buffer.getvalue()


def png(*chunks: tuple[bytes, bytes], side: int = 1) -> bytes:
    """A PNG of black pixels with these chunks before its picture."""

    def encode(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * min(side, 6300)), 9)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(encode(*part) for part in parts)


#: Combining marks of two classes in turn: putting n of them in order takes n² steps.
MARKS = "a" + "\u0323\u0301" * (SIZE // 4)
NOISE = random.Random(7).randbytes(SIZE)


def every_field(value: Any, path: str = "/Llama") -> list[Call]:
    """The value in each field of a message, alone."""
    names = ("input_data", "user_id", "db_id", *FIELDS, "character_id", "user_name")
    return [body(path, **{"input_data": "x", **FIELDS, name: value}) for name in names]


def lore(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"keys": [f"가{n}"], "content": "x", "enabled": True, "insertion_order": n, **fields}
        for n in range(count)
    ]


def messages(*said: Any, **fields: Any) -> list[Call]:
    """A call of OpenAI's kind."""
    return [
        body("/v1/chat/completions", model="Llama", messages=list(said), max_tokens=1, **fields)
    ]


HELLO_BODY = json.dumps({"input_data": "x", **FIELDS}).encode()
HELLO = {"role": "user", "content": "x"}

#: Every kind, by what is dear about it.
KINDS: dict[str, Callable[[], list[Call]]] = {
    "combining marks in every field": lambda: every_field(MARKS),
    "combining marks in a query": lambda: [
        Call(f"/{path}={quote(MARKS[:3500])}", method="GET")
        for path in ("conversations?user_id=w&q", "conversations?user_id", "characters?user_id")
    ],
    "combining marks on /v1": lambda: [
        *messages({"role": "user", "content": MARKS}),
        *messages({"role": "system", "content": MARKS}, HELLO),
        *messages(HELLO, user=MARKS),
        *messages(HELLO, stop=MARKS),
        body("/v1/chat/completions", model=MARKS, messages=[HELLO]),
    ],
    "combining marks in a card": lambda: [
        call
        for name in ("name", "description", "first_mes", "creator_notes", "personality")
        for call in imported(card({name: MARKS}))
    ],
    "combining marks in keys of lore": lambda: imported(
        card(entries=[{"keys": [MARKS], "content": "x", "enabled": True, "insertion_order": 0}])
    ),
    "lore of 400 scan depths": lambda: imported(
        card(
            entries=[
                {
                    "keys": [f"가{n}"],
                    "content": "나" * 400,
                    "enabled": True,
                    "insertion_order": n,
                    "extensions": {"depth": 4, "scan_depth": n},
                }
                for n in range(400)
            ]
        )
    ),
    "2,000 entries of lore that call each other": lambda: imported(
        card(
            entries=[
                {
                    "keys": [f"k{n}", "가"],
                    "content": f"k{n + 1} " * 60,
                    "enabled": True,
                    "insertion_order": n,
                }
                for n in range(2000)
            ]
        )
    ),
    "10,000 keys of lore": lambda: imported(
        card(entries=lore(100, keys=[f"열쇠{n}" for n in range(100)]))
    ),
    "patterns of lore": lambda: imported(
        card(entries=lore(490, keys=["/(가|나|.){1,900}(a?){500}b/"], use_regex=True))
    ),
    "macros": lambda: [
        call
        for text in (
            "{{char}}" * (SIZE // 8),
            "{{" * (SIZE // 2),
            "{{random:" + "a," * (SIZE // 2) + "}}",
            "{{roll:999d999}}" * (SIZE // 17),
            "{{setvar::a::{{getvar::a}}{{getvar::a}}}}" * (SIZE // 42),
        )
        for call in imported(card({"description": text}))
    ],
    "deep JSON": lambda: [
        Call("/Llama", b"[" * SIZE),
        Call("/Llama", b'{"a":' * (SIZE // 5)),
        Call("/Llama", b'{"input_data":' + b"[" * (SIZE // 2) + b"]" * (SIZE // 2 - 20) + b"}"),
        Call("/v1/chat/completions", b'{"messages":' * (SIZE // 12)),
        *imported(b"[" * SIZE),
        *imported(b'{"data":' * (SIZE // 8)),
    ],
    "arrays and objects of 1 MiB": lambda: [
        Call("/Llama", b"[" + b"0," * (SIZE // 2) + b"0]"),
        Call("/Llama", b"[" + b"{}," * (SIZE // 3) + b"{}]"),
        Call("/Llama", b'{"input_data":[' + b"[]," * (SIZE // 3) + b"0]}"),
        Call(
            "/v1/chat/completions",
            b'{"model":"Llama","messages":[' + b"{}," * (SIZE // 3) + b"{}]}",
        ),
        Call(
            "/v1/chat/completions", b'{"model":"Llama","messages":[' + b"0," * (SIZE // 2) + b"0]}"
        ),
        *imported(b'{"name":"x","first_mes":"y","tags":[' + b"[]," * (SIZE // 4) + b"0]}"),
        *imported(b'{"name":"x","first_mes":"y","tags":[' + b'"a",' * (SIZE // 4) + b'"b"]}'),
    ],
    "many fields": lambda: [
        Call(path, b"{" + b",".join(b'"%d":%d' % (n, n) for n in range(SIZE // 16)) + b"}")
        for path in ("/Llama", "/v1/chat/completions", "/characters?user_id=w")
    ],
    "huge numbers": lambda: [
        Call(path, b'{"input_data":"x","max_tokens":' + digits + b',"messages":[]}')
        for path in ("/Llama", "/v1/chat/completions")
        for digits in (b"9" * SIZE, b"1e" + b"9" * SIZE, b"0." + b"1" * SIZE, b"-" + b"9" * 4000)
    ],
    "many messages on /v1": lambda: [
        *messages(*[HELLO] * (SIZE // 35)),
        *messages(*[{"role": r, "content": "x"} for r in ("user", "assistant")] * (SIZE // 80)),
        *messages(*[{"role": "system", "content": ""}] * (SIZE // 36), HELLO),
        *messages({"role": "user", "content": [{"type": "text", "text": "x"}] * (SIZE // 31)}),
    ],
    "long stop lists": lambda: [
        *messages(HELLO, stop=["a"] * (SIZE // 6)),
        *messages(HELLO, stop=["a" * (SIZE // 2)] * 2),
        *messages(HELLO, logit_bias={str(n): 1 for n in range(SIZE // 12)}),
    ],
    "schemas": lambda: [
        call
        for schema in (
            {"enum": ["a"] * (SIZE // 6)},
            {"type": "object", "properties": {f"p{n}": {} for n in range(SIZE // 14)}},
            {"anyOf": [{"type": "string"}] * (SIZE // 24)},
            {"type": "string", "pattern": "a" * SIZE},
            {"type": "string", "pattern": "^(((a{0,1000}){0,1000}){0,1000}){0,1000}$"},
            *DEAR_TO_CHECK.values(),
        )
        for call in messages(
            HELLO,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    ],
    "control tokens": lambda: [
        *messages({"role": "user", "content": "<|im_end|>" * (SIZE // 10)}),
        *messages({"role": "user", "content": "<|" * (SIZE // 2)}),
        *messages({"role": "user", "content": "[|" + "<" * (SIZE - 40)}),
        *messages({"role": "user", "content": "<" + " " * (SIZE - 40)}),
    ],
    "cards that need repair": lambda: [
        call
        for text in (
            b'{"name":"x","first_mes":"' + b"a\n" * (SIZE // 2) + b'"}',
            b'{"name":"x","first_mes":"y","tags":[' + b"1,]" * (SIZE // 3),
            b'{"name":"x","first_mes":"' + b"\\" * (SIZE - 40),
            b'{"name":"x","first_mes":"' + b"\\ud800" * (SIZE // 6 - 10) + b'"}',
            b'{"name":"x","first_mes":"' + b'\\"' * (SIZE // 2 - 20) + b"\n",
            b'{"name":"x","first_mes":"y"' + b" " * (SIZE - 40) + b",}",
            b'{"user_name":"' + b"a" * (SIZE - 20),
            "가".encode("cp949") * (SIZE // 2),
            b"\xff\xfe" + "가".encode("utf-16-le") * (SIZE // 2 - 2),
        )
        for call in imported(text)
    ],
    "archives": lambda: [
        call
        for content in (
            zipped(("card.json", card()), ("assets/a", bytes(60 << 20))),
            zipped(("card.json", card()), *((f"assets/{n}", bytes(1 << 17)) for n in range(500))),
            zipped(*((f"{n}.json", b"[" * 4_000_000) for n in range(16))),
            zipped(*((f"{n}.json", b'"' + b" " * 4_000_000) for n in range(16))),
            zipped(("card.json", b"[" * (8 << 20))),
            zipped(("card.json", card({"description": "a" * (7 << 20)}))),
            zipped(*((f"{n}.png", png()) for n in range(512))),
            zipped(("card.json", card())) + b"PK\x01\x02" * 500 + NOISE[: SIZE - 8192],
            b"PK\x03\x04" * (SIZE // 4),
        )
        for call in imported(content)
    ],
    "PNG": lambda: [
        call
        for content in (
            png(*[(b"tEXt", b"a\0b")] * 60_000),
            png(*[(b"tEXt", b"chara\0" + base64.b64encode(card()))] * 4_000),
            png((b"zTXt", b"chara\0\0" + zlib.compress(base64.b64encode(b"[" * (6 << 20)), 9))),
            png((b"iTXt", b"chara\0\1\0\0\0" + zlib.compress(bytes(200 << 20), 9))),
            png((b"tEXt", b"chara\0" + b"A" * (SIZE - 200))),
            png((b"tEXt", b"chara\0" + base64.b64encode(card())), side=6300),
            png((b"tEXt", b"chara\0" + base64.b64encode(card())), side=16_384),
        )
        for call in imported(content)
    ],
    "other pictures": lambda: [
        call
        for content in (
            b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + b",\0\0\0\0" * (SIZE // 5),
            b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0" + b"!\xf9\x01\0\0" * (SIZE // 5),
            b"RIFF" + struct.pack("<I", SIZE) + b"WEBP" + (b"EXIF" + bytes(4)) * (SIZE // 8),
            b"RIFF" + struct.pack("<I", SIZE) + b"WEBPVP8X" + b"\xff" * (SIZE - 16),
            b"\xff\xd8" + b"\xff\xe1\0\2" * (SIZE // 4),
            b"\xff\xd8" + b"\xff" * (SIZE - 2),
            b"\xff\xd8\xff\xe1\xff\xffExif\0\0" + b"II*\0\x08\0\0\0" + b"\xff" * (SIZE - 20),
        )
        for call in [
            *imported(content),
            body(
                "/characters?user_id=w",
                name="x",
                picture=base64.b64encode(content[:700_000]).decode(),
            ),
        ]
    ],
    "changes of a card": lambda: [
        body(
            "/characters?user_id=w",
            name="x",
            greeting="a" * 20_000,
            context="가" * 40_000,
            alternate_greetings=["{{char}}" * 2500] * 50,
        ),
        body("/characters?user_id=w", name=MARKS, greeting=MARKS),
        body("/characters?user_id=w", name="x", alternate_greetings=["a"] * (SIZE // 6)),
        body("/characters?user_id=w", name="x", picture="A" * SIZE),
    ],
    "huge headers": lambda: [
        Call("/Llama", HELLO_BODY, headers=JSON | {name: value})
        for name in ("Accept-Language", "Accept", "Idempotency-Key", "X-Request-ID", "Cookie")
        for value in ("a," * 16_000, "ko;q=0." + "1" * 30_000, ";" * 30_000)
    ],
    "forms": lambda: [
        Call("/characters/import?user_id=w", content, headers={"Content-Type": kind})
        for kind in ("multipart/form-data; boundary=x",)
        for content in (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * (SIZE // 55),
            b"--x\r\n" + b"A: b\r\n" * (SIZE // 6),
            b'--x\r\nContent-Disposition: form-data; name="' + b"a" * (SIZE - 80),
            b"\r\n--" * (SIZE // 4),
        )
    ],
    "idempotent bodies": lambda: [
        Call("/Llama", content, headers=JSON | {"Idempotency-Key": f"k{at}"})
        for at, content in enumerate(
            (
                json.dumps({"input_data": "x", **FIELDS, "a": list(range(SIZE // 8))}).encode(),
                json.dumps(
                    {"input_data": "x", **FIELDS, **{str(n): 0 for n in range(SIZE // 12)}}
                ).encode(),
                json.dumps(
                    {"input_data": "x", **FIELDS, "a": MARKS[: SIZE // 4]}, ensure_ascii=False
                ).encode(),
            )
        )
    ],
}


# --- the service, with a heartbeat inside -----------------------------------------------------


class Heart:
    """By how much the event loop was late at most, in milliseconds of this process's own work."""

    def __init__(self) -> None:
        self.worst_ms = 0.0

    async def beat(self) -> None:
        while True:
            began, worked = time.monotonic(), time.process_time()
            await asyncio.sleep(BEAT_S)
            late_s = time.monotonic() - began - BEAT_S
            self.worst_ms = max(self.worst_ms, 1000 * min(late_s, time.process_time() - worked))


class Watched:
    """The application with the heartbeat; GET /bench/worst tells it and begins anew."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._heart = app, Heart()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/bench/worst":
            told = {"worst_ms": self._heart.worst_ms, "pid": os.getpid()}
            self._heart.worst_ms = 0.0
            await JSONResponse(told)(scope, receive, send)
            return
        if scope["type"] == "lifespan":
            self._beating = asyncio.create_task(self._heart.beat())
        await self._app(scope, receive, send)


def serve() -> None:
    """The character service as it is, with the heartbeat inside."""

    def build(assistant: Assistant, config: Config) -> Any:
        return Watched(build_app(assistant, config))

    service.build_app = build  # type: ignore[attr-defined]
    service.serve("character", load_config(None))


@contextlib.contextmanager
def started(**settings: str) -> Iterator[str]:
    """The address of a service of its own, in a folder of its own."""
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="chatbot-bench-"))
        port = free_port()
        environment = without_thread_settings() | {
            "CHARACTER_ENGINE_URL": running.enter_context(paced_engine()),
            "DATA_DIR": f"{folder}/data",
            "LOG_DIR": f"{folder}/logs",
            "PROMPT_DIR": str(ROOT / "prompt"),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "LOG_FORMAT": "none",
            "CHARACTER_PORT": str(port),
            **settings,
        }
        command = [sys.executable, "-m", "bench.worst_case", "--serve"]
        process = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


# --- the measurement --------------------------------------------------------------------------


@dataclass
class Found:
    """What a kind did: the longest delay, the memory before and after, and the answers."""

    worst_ms: float = 0.0
    longest_s: float = 0.0
    dearest: str = ""
    grown_mb: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)


def resident_mb(pid: int) -> float:
    """VmRSS of a process."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def send(client: httpx2.AsyncClient, call: Call, found: Found) -> None:
    """Send it and what follows it, and note what came of it."""
    began = time.monotonic()
    status, answer = 0, b""
    with contextlib.suppress(httpx2.HTTPError):
        response = await client.request(
            call.method, call.path, content=call.content, headers=call.headers
        )
        status, answer = response.status_code, response.content
    found.statuses[status] = found.statuses.get(status, 0) + 1
    found.longest_s = max(found.longest_s, time.monotonic() - began)
    worst = (await client.get("/bench/worst", headers={})).json()
    if worst["worst_ms"] > found.worst_ms:
        found.worst_ms = worst["worst_ms"]
        found.dearest = f"{call.method} {call.path[:60]}, {len(call.content):,} bytes: {status}"
    if call.then is not None and status == 201:
        for following in call.then(str(json.loads(answer)["id"])):
            await send(client, following, found)


#: Callers at once that each send half of 1 MiB and then nothing.
SLOW_CALLERS = {"150 slow bodies": 150, "500 slow bodies": 500}


async def measure_slow(url: str, kind: str) -> Found:
    """Memory while the callers hold their connections; the answers are those that came by then."""
    port, found = int(url.rpartition(":")[2]), Found(dearest=kind)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
        pid = (await client.get("/bench/worst")).json()["pid"]
        before = resident_mb(pid)
        async with sent_slowly(port, "/Llama", callers=SLOW_CALLERS[kind]) as answers:
            found.worst_ms = (await client.get("/bench/worst")).json()["worst_ms"]
            found.grown_mb = resident_mb(pid) - before
            found.statuses = {int(s) if s.isdigit() else 0: n for s, n in answers().items()}
    return found


async def measure(url: str, kind: str) -> Found:
    """Send all of a kind, one after the other."""
    if kind in SLOW_CALLERS:
        return await measure_slow(url, kind)
    calls, found = KINDS[kind](), Found()
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
        pid = (await client.get("/bench/worst")).json()["pid"]
        before = resident_mb(pid)
        for call in calls:
            await send(client, call, found)
        found.grown_mb = resident_mb(pid) - before
    return found


def claims_of(kind: str, found: Found) -> list[Claim]:
    """Two for each kind: the delay and the memory."""
    sent = sum(found.statuses.values())
    answers = ", ".join(f"{n} × {status or 'no answer'}" for status, n in found.statuses.items())
    detail = f"{answers}; longest answer {found.longest_s:.1f} s; dearest {found.dearest}"
    delay = Claim(
        f"{kind}: event loop held",
        found.worst_ms,
        None,
        None,
        sent,
        "requests",
        "" if kind in SLOW_CALLERS else f"<= {LOOP_MS}",  # the goal is one request's
        detail,
        "ms",
    )
    memory = Claim(
        f"{kind}: memory grown, MB",
        round(found.grown_mb),
        None,
        None,
        sent,
        "requests",
        f"<= {GROWTH_MB}",
        "VmRSS before and after",
        "count",
    )
    return [delay, memory]


def main() -> None:
    kinds = (*KINDS, *SLOW_CALLERS)
    parser = arguments(__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(kinds))
    parser.add_argument("--serve", action="store_true", help="be the service that is measured")
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    claims: list[Claim] = []
    for kind in chosen.kinds or kinds:
        # a service for each: what one leaves behind is not the next one's
        with started() as url:
            asyncio.run(measure(url, "huge headers"))  # a first use of everything
            claims += claims_of(kind, asyncio.run(measure(url, kind)))
        report(claims[-2:], None)
    report(claims, chosen.json)


if __name__ == "__main__":
    main()

"""One assistant's real HTTP service with real keys: real file, real server, scripted model."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import uvicorn
from fastapi import FastAPI

from chatbot_ai.access.key import Limits
from chatbot_ai.access.keyed import KeyedAccess
from chatbot_ai.access.ledger import FILE, KeyLedger
from chatbot_ai.access.loopback import LoopbackAccess
from chatbot_ai.api.app import create_app
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.middleware import AnswerLog
from chatbot_ai.api.services import ApiOptions, Services
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.core.references import References
from chatbot_ai.core.statistics import Statistics
from chatbot_ai.core.streams import ResumableStreams, StreamLimits
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.ports import Clock
from chatbot_ai.server.http import BoundedHttp
from chatbot_ai.server.personas import read_personas
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.clocks import FakeClock
from support.scripted_model import ScriptedModel
from support.waiting import HANG_S, until

ROOT = Path(__file__).resolve().parents[2]
SEOUL = ZoneInfo("Asia/Seoul")
BODY_LIMIT_BYTES = 20_000
CHARACTER = {"character_name": "레이첼", "greeting": "안녕!", "context": "밝은 제빵사"}


@dataclass(eq=False)
class Lab:
    """A running service and what is behind it."""

    assistant: Assistant
    app: FastAPI
    model: ScriptedModel
    ledger: KeyLedger
    url: str
    services: Services = field(init=False)

    async def key(self, user_id: str | None = None, **limits: int) -> str:
        """A new key's text; a backend key without any limit where nothing else is said."""
        key, secret = await asyncio.to_thread(
            self.ledger.create,
            "user" if user_id else "backend",
            name="test",
            now=1.0,
            user_id=user_id,
            limits=Limits(**limits),
        )
        await until(lambda: key.id in self.services.access._keys)  # type: ignore[attr-defined]
        return secret

    def caller(self, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """A client of its own, closed by its user."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=HANG_S, trust_env=False
        )

    def body(self, text: str = "안녕하세요", **fields: Any) -> dict[str, Any]:
        """A valid body of POST /Llama."""
        own = CHARACTER if self.assistant == "character" else {}
        return {"input_data": text, **own, **fields}


def keyed_access(
    path: Path, *, clock: Clock | None = None, unkeyed: LoopbackAccess | None = None
) -> KeyedAccess:
    return KeyedAccess(
        path, unkeyed=unkeyed or LoopbackAccess(), clock=clock or SystemClock(), zone=SEOUL
    )


@asynccontextmanager
async def opened(path: Path, clock: FakeClock | None = None) -> AsyncIterator[KeyedAccess]:
    """The access rules alone."""
    access = keyed_access(path, clock=clock)
    await access.open()
    try:
        yield access
    finally:
        await access.close()


@asynccontextmanager
async def serving(
    folder: Path,
    assistant: Assistant = "office",
    *,
    model: ScriptedModel | None = None,
    limits_clock: Clock | None = None,
    cors_origins: tuple[str, ...] = (),
    **protocol: Any,
) -> AsyncIterator[Lab]:
    """Serve until the block ends; `limits_clock` is that of the keys, `protocol` overrides the
    server's HTTP class."""
    scripted = model or ScriptedModel()
    personas = read_personas(ROOT / "prompt" / "config-Llama.json")
    metrics = Metrics(assistant)
    made: list[Services] = []

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        clock = SystemClock()
        store = SqliteConversationStore(folder / "chatbot.sqlite3")
        await store.open()
        characters = SqliteCharacterStore(folder / "characters.sqlite3")
        await characters.open()
        unkeyed = LoopbackAccess(origins=cors_origins)
        access = keyed_access(folder / FILE, clock=limits_clock, unkeyed=unkeyed)
        await access.open()
        statistics = Statistics(clock, metrics.observe, AnswerLog(assistant).observe)
        queue = RequestQueue(slots=4, max_waiting=20, clock=clock)
        chat = Chat(
            assistant=assistant,
            models={"Llama": (scripted, personas[assistant])},
            store=store,
            queue=queue,
            remote_queue=RequestQueue(slots=4, max_waiting=20, clock=clock, beside=queue),
            clock=clock,
            references=References(zone=SEOUL, with_time=False),
            statistics=statistics,
            access=access,
            answer_tokens=16,
            history_turns=200,
        )
        metrics.watch(chat.queue, chat.remote_queue, lambda: 0, lambda: 0)
        made.append(
            Services(
                chat=chat,
                statistics=statistics,
                engine=_no_engine,
                access=access,
                characters=characters,
                streams=ResumableStreams(StreamLimits(grace_s=300, keep_s=300)),
            )
        )
        try:
            yield made[0]
        finally:
            await chat.close()
            await access.close()
            await characters.close()
            await store.close()

    options = ApiOptions(
        assistant,
        "ko",
        deadline_s=20,
        max_body_bytes=BODY_LIMIT_BYTES,
        cors_origins=cors_origins,
        lists_sources=False,
        ai_notice=True,
    )
    app = create_app(options, open_services, metrics)
    config = uvicorn.Config(
        app,
        http=protocol.get("http", BoundedHttp),
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    ledger = KeyLedger(folder / FILE)
    await asyncio.to_thread(ledger.open)
    task = asyncio.create_task(server._serve([listening]))  # not serve(): signals stay pytest's
    try:
        await until(lambda: server.started or task.done())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        lab = Lab(assistant, app, scripted, ledger, url)
        lab.services = made[0]
        yield lab
    finally:
        await asyncio.to_thread(ledger.close)
        server.should_exit = True
        await task


async def _no_engine() -> dict[str, Any]:
    return {"managed": False}

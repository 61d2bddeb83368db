"""One assistant's real HTTP service on a free port: real store, scripted model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import uvicorn
from fastapi import FastAPI

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
from chatbot_ai.domain.access import Access, Principal
from chatbot_ai.domain.conversation import Assistant, Message
from chatbot_ai.domain.deadline import SystemClock
from chatbot_ai.domain.errors import Unauthorized
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    Usage,
)
from chatbot_ai.domain.grounding import Grounder
from chatbot_ai.domain.limits import LimitState
from chatbot_ai.domain.persona import Persona
from chatbot_ai.llm.openai import OpenAIModel
from chatbot_ai.server.personas import read_personas
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.grounders import web_search
from support.waiting import HANG_S

ROOT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("Asia/Seoul")
CHARACTER = {"character_name": "레이첼", "greeting": "안녕!", "context": "밝은 제빵사"}


@dataclass(eq=False)
class SpokenModel:
    """A ChatModel that says which call it was and repeats the last message, a word a delta.

    gate     where given, every delta after the first waits for it
    prefill  where given, the first delta waits for it
    faults   one is raised instead of the next answer, in order
    pause_s  before each word but the first
    breaks   one is raised after the first word of the next answer, in order
    """

    name: str = "spoken-1"
    context_tokens: int = 4096
    pause_s: float = 0.0
    gate: asyncio.Event | None = None
    prefill: asyncio.Event | None = None
    faults: list[BaseException] = field(default_factory=list)
    breaks: list[BaseException] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)
    running: int = 0

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self.requests.append(request)
        number = len(self.requests)
        if self.faults:
            raise self.faults.pop(0)
        words = f"{number}번째 대답입니다: {request.messages[-1].content} 끝".split(" ")
        if request.response_format:
            words = ['{"답":', "42}"]
        wished = request.sampling.max_tokens or len(words)
        self.running += 1
        try:
            if self.prefill is not None:
                await self.prefill.wait()
            for at, word in enumerate(words[:wished]):
                if at and self.breaks:
                    raise self.breaks.pop(0)
                if at and self.gate is not None:
                    await self.gate.wait()
                await asyncio.sleep(self.pause_s if at else 0)
                yield TextDelta(word if at == 0 else f" {word}")
        finally:
            self.running -= 1
        usage = Usage(await self.count_tokens(request.messages), 3, min(wished, len(words)))
        yield Finished("length" if wished < len(words) else "stop", usage, self.name, 0.01, 0.02)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(m.content) + 4 for m in messages)

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        return None


@dataclass(eq=False)
class TableAccess:
    """Admits the callers of a table: key to principal."""

    callers: Mapping[str, Principal]
    tokens: dict[str, int] = field(default_factory=dict)

    async def admit(self, details: Mapping[str, str], address: str) -> Principal:
        scheme, _, key = details.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.callers:
            raise Unauthorized("no such key")
        return self.callers[key]

    def check_page(self, details: Mapping[str, str], address: str) -> None:
        return None

    def trusts_host(self, host: str) -> bool:
        return True

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]:
        return (LimitState("requests_per_minute", 8, 7, 0.0),)

    def release(self, principal: Principal) -> None:
        return None

    async def reserve(self, principal: Principal, tokens: int) -> None:
        return None

    def spent(self, principal: Principal, tokens: int) -> None:
        name = principal.key_id or ""
        self.tokens[name] = self.tokens.get(name, 0) + tokens


@dataclass(eq=False)
class Lab:
    """A running service and what is behind it."""

    assistant: Assistant
    url: str
    model: SpokenModel
    services: Services
    http: httpx2.AsyncClient
    app: FastAPI

    @property
    def character(self) -> dict[str, str]:
        """The fields that only a character's bodies have."""
        return CHARACTER if self.assistant == "character" else {}

    def as_caller(self, key: str) -> httpx2.AsyncClient:
        """A client with a key; closed by its user."""
        return httpx2.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=HANG_S
        )

    async def say(self, text: str, user_id: str = "a", db_id: str = "d", **fields: Any) -> str:
        """One turn of a conversation."""
        body = {"input_data": text, "user_id": user_id, "db_id": db_id, **self.character, **fields}
        answer = await self.http.post("/Llama", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json())


@asynccontextmanager
async def running_lab(
    folder: Path,
    assistant: Assistant = "office",
    *,
    access: Access | None = None,
    model: SpokenModel | None = None,
    max_waiting: int = 20,
    slots: int = 2,
    prepare: Callable[[dict[str, Any]], None] | None = None,
    grounder: Grounder | None = None,
    lists_sources: bool = False,
    user_bytes: int | None = None,
) -> AsyncIterator[Lab]:
    """Serve until the block ends. `prepare` may change the arguments of Services; `user_bytes` is
    what one user may keep of each kind."""
    spoken = model or SpokenModel()
    personas = await asyncio.to_thread(read_personas, ROOT / "prompt" / "config-Llama.json")
    made: list[Services] = []

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        clock = SystemClock()
        store = SqliteConversationStore(folder / "chatbot.sqlite3")
        await store.open()
        characters = SqliteCharacterStore(folder / "characters.sqlite3", user_bytes=user_bytes)
        await characters.open()
        opened_access = access or LoopbackAccess()
        statistics = Statistics(clock, metrics.observe, AnswerLog(assistant).observe)
        queue = RequestQueue(slots=slots, max_waiting=max_waiting, clock=clock)
        chat = Chat(
            assistant=assistant,
            models=_models(spoken, personas[assistant]),
            store=store,
            queue=queue,
            remote_queue=RequestQueue(
                slots=slots, max_waiting=max_waiting, clock=clock, beside=queue
            ),
            clock=clock,
            references=References(
                zone=ZONE,
                with_time=assistant == "office",
                web=web_search(grounder) if grounder else None,
            ),
            statistics=statistics,
            access=opened_access,
            history_turns=200,
            answer_tokens=512,
            user_conversations_bytes=user_bytes,
        )
        metrics.watch(chat.queue, chat.remote_queue, lambda: 0, lambda: 0)
        arguments: dict[str, Any] = {
            "chat": chat,
            "statistics": statistics,
            "engine": _no_engine,
            "access": opened_access,
            "streams": ResumableStreams(StreamLimits(grace_s=300, keep_s=300)),
            "characters": characters if assistant == "character" else None,
        }
        if prepare is not None:
            prepare(arguments)
        services = Services(**arguments)
        made.append(services)
        try:
            yield services
        finally:
            await chat.close()
            await store.close()
            await characters.close()

    metrics = Metrics(assistant)
    options = ApiOptions(
        assistant,
        "ko",
        deadline_s=20,
        max_body_bytes=1_048_576,
        cors_origins=(),
        lists_sources=lists_sources,
        ai_notice=True,
        user_characters_bytes=user_bytes,
        user_conversations_bytes=user_bytes,
    )
    # before anything is served, as in a real service: this reads files
    app = await asyncio.to_thread(create_app, options, open_services, metrics)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(_serve(server))
    try:
        await until(lambda: server.started or task.done())
        assert server.started, "the service does not start; its log tells why"
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, timeout=HANG_S, trust_env=False) as http:
            yield Lab(assistant, url, spoken, made[0], http, app)
    finally:
        server.should_exit = True
        await task


async def _serve(server: uvicorn.Server) -> None:
    try:
        await server._serve()  # not serve(): signals stay pytest's
    except SystemExit as error:
        raise AssertionError("the service does not start") from error


def _models(spoken: SpokenModel, persona: Persona) -> dict[str, tuple[Any, Persona]]:
    keyless = OpenAIModel("gpt-4.1", api_key=None, base_url=None, context_tokens=4096)
    return {"Llama": (spoken, persona), "gpt4.1": (keyless, persona)}


async def _no_engine() -> dict[str, Any]:
    return {"managed": False}


async def until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds, in the event loop."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < HANG_S, "it did not become true in time"
        await asyncio.sleep(0.01)


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The named events of a whole stream, comments left out."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] not in (":", ""))
        if "data" in lines:
            found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found

"""The gate in front of every route: keys, limits, headers, pages of other origins."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from chatbot_ai.access.usage import CONCURRENT_RETRY_S
from chatbot_ai.domain.generation import Finished, GenerationEvent, GenerationRequest, Usage
from support.access_lab import BODY_LIMIT_BYTES, Lab, serving
from support.clocks import FakeClock
from support.scripted_model import ScriptedModel
from support.waiting import HANG_S, until

ORIGIN = "https://team.example"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with serving(tmp_path, cors_origins=(ORIGIN,)) as running:
        yield running


async def test_no_key_is_configured(lab: Lab) -> None:
    """Without keys this machine is served as it is, through a gateway on it too."""
    async with lab.caller() as http:
        assert (await http.post("/Llama", json=lab.body())).status_code == 200
        through = {"X-Real-IP": "127.0.0.1"}
        assert (await http.get("/performance", headers=through)).status_code == 200
        for address in ("10.0.0.7", "192.168.1.2", "::2"):
            answer = await http.get("/performance", headers={"X-Real-IP": address})
            assert answer.status_code == 401
        answer = await http.get("/performance", headers={"Host": "rebind.example.com"})
        assert answer.status_code == 401


async def test_every_way_of_sending_a_key(lab: Lab) -> None:
    """Both headers are alike; two keys, a wrong one, another scheme and none are 401."""
    key, other = await lab.key(), await lab.key()
    good = [
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer {key}"},
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}", "X-API-Key": key},
    ]
    bad = [
        {},
        {"Authorization": f"Bearer {other[:-4]}aaaa"},
        {"X-API-Key": key[:-1]},
        {"Authorization": f"Basic {key}"},
        {"Authorization": f"Bearer {key}", "X-API-Key": other},
        {"Authorization": f"Bearer {key}, Bearer {other}"},
    ]
    async with lab.caller() as http:
        for headers in good:
            assert (await http.get("/performance", headers=headers)).status_code == 200
        for headers in bad:
            answer = await http.get("/performance", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.headers["X-Request-ID"] == answer.json()["error"]["request_id"]


async def test_health_and_documentation_are_open(lab: Lab) -> None:
    """Where keys are needed, health, metrics and documentation still answer without one."""
    await lab.key()
    async with lab.caller() as http:
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/docs-static/swagger-ui.css")).status_code == 200
        for path in ("/nothing", "/", "/healthz/", "//healthz", "/docs-static/../performance"):
            assert (await http.get(path)).status_code in (401, 404)
            assert (await http.get(path)).status_code == 401 or path.startswith("/docs-static/")


async def test_a_body_is_not_read_before_its_caller_is_known(lab: Lab) -> None:
    """Without a key neither a broken nor a too large body changes the answer."""
    await lab.key()
    async with lab.caller() as http:
        for body in (b"{", b"x" * (BODY_LIMIT_BYTES + 1)):
            answer = await http.post("/Llama", content=body)
            assert answer.status_code == 401


async def test_limits_are_told_on_every_answer(lab: Lab) -> None:
    """Answers, refusals, unknown paths and bad bodies all say what is left."""
    key = await lab.key(requests_per_minute=6, tokens_per_day=100_000, concurrent=3)
    async with lab.caller(key) as http:
        calls = [
            (await http.post("/Llama", json=lab.body()), 200),
            (await http.post("/Llama", content=b"{"), 400),
            (await http.get("/nowhere"), 404),
            (await http.post("/Llama", json={}), 422),
            (await http.post("/Llama", content=b"x" * (BODY_LIMIT_BYTES + 1)), 413),
            (await http.get("/performance"), 200),
            (await http.get("/performance"), 429),
        ]
    for number, (answer, status) in enumerate(calls, start=1):
        assert answer.status_code == status
        headers = answer.headers
        assert headers["X-RateLimit-Limit-Requests"] == "6"
        assert headers["X-RateLimit-Remaining-Requests"] == str(max(0, 6 - number))
        assert 0 < int(headers["X-RateLimit-Reset-Requests"]) <= 60
        assert headers["X-RateLimit-Limit-Tokens"] == "100000"
        assert 0 < int(headers["X-RateLimit-Reset-Tokens"]) <= 86_400
        assert headers["X-RateLimit-Limit-Concurrent"] == "3"
    used = 100_000 - int(calls[1][0].headers["X-RateLimit-Remaining-Tokens"])
    assert used > 0
    refused = calls[-1][0]
    assert refused.json()["error"]["limit"] == "requests_per_minute"
    assert refused.json()["error"]["code"] == "rate_limited"
    assert refused.headers["Retry-After"] == str(refused.json()["error"]["retry_after_s"])
    assert 0 < int(refused.headers["Retry-After"]) <= 60


async def test_messages_that_a_limit_keeps_out_are_counted(lab: Lab) -> None:
    """/performance, the metrics and the recent errors know of a message that the gate refused; a
    look at something that it refused is none."""
    key = await lab.key(requests_per_minute=1)
    async with lab.caller(key) as http:
        assert (await http.post("/Llama", json=lab.body())).status_code == 200
        assert (await http.post("/Llama", json=lab.body())).status_code == 429
        assert (await http.get("/performance")).status_code == 429
        scraped = (await http.get("/metrics")).text
    assert f'chatbot_requests_total{{assistant="{lab.assistant}",outcome="limited"}} 1.0' in scraped
    stats = lab.services.statistics
    assert (stats.since_start()["answered"], stats.since_start()["limited"]) == (1, 1)
    assert stats.since_start()["success_rate"] == 100.0
    assert stats.window()["causes"] == {"rate_limited": 1}
    assert [error["code"] for error in stats.recent_errors()] == ["rate_limited"]


async def test_a_crash_is_told_like_everything_else(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500 carries the request id, the limits and what its page needs, and frees its place."""

    def crash() -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(lab.services.statistics, "since_start", crash)
    key = await lab.key(concurrent=1)
    async with lab.caller(key, Origin=ORIGIN) as http:
        for _ in range(3):
            with structlog.testing.capture_logs() as logs:
                answer = await http.get("/performance")
            assert [e["log_level"] for e in logs if e["event"] == "request.crashed"] == ["error"]
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "internal_error"
            assert answer.headers["X-Request-ID"] == answer.json()["error"]["request_id"]
            assert answer.headers["X-RateLimit-Limit-Concurrent"] == "1"
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_stream_counts_until_its_end(tmp_path: Path) -> None:
    """A running stream takes its place; when it ends or its caller leaves, the place is free."""
    gate = asyncio.Event()
    gate.set()
    async with serving(tmp_path, model=ScriptedModel(gate=gate, pause_s=0.05)) as lab:
        key = await lab.key(concurrent=1)
        stream = {"Accept": "text/event-stream"}
        async with lab.caller(key) as http:
            async with http.stream("POST", "/Llama", json=lab.body(), headers=stream) as answer:
                assert answer.status_code == 200
                assert answer.headers["X-RateLimit-Remaining-Concurrent"] == "0"
                # held: an iterator that is collected closes the stream
                pieces = answer.aiter_bytes()
                await anext(pieces)
                gate.clear()  # the rest of it does not come
                refused = await http.get("/performance")
                assert refused.json()["error"]["limit"] == "concurrent_requests"
                assert int(refused.headers["Retry-After"]) >= 1
            # left without its end

            async def free() -> bool:
                return (await http.get("/performance")).status_code == 200

            await eventually(free)
            gate.set()
            answer = await http.post("/Llama", json=lab.body(), headers=stream)
            assert "event: done" in answer.text
            await eventually(free)
        assert lab.model.running == 0


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask an asynchronous condition until it holds."""
    limit = time.monotonic() + HANG_S
    while not await condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.05)


async def test_tokens_of_answers_are_spent(lab: Lab) -> None:
    """Whole and streamed answers count the same; over the limit no further one is given."""
    first, second = await lab.key(tokens_per_day=30), await lab.key(tokens_per_day=30)
    spent = []
    for key, accept in ((first, "application/json"), (second, "text/event-stream")):
        async with lab.caller(key, Accept=accept) as http:
            assert (await http.post("/Llama", json=lab.body())).status_code == 200
            refused = await http.post("/Llama", json=lab.body())
            assert refused.json()["error"]["limit"] == "tokens_per_day"
            assert refused.status_code == 429
            spent.append(key[:12])
    counts: dict[str, int] = {}

    def counted() -> bool:
        nonlocal counts
        rows = lab.ledger.read(lambda c: c.execute("SELECT key, tokens FROM usage").fetchall())
        counts = dict(rows)
        return len(counts) == 2

    await until(counted)
    assert counts[spent[0]] == counts[spent[1]] > 30


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_calls_beside_each_other_share_the_days_tokens(tmp_path: Path, accept: str) -> None:
    """Twenty calls at once with tokens for one: one is answered, and what was reserved for it and
    not used is there again."""
    gate = asyncio.Event()
    async with serving(tmp_path, model=ScriptedModel(gate=gate)) as lab:
        key = await lab.key(tokens_per_day=30)
        async with lab.caller(key, Accept=accept) as http:
            calls = [asyncio.create_task(http.post("/Llama", json=lab.body())) for _ in range(20)]
            await until(lambda: sum(call.done() for call in calls) == 19, within_s=60)
            gate.set()
            answers = await asyncio.gather(*calls)
        assert sorted(a.status_code for a in answers) == [200] + [429] * 19
        for refused in (a for a in answers if a.status_code == 429):
            assert refused.json()["error"]["limit"] == "tokens_per_day"
            assert refused.headers["Retry-After"] == str(int(CONCURRENT_RETRY_S))
            assert refused.headers["X-RateLimit-Remaining-Tokens"] == "0"
        assert lab.model.running == 0
        spent = await used(lab)
        other = await lab.key(tokens_per_day=100_000)
        async with lab.caller(other) as http:
            assert (await http.post("/Llama", json=lab.body())).status_code == 200
        assert await used(lab) == 2 * spent


async def test_a_waiting_answer_can_be_watched_and_stopped(tmp_path: Path) -> None:
    """While one that waits has reserved the whole context, calls that cost no tokens are served;
    stopping it makes room for the next."""
    gate = asyncio.Event()
    async with serving(tmp_path, model=ScriptedModel(gate=gate)) as lab:
        stream = {"Accept": "text/event-stream", "X-Resumable": "true"}
        key = await lab.key("alice", tokens_per_day=2000)
        async with lab.caller(await lab.key()) as others, lab.caller(key) as http:
            busy = [asyncio.create_task(others.post("/Llama", json=lab.body())) for _ in range(4)]
            await until(lambda: lab.model.running == 4)
            body = lab.body(db_id="d")
            async with http.stream("POST", "/Llama", json=body, headers=stream) as answer:
                address = f"/streams/{answer.headers['X-Stream-Id']}"
                refused = await http.post("/Llama", json=lab.body())
                assert refused.status_code == 429
                assert refused.headers["Retry-After"] == str(int(CONCURRENT_RETRY_S))
                assert (await http.get("/conversations")).status_code == 200
                assert (await http.delete(address)).status_code == 200
            gate.set()

            async def has_room() -> bool:
                return (await http.post("/Llama", json=lab.body())).status_code == 200

            await eventually(has_room)
            await asyncio.gather(*busy)


async def test_an_answer_across_midnight_is_spent_after_it(tmp_path: Path) -> None:
    """What is reserved before midnight is not taken from the next day."""
    gate, clock = asyncio.Event(), FakeClock()  # 2023-11-15 07:13:20 in Seoul
    async with serving(tmp_path, model=ScriptedModel(gate=gate), limits_clock=clock) as lab:
        async with lab.caller(await lab.key(tokens_per_day=100_000)) as http:
            running = asyncio.create_task(http.post("/Llama", json=lab.body()))
            await until(lambda: lab.model.running == 1)
            assert await used(lab) == 0
            clock.advance(17 * 3600)
            gate.set()
            assert (await running).status_code == 200
            assert (await http.post("/Llama", json=lab.body())).status_code == 200
        total = await used(lab)
        of_day = lab.ledger.tokens_of_day
        assert await asyncio.to_thread(of_day, "2023-11-15") == {}
        assert list((await asyncio.to_thread(of_day, "2023-11-16")).values()) == [total]


async def test_what_the_gate_does_not_expect_is_an_answer_too(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours before the application is a 500 in our form, and the connection goes on."""

    def crash(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    async with lab.caller() as http:
        assert (await http.get("/performance")).status_code == 200
        with monkeypatch.context() as broken:
            broken.setattr(lab.services.access, "admit", crash)
            for _ in range(3):
                answer = await http.get("/performance")
                assert answer.status_code == 500
                assert answer.json()["error"]["code"] == "internal_error"
                assert answer.headers["X-Request-ID"] == answer.json()["error"]["request_id"]
        assert (await http.get("/performance")).status_code == 200


async def used(lab: Lab) -> int:
    """Tokens of all keys today, once everything that was posted is written."""
    await lab.services.access._ask(lambda: None)  # type: ignore[attr-defined]
    query = "SELECT sum(tokens) FROM usage"
    (found,) = await asyncio.to_thread(
        lab.ledger.read, lambda connection: connection.execute(query).fetchone()
    )
    return int(found or 0)


async def test_a_resumable_stream_counts_until_its_job_ends(tmp_path: Path) -> None:
    """Dropping the connection of a stream that goes on does not free its place."""
    gate = asyncio.Event()
    gate.set()
    async with serving(tmp_path, model=ScriptedModel(gate=gate, pause_s=0.05)) as lab:
        key = await lab.key(concurrent=1)
        stream = {"Accept": "text/event-stream", "X-Resumable": "true"}
        async with lab.caller(key) as http:
            async with http.stream("POST", "/Llama", json=lab.body(), headers=stream) as answer:
                pieces = answer.aiter_bytes()  # held: one that is collected closes the stream
                await anext(pieces)
                gate.clear()
            for _ in range(10):
                refused = await http.post("/Llama", json=lab.body(), headers=stream)
                assert refused.json()["error"]["limit"] == "concurrent_requests"
            assert lab.model.running == 1
            gate.set()

            async def free() -> bool:
                return (await http.get("/performance")).status_code == 200

            await eventually(free)
            assert lab.model.running == 0


@pytest.mark.parametrize("deltas", [0, 1])
async def test_an_answer_that_is_left_costs_its_prompt(tmp_path: Path, deltas: int) -> None:
    """Whoever leaves before the end, or before the first word, has used what the model read."""
    gate = asyncio.Event()
    model = ScriptedModel(gate=gate, pause_s=0.05)
    async with (
        serving(tmp_path, model=model) as lab,
        lab.caller(await lab.key(tokens_per_day=100_000)) as http,
    ):
        if deltas:
            gate.set()
        headers = {"Accept": "text/event-stream"}
        sending = http.stream("POST", "/Llama", json=lab.body("가" * 400), headers=headers)

        async def leave() -> None:
            async with sending as answer:
                pieces = answer.aiter_bytes()  # held: one that is collected closes the stream
                await anext(pieces)
                gate.clear()

        leaving = asyncio.create_task(leave())
        await until(lambda: model.running == 1)
        if deltas:
            await leaving
        else:
            leaving.cancel()
            await asyncio.wait({leaving})
        await until(lambda: model.running == 0)
        assert await used(lab) >= 400


async def test_a_server_that_counts_nothing_costs_what_was_seen(tmp_path: Path) -> None:
    """Where the model's server tells no usage, the estimate and the deltas count."""

    class Silent(ScriptedModel):
        async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
            async for event in super().stream(request):
                yield replace(event, usage=Usage()) if isinstance(event, Finished) else event

    async with serving(tmp_path, model=Silent()) as lab:
        async with lab.caller(await lab.key(tokens_per_day=100_000)) as http:
            assert (await http.post("/Llama", json=lab.body("가" * 400))).status_code == 200
        assert await used(lab) >= 416


async def test_a_refused_answer_costs_nothing(tmp_path: Path) -> None:
    """A model that is away has read nothing."""
    async with serving(tmp_path, model=ScriptedModel(away=True)) as lab:
        async with lab.caller(await lab.key(tokens_per_day=100_000)) as http:
            assert (await http.post("/Llama", json=lab.body())).status_code == 503
        assert await used(lab) == 0


async def test_a_user_key_speaks_for_its_user(lab: Lab) -> None:
    """Another user's name is 403; its own, or none, is that user's conversation."""
    key = await lab.key("alice")
    async with lab.caller(key) as http:
        bodies = [lab.body(user_id=u, db_id="d") for u in ("bob", "alice")] + [lab.body(db_id="d")]
        answers = [await http.post("/Llama", json=body) for body in bodies]
    assert [a.status_code for a in answers] == [403, 200, 200]
    assert [a.headers.get("X-Turn") for a in answers] == [None, "0", "1"]


async def test_listed_origins_may_call(lab: Lab) -> None:
    """A page of a listed origin passes its preflight without a key and reads answers' headers."""
    key = await lab.key(requests_per_minute=100)
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,"
        "x-stainless-lang,openai-organization,openai-project,x-include-sources",
    }
    async with lab.caller() as http:
        answer = await http.options("/Llama", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        for headers, status in (({"X-API-Key": key}, 200), ({}, 401)):
            answer = await http.get("/performance", headers={"Origin": ORIGIN, **headers})
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert {"Retry-After", "X-RateLimit-Remaining-Requests"} <= set(exposed.split(", "))


async def test_other_origins_may_not(lab: Lab) -> None:
    """A page of another origin gets no permission, and without keys not even an answer."""
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with lab.caller() as http:
        answer = await http.options("/Llama", headers=preflight)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        answer = await http.get("/performance", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers
        assert json.loads(answer.text)["error"]["code"] == "unauthorized"


async def test_an_origin_without_a_host_can_be_read(lab: Lab) -> None:
    """A page from a file, as in Electron or a WebView, is foreign without keys; with one it is
    served like any program."""
    for origin in ("file://", "null", "app://", "capacitor://localhost"):
        async with lab.caller(Origin=origin) as http:
            assert (await http.get("/performance")).status_code == 401
    key = await lab.key()
    for origin in ("file://", "null", "app://", "capacitor://localhost"):
        async with lab.caller(key, Origin=origin) as http:
            assert (await http.get("/performance")).status_code == 200

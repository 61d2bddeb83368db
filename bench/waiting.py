"""What waiting callers are told and what they get: many users, and one beside a flood.

    python -m bench.waiting [--users 15 60] [--minutes 2] [--answer-tokens 48] [--paced]

With --paced an engine without a model answers at a pace of its own (bench/paced.py): on a machine
whose speed changes from minute to minute nobody can foretell a wait, and this shows what is left.

Users with a conversation each ask the character assistant again and again, half of them streamed,
and honour Retry-After. Every status, every announced and real wait is noted, and in the end every
answer must stand in the store as it was given. Then one user asks alone, and again beside another
who keeps 24 requests open.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.claims import Claim, arguments, percentile, report
from bench.patience import Visit, visit
from bench.stack import ROOT, Stack, stack, wait_for
from chatbot_ai.domain.conversation import ConversationKey
from chatbot_ai.server.engines import free_port
from chatbot_ai.storage.sqlite import SqliteConversationStore

QUESTIONS = (
    "What is for dinner tonight?",
    "Tell me about the storm, slowly and with every detail you remember.",
    "Yes or no: do you like soup?",
    "How do I keep bread fresh at sea for three weeks?",
    "Name two spices.",
    "Write a short letter to your brother about the last harbour and the people you met there.",
    "Count from one to five.",
    "Why do you still carry the compass, and what would you do if you lost it?",
)
THINK_S = 1.0
FLOOD_REQUESTS = 24
SLOTS = 4


@dataclass(frozen=True, slots=True)
class Crowd:
    """All visits of one run; `lost` are answers that the store does not hold as given."""

    users: int
    visits: list[Visit]
    lost: int

    @property
    def answered(self) -> list[Visit]:
        return [v for v in self.visits if v.outcome == "answered"]

    @property
    def refused(self) -> list[Visit]:
        return [v for v in self.visits if v.status in (429, 503)]


async def crowd(running: Stack, users: int, seconds: float) -> Crowd:
    """Let `users` people ask for so long, then look every answer up in the store."""
    visits: list[Visit] = []

    async def person(number: int) -> None:
        draw = random.Random(number)
        await asyncio.sleep(draw.random() * min(5.0, seconds / 10))
        while time.monotonic() < end:
            seen = await visit(
                client,
                running.url,
                draw.choice(QUESTIONS),
                user=f"u{number}",
                conversation="c",
                stream=draw.random() < 0.5,
            )
            visits.append(seen)
            pause = seen.retry_after_s if seen.status in (429, 503) else None
            await asyncio.sleep(pause if pause else draw.expovariate(1 / THINK_S))

    async def warming(number: int) -> None:
        await visit(
            client, running.url, QUESTIONS[0], user="w", conversation=str(number), stream=False
        )

    async with httpx2.AsyncClient(
        trust_env=False, timeout=600, limits=httpx2.Limits(max_connections=users + 8)
    ) as client:
        # prompts that meet an empty cache are the cost of a start, not of waiting
        for _ in range(2):
            await asyncio.gather(*(warming(number) for number in range(SLOTS)))
        end = time.monotonic() + seconds
        await asyncio.gather(*(person(number) for number in range(users)))
    return Crowd(users, visits, await lost_answers(running.data, visits))


async def lost_answers(data: Path, visits: Sequence[Visit]) -> int:
    """How many visits with status 200 have no turn in the store that says the same."""
    store = SqliteConversationStore(data / "chatbot.sqlite3")
    await store.open()
    lost = 0
    try:
        for seen in (v for v in visits if v.status == 200):
            if seen.turn is None:
                lost += 1
                continue
            key = ConversationKey("character", seen.user, seen.conversation)
            turns = await store.turns(key, first=seen.turn, limit=1)
            lost += not (turns and turns[0].output == seen.text)
    finally:
        await store.close()
    return lost


def crowd_claims(found: Crowd) -> list[Claim]:
    """No strange status, nothing lost, refused at once, waits foretold."""
    statuses = Counter(v.status for v in found.visits)
    strange = [v for v in found.visits if v.status not in (200, 429, 503)]
    told = [v for v in found.answered if v.announced_s is not None and v.queue_s]
    errors = [abs((v.announced_s or 0.0) / v.queue_s - 1) for v in told]
    name = f"{found.users} users"
    claims = [
        _count(f"{name}: statuses other than 200, 429 and 503", len(strange), len(found.visits),
               "requests", ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))),
        _count(f"{name}: answers lost", found.lost, statuses[200], "answers",
               "every answer looked up in the store, turn by turn"),
    ]  # fmt: skip
    if found.refused:
        times = [v.total_s for v in found.refused]
        claims.append(
            _spread(f"{name}: seconds until a refusal", times, "<= 0.1", "refusals",
                    f"95 % within {percentile(times, 0.95) * 1000:.0f} ms")
        )  # fmt: skip
    if errors:
        waits = [v.queue_s for v in told]
        bias = statistics.median((v.announced_s or 0.0) / v.queue_s for v in told)
        within = sum(error <= 0.3 for error in errors) / len(errors)
        claims.append(
            _spread(f"{name}: error of the announced wait", errors, "<= 0.3", "waits",
                    f"median wait {percentile(waits, 0.5):.1f} s, announced/real {bias:.2f} at "
                    f"the median, {within:.0%} within 30 %")
        )  # fmt: skip
    return claims


async def beside_flood(running: Stack, questions: int) -> Claim:
    """One user's answer times alone, then while another keeps FLOOD_REQUESTS open."""
    async with httpx2.AsyncClient(
        trust_env=False, timeout=600, limits=httpx2.Limits(max_connections=FLOOD_REQUESTS + 8)
    ) as client:

        async def ask(user: str, number: int, conversation: str) -> Visit:
            text = QUESTIONS[number % len(QUESTIONS)]
            return await visit(
                client, running.url, text, user=user, conversation=conversation, stream=True
            )

        alone = [await ask("single", n, f"i{n}") for n in range(questions)]
        flood: list[Visit] = []

        async def flooding(number: int) -> None:
            for round_ in range(1000):
                flood.append(await ask("flooder", number + round_, f"f{number}-{round_}"))

        tasks = [asyncio.create_task(flooding(n)) for n in range(FLOOD_REQUESTS)]
        await asyncio.sleep(5)
        beside = [await ask("single", n, f"b{n}") for n in range(questions)]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    idle_s = statistics.median(v.total_s for v in alone)
    service_s = statistics.median(v.total_s - v.queue_s for v in [*flood, *beside])
    allowed_s = 2 * idle_s + service_s
    ratios = [v.total_s / allowed_s for v in beside]
    waits = percentile([v.queue_s for v in flood], 0.5)
    return _spread(
        "one user beside a flood: his time / (2 x idle + one service time)",
        ratios,
        "<= 1",
        "answers",
        f"idle {idle_s:.2f} s, service {service_s:.2f} s, beside the flood "
        f"{statistics.median(v.total_s for v in beside):.2f} s; the flooder's queue {waits:.1f} s",
    )


def _count(title: str, count: int, of: int, unit: str, detail: str) -> Claim:
    return Claim(title, count, count, count, of, unit, "<= 0", detail)


def _spread(title: str, values: Sequence[float], goal: str, unit: str, detail: str) -> Claim:
    return Claim(
        title, statistics.median(values), min(values), max(values), len(values), unit, goal, detail
    )


@contextlib.contextmanager
def measured_stack(*, paced: bool, **settings: str) -> Iterator[Stack]:
    """A whole stack with the demo model, or with the engine that only keeps a pace."""
    with contextlib.ExitStack() as running:
        if paced:
            url = running.enter_context(paced_engine())
            settings["CHATBOT_ENGINE_URL"] = url
        yield running.enter_context(stack(**settings))


@contextlib.contextmanager
def paced_engine() -> Iterator[str]:
    """The address of an engine without a model."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen([sys.executable, "-m", "bench.paced", str(port)], cwd=ROOT)
    try:
        wait_for(f"{url}/health")
        yield url
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = arguments("What waiting callers are told and what they get.")
    parser.add_argument("--users", type=int, nargs="*", default=[15, 60])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--answer-tokens", type=int, default=48)
    parser.add_argument("--flood-questions", type=int, default=8, help="0: no flood")
    parser.add_argument("--paced", action="store_true", help="use the engine without a model")
    parser.add_argument("--visits", type=Path, help="also write every visit there, as CSV")
    chosen = parser.parse_args()
    settings = {
        "CHATBOT_ANSWER_TOKENS": str(chosen.answer_tokens),
        "CHATBOT_CONTEXT_TOKENS": "1024",
        "CHARACTER_MAX_CONCURRENT": str(SLOTS),
        "OFFICE_MAX_CONCURRENT": "1",
        "LOG_LEVEL": "warning",
    }
    claims: list[Claim] = []
    for users in chosen.users:
        with measured_stack(paced=chosen.paced, **settings) as running:
            found = asyncio.run(crowd(running, users, chosen.minutes * 60))
        claims += crowd_claims(found)
        if chosen.visits:
            lines = [f"{users},{v.as_row()}\n" for v in found.visits]
            with chosen.visits.open("a", encoding="utf-8") as file:
                file.writelines(lines)
    if chosen.flood_questions:
        with measured_stack(
            paced=chosen.paced, **settings, CHATBOT_MAX_WAITING_PER_USER="0"
        ) as running:
            claims.append(asyncio.run(beside_flood(running, chosen.flood_questions)))
    report(claims, chosen.json)


if __name__ == "__main__":
    main()

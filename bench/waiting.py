"""What waiting callers are told and what they get.

    python -m bench.waiting [--users 15 60] [--minutes 5] [--answer-tokens 48] [--paced]

With --paced an engine without a model answers at a pace of its own (bench/paced.py): on a machine
whose speed changes from minute to minute nobody can foretell a wait, and this shows what is left.

Users with a conversation each ask the character assistant again and again, half of them streamed,
and honour Retry-After. Every status and error code, every announced and real wait is noted, and in
the end every answer must stand in the store as it was given.
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

from bench.claims import Claim, arguments, count, no_data, percentile, report, spread_of
from bench.patience import Visit, visit
from bench.stack import ROOT, Stack, free_port, stack, wait_for
from chatbot_ai.domain.conversation import ConversationKey
from chatbot_ai.server.engines import DEMO_MODEL
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

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
SLOTS = 4
#: The codes of a refusal at the door; any other 429 or 503 is a failure behind it.
REFUSALS = ("busy", "rate_limited")
OUT_OF_TIME = "deadline_exceeded"


@dataclass(frozen=True, slots=True)
class Crowd:
    """All visits of one run; `lost` are answers that the store does not hold as given."""

    users: int
    minutes: float
    visits: list[Visit]
    lost: int

    @property
    def answered(self) -> list[Visit]:
        return [v for v in self.visits if v.outcome == "answered"]

    @property
    def refused(self) -> list[Visit]:
        return [v for v in self.visits if v.outcome in REFUSALS]

    @property
    def failed(self) -> list[Visit]:
        """Neither answered nor refused, nor out of time: an engine or a store that was down."""
        return [v for v in self.visits if v.outcome not in ("answered", *REFUSALS, OUT_OF_TIME)]


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

    async with httpx2.AsyncClient(
        trust_env=False, timeout=600, limits=httpx2.Limits(max_connections=users + 8)
    ) as client:
        await warm_up(client, running.url)
        end = time.monotonic() + seconds
        await asyncio.gather(*(person(number) for number in range(users)))
    return Crowd(users, seconds / 60, visits, await lost_answers(running.data, visits))


async def warm_up(client: httpx2.AsyncClient, url: str) -> None:
    """Let every slot read the card: an empty cache is the cost of a start, not of waiting."""
    for _ in range(2):
        await asyncio.gather(
            *(
                visit(client, url, QUESTIONS[0], user="w", conversation=str(slot), stream=False)
                for slot in range(SLOTS)
            )
        )


async def lost_answers(data: Path, visits: Sequence[Visit]) -> int:
    """How many answers have no turn in the store that says the same, or had no end."""
    store = SqliteConversationStore(data / "chatbot.sqlite3")
    await store.open()
    lost = 0
    try:
        for seen in (v for v in visits if v.outcome in ("answered", "cut")):
            if seen.turn is None:
                lost += 1
                continue
            key = ConversationKey("character", seen.user, seen.conversation)
            turns = await store.turns(key, first=seen.turn, limit=1)
            lost += not (turns and turns[0].output == seen.text)
    finally:
        await store.close()
    return lost


def crowd_claims(found: Crowd, settings: str) -> list[Claim]:
    """No strange status, nothing lost, refused at once, waits foretold."""
    visits = len(found.visits)
    seen = Counter((v.status, v.outcome) for v in found.visits)
    all_codes = ", ".join(f"{n} × {status} {code}" for (status, code), n in sorted(seen.items()))
    strange = sum(v.status not in (200, 429, 503) for v in found.visits)
    late = sum(v.outcome == OUT_OF_TIME for v in found.visits)
    refusals = [v.total_s for v in found.refused]
    late_95 = f"95 % within {percentile(refusals, 0.95) * 1000:.0f} ms" if refusals else "none"
    name = f"{found.users} users, {found.minutes:g} min"
    return [
        count(f"{name}: statuses other than 200, 429 and 503", strange, of=visits, unit="requests",
              detail=f"{settings}; {all_codes}"),
        count(f"{name}: failures behind the door (engine, store)", len(found.failed), of=visits,
              unit="requests", detail="neither answered, nor refused, nor out of time"),
        count(f"{name}: answers lost", found.lost, of=len(found.answered), unit="answers",
              detail="every answer looked up in the store, turn by turn"),
        count(f"{name}: let in, but out of time in the queue", late, of=visits, unit="requests",
              goal="", detail="not part of the errors of announced waits"),
        spread_of(f"{name}: time until a refusal", refusals, goal="<= 0.1", unit="refusals",
                  kind="s", detail=late_95),
        wait_error(f"{name}: error of the announced wait",
                   [(v.announced_s, v.queue_s) for v in found.answered if v.position]),
        wait_error(f"{name}: the same by the caller's clock, streams",
                   [(v.announced_s, v.client_wait_s) for v in found.answered if v.position]),
    ]  # fmt: skip


def wait_error(title: str, waits: Sequence[tuple[float | None, float | None]]) -> Claim:
    """|announced / real - 1| of all who stood in the queue, however shortly."""
    told = [(said, real) for said, real in waits if said is not None and real and real > 0]
    if not told:
        return no_data(title, goal="<= 0.3", detail="nobody waited", unit="waits", kind="share")
    errors = [abs(said / real - 1) for said, real in told]
    bias = statistics.median(said / real for said, real in told)
    within = sum(error <= 0.3 for error in errors) / len(errors)
    return spread_of(
        title,
        errors,
        goal="<= 0.3",
        unit="waits",
        kind="share",
        detail=f"median wait {percentile([real for _, real in told], 0.5):.1f} s, announced/real "
        f"{bias:.2f} at the median, {within:.0%} within 30 %",
    )


def conditions(answer_tokens: int, *, paced: bool) -> tuple[dict[str, str], str]:
    """The settings of the stack, and how a row of the document tells them."""
    settings = {
        "CHATBOT_ANSWER_TOKENS": str(answer_tokens),
        "CHATBOT_CONTEXT_TOKENS": "1024",
        "CHARACTER_MAX_CONCURRENT": str(SLOTS),
        "OFFICE_MAX_CONCURRENT": "1",
        "LOG_LEVEL": "warning",
    }
    model = "an engine without a model that keeps its pace" if paced else DEMO_MODEL
    return settings, f"{model}, {SLOTS} slots, answers of {answer_tokens} tokens at most"


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
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--answer-tokens", type=int, default=48)
    parser.add_argument("--paced", action="store_true", help="use the engine without a model")
    parser.add_argument("--visits", type=Path, help="also write every visit there, as CSV")
    chosen = parser.parse_args()
    settings, told = conditions(chosen.answer_tokens, paced=chosen.paced)
    claims: list[Claim] = []
    for users in chosen.users:
        with measured_stack(paced=chosen.paced, **settings) as running:
            found = asyncio.run(crowd(running, users, chosen.minutes * 60))
        claims += crowd_claims(found, told)
        if chosen.visits:
            lines = [f"{users},{v.as_row()}\n" for v in found.visits]
            with chosen.visits.open("a", encoding="utf-8") as file:
                file.writelines(lines)
    report(claims, chosen.json)


if __name__ == "__main__":
    main()

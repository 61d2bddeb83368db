"""How long one user waits while another floods.

    python -m bench.flood [--questions 24] [--answer-tokens 48] [--paced]

One user asks the character assistant alone, question by question; then again beside another one
who keeps 50 requests open: as many of them wait as can be answered before their deadline, the
others come again when Retry-After says. The bound is twice what he has alone and one service time,
which is what an answer takes in its slot while all slots are busy. What is judged is his wait in
the queue; beside it stands the same of his whole time until the answer is there, which also grows
because all slots share one processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Sequence

import httpx2

from bench.claims import Claim, arguments, count, no_data, percentile, report
from bench.patience import Visit, visit
from bench.stack import Stack
from bench.waiting import QUESTIONS, conditions, measured_stack, warm_up

REQUESTS = 50
#: Seconds of flood before the one user asks.
RISE_S = 10.0
TITLE = f"one user beside {REQUESTS} requests of another"


async def beside_flood(
    running: Stack, questions: int
) -> tuple[list[Visit], list[Visit], list[Visit]]:
    """The one user's visits alone and beside the flood, and the flooder's."""
    async with httpx2.AsyncClient(
        trust_env=False, timeout=600, limits=httpx2.Limits(max_connections=REQUESTS + 8)
    ) as client:

        async def ask(user: str, number: int, conversation: str) -> Visit:
            text = QUESTIONS[number % len(QUESTIONS)]
            return await visit(
                client, running.url, text, user=user, conversation=conversation, stream=True
            )

        await warm_up(client, running.url)
        alone = [await ask("single", n, f"i{n}") for n in range(questions)]
        flood: list[Visit] = []

        async def flooding(number: int) -> None:
            for round_ in itertools.count():
                flood.append(await ask("flooder", number + round_, f"f{number}-{round_}"))
                await asyncio.sleep(flood[-1].retry_after_s or 0)

        tasks = [asyncio.create_task(flooding(n)) for n in range(REQUESTS)]
        await asyncio.sleep(RISE_S)
        beside = [await ask("single", n, f"b{n}") for n in range(questions)]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return alone, beside, flood


def flood_claims(
    alone: Sequence[Visit], beside: Sequence[Visit], flood: Sequence[Visit], settings: str
) -> list[Claim]:
    """The one user is always answered, and almost always within what he was promised."""
    missed = [v for v in [*alone, *beside] if v.status != 200 or v.outcome != "answered"]
    codes = ", ".join(sorted({f"{v.status} {v.outcome}" for v in missed})) or "all answered"
    claims = [
        count(f"{TITLE}: his requests without an answer", len(missed),
              of=len(alone) + len(beside), unit="requests", detail=f"{settings}; {codes}")
    ]  # fmt: skip
    goal, what = "<= 1", f"{TITLE}: his wait, p95 / (2 x alone + one service time)"
    served = [v for v in flood if v.outcome == "answered"]
    if missed or not alone or not beside or not served:
        return [*claims, no_data(what, goal=goal, detail="", unit="answers", kind="ratio")]
    alone_s = statistics.median(v.queue_s for v in alone)
    service_s = statistics.median(v.total_s - v.queue_s for v in served)
    allowed_s = 2 * alone_s + service_s
    ratios = [v.queue_s / allowed_s for v in beside]
    waits = [v.queue_s for v in beside]
    whole_s = statistics.median(v.total_s for v in alone)
    wholes = [v.total_s / (2 * whole_s + service_s) for v in beside]
    claims.append(
        Claim(
            what,
            percentile(ratios, 0.95),
            min(ratios),
            max(ratios),
            len(ratios),
            "answers",
            goal,
            f"his wait alone {alone_s:.2f} s, beside the flood median "
            f"{statistics.median(waits):.2f} s, longest {max(waits):.2f} s; service time then "
            f"{service_s:.2f} s; the flooder's wait "
            f"{statistics.median(v.queue_s for v in served):.1f} s, {len(served)} of his requests "
            f"answered, {len(flood) - len(served)} refused",
        )
    )
    claims.append(
        Claim(
            f"{TITLE}: his whole time, p95 / (2 x alone + one service time)",
            percentile(wholes, 0.95),
            min(wholes),
            max(wholes),
            len(wholes),
            "answers",
            "",
            f"medians {statistics.median(v.total_s for v in beside):.2f} s beside the flood and "
            f"{whole_s:.2f} s alone",
        )
    )
    return claims


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--answer-tokens", type=int, default=48)
    parser.add_argument("--paced", action="store_true", help="use the engine without a model")
    chosen = parser.parse_args()
    settings, told = conditions(chosen.answer_tokens, paced=chosen.paced)
    settings |= {"CHATBOT_MAX_WAITING": "64", "CHATBOT_MAX_WAITING_PER_USER": "0"}
    with measured_stack(paced=chosen.paced, **settings) as running:
        alone, beside, flood = asyncio.run(beside_flood(running, chosen.questions))
    report(flood_claims(alone, beside, flood, told), chosen.json)


if __name__ == "__main__":
    main()

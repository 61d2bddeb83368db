"""The whole stack against the bare engine: the same eight streams, taken in turns.

    python -m bench.through [--rounds 5] [--streams 8] [--json FILE]

One engine serves both ways. Way A posts to the gateway (nginx, service, queue, store); way B posts
the same messages to the engine itself. Every prompt is new, so the cache helps neither.
"""

from __future__ import annotations

import asyncio
import time

import httpx2

from bench.claims import arguments, paired, percentile, report
from bench.stack import ROOT, Stack, engine, stack
from bench.talk import Answer, ask, ask_engine
from chatbot_ai.domain.persona import Character
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.server.personas import read_personas

CARD = "Rachel is a ship's cook on the grain trader Halcyon. She is warm and never lies about food."
ANSWER_TOKENS = 64

#: Tokens per second of one round, and its answers.
Round = tuple[float, list[Answer]]


def engine_request(marker: str) -> tuple[list[dict[str, str]], dict[str, object]]:
    """The messages and sampling that our service would send."""
    persona = read_personas(ROOT / "prompt" / "config-Llama.json")["character"]
    system = persona.system_prompt(
        Character("Rachel", "Welcome aboard. Hungry?", f"{marker} {CARD}")
    )
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": question(marker)},
    ]
    wished = persona.sampling
    sampling = {
        name: getattr(wished, name)
        for name in ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")
    }
    return messages, {**sampling, "stop": list(wished.stop), "max_tokens": ANSWER_TOKENS}


def question(marker: str) -> str:
    return f"{marker}: tell me a long story about soup, with many details."


async def round_of(
    way: str, number: int, streams: int, running: Stack, bare: EngineOptions
) -> tuple[float, list[Answer]]:
    """All streams at once on one way: tokens per second of all together, and the answers."""
    headers = {"Authorization": f"Bearer {bare.api_key}"} if way == "engine" else {}
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=0)
    async with httpx2.AsyncClient(
        trust_env=False, timeout=600, headers=headers, limits=limits
    ) as client:
        began = time.perf_counter()
        calls = []
        for stream in range(streams):
            marker = f"{way[0]}{number}-{stream}"
            if way == "engine":
                messages, sampling = engine_request(marker)
                calls.append(ask_engine(client, bare.url, messages, sampling))
            else:
                calls.append(
                    ask(
                        client,
                        running.url,
                        question(marker),
                        user=f"u{stream}",
                        conversation=f"r{number}",
                        card=f"{marker} {CARD}",
                    )
                )
        answers = await asyncio.gather(*calls)
        elapsed = time.perf_counter() - began
    return sum(a.tokens for a in answers) / elapsed, list(answers)


async def measure(
    rounds: int, streams: int, running: Stack, bare: EngineOptions
) -> dict[str, list[tuple[float, list[Answer]]]]:
    found: dict[str, list[tuple[float, list[Answer]]]] = {"engine": [], "stack": []}
    for number in range(-1, rounds):
        ways = ["engine", "stack"] if number % 2 else ["stack", "engine"]
        for way in ways:
            result = await round_of(way, number + 1, streams, running, bare)
            if number >= 0:
                found[way].append(result)
    return found


def main() -> None:
    parser = arguments("The whole stack against the bare engine.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=8)
    chosen = parser.parse_args()
    with (
        engine(slots=chosen.streams, context_tokens=1024) as bare,
        stack(
            CHATBOT_ENGINE_URL=bare.url,
            CHATBOT_ENGINE_API_KEY=bare.api_key,
            CHATBOT_CONTEXT_TOKENS="1024",
            CHATBOT_MAX_CONCURRENT=str(chosen.streams),
            CHATBOT_ANSWER_TOKENS=str(ANSWER_TOKENS),
        ) as running,
    ):
        found = asyncio.run(measure(chosen.rounds, chosen.streams, running, bare))
    rates = {way: [rate for rate, _ in rounds] for way, rounds in found.items()}
    first = {
        way: [percentile([a.first_token_s for a in answers], 0.5) for _, answers in rounds]
        for way, rounds in found.items()
    }
    speeds = {way: percentile(values, 0.5) for way, values in rates.items()}
    report(
        [
            paired(
                f"tokens per second, stack / engine, {chosen.streams} streams",
                rates["stack"],
                rates["engine"],
                goal=">= 0.97",
                unit="rounds",
                detail=f"medians {speeds['stack']:.1f} and {speeds['engine']:.1f} tokens/s",
            ),
            paired(
                f"time to first token, stack / engine, {chosen.streams} streams",
                first["stack"],
                first["engine"],
                goal="<= 1.05",
                unit="rounds",
                detail=", ".join(
                    f"{way} {percentile(v, 0.5) * 1000:.0f} ms" for way, v in first.items()
                ),
            ),
        ],
        chosen.json,
    )


if __name__ == "__main__":
    main()

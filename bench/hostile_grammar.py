"""How long a schema within the limits can hold the engine that everybody shares.

    python -m bench.hostile_grammar [--schemas N] [--json FILE]

Schemas are drawn at random: nested patterns, alternatives, lists of types. Those that the limits let
through go to a real engine of its own, one after the other; a request for one token without a
schema is made beside each, as another caller's. The others must be refused without cost.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from typing import Any

import httpx2

from bench.claims import Claim, arguments, report
from bench.stack import ROOT, engine
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.grammar_cost import check_schema
from chatbot_ai.llm.engine import EngineOptions

sys.path.insert(0, str(ROOT / "tests"))

from support.hostile_schemas import HOSTILE, random_schema

#: Seconds after which the product gives a request up (REQUEST_DEADLINE_S), and restarts an engine
#: that finishes no token (ENGINE_STALL_TIMEOUT_S).
DEADLINE_S, STALL_S = 120.0, 90.0
TOKENS = 16


def ask(options: EngineOptions, schema: dict[str, Any] | None, tokens: int) -> float:
    """Seconds until the answer is whole."""
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Write something."}],
        "max_tokens": tokens,
        "temperature": 1.5,
        "seed": 1,
    }
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    began = time.monotonic()
    httpx2.post(
        f"{options.url}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {options.api_key}"},
        trust_env=False,
        timeout=DEADLINE_S + STALL_S,
    )
    return time.monotonic() - began


def measure(options: EngineOptions, schema: dict[str, Any]) -> tuple[float, float]:
    """Seconds of the answer, and of another caller's single token meanwhile."""
    neighbour: list[float] = []
    other = threading.Thread(target=lambda: neighbour.append(ask(options, None, 1)))
    other.start()
    own = ask(options, schema, TOKENS)
    other.join()
    return own, neighbour[0] if neighbour else DEADLINE_S + STALL_S


def check_seconds(schema: dict[str, Any]) -> tuple[float, bool]:
    """Processor seconds that the limits take, and whether the schema is let through."""
    began = time.process_time()
    try:
        check_schema(schema)
    except InvalidRequest:
        return time.process_time() - began, False
    return time.process_time() - began, True


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--schemas", type=int, default=100, help="that are sent (100)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    checks = [check_seconds(schema)[0] for schema in HOSTILE.values()]
    passed = sum(check_seconds(schema)[1] for schema in HOSTILE.values())
    times: list[tuple[float, float, str]] = []
    with engine(slots=2, context_tokens=1024) as options:
        plain = [measure(options, {"type": "string"})[0] for _ in range(5)]
        while len(times) < chosen.schemas:
            schema = random_schema(draw)
            seconds, fits = check_seconds(schema)
            checks.append(seconds)
            if fits:
                times.append((*measure(options, schema), json.dumps(schema)))
    own, _, dearest = max(times)
    usual = sorted(plain)[2]
    report(
        [
            Claim(
                "longest answer to a schema within the limits",
                own,
                min(plain),
                max(plain),
                len(times),
                "schemas",
                f"<= {DEADLINE_S}",
                f"{TOKENS} tokens; {own / usual:.1f} times a plain schema; {dearest[:200]}",
                "s",
                "plain schemas of 5 answers",
            ),
            Claim(
                "another caller's token beside it",
                max(beside for _, beside, _ in times),
                None,
                None,
                len(times),
                "schemas",
                f"<= {DEADLINE_S}",
                kind="s",
            ),
            Claim(
                "checking a schema, before it is sent or refused",
                1000 * max(checks),
                None,
                None,
                len(checks),
                "schemas",
                "<= 100",
                "processor time",
                "ms",
            ),
            Claim(
                "schemas made to hold an engine that were let through",
                passed,
                None,
                None,
                len(HOSTILE),
                "schemas",
                "<= 0",
                kind="count",
            ),
        ],
        chosen.json,
    )


if __name__ == "__main__":
    main()

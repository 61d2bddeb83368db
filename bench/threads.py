"""How the engine's threads wait for each other: our setting against two others.

    python -m bench.threads [--rounds 3] [--tokens 48] [--spin-counts 100 1000] [--json FILE]

Ours is what the supervisor gives every engine (ENGINE_ENVIRONMENT); the others are
OMP_WAIT_POLICY=passive, with which threads sleep at once, and the library's own default, with
which they spin for long; --spin-counts adds more values of GOMP_SPINCOUNT to choose from. Each is
measured on an otherwise idle machine, and beside two and beside six processes that never rest. In
every round each way gets an engine of its own, in an order that rotates: one
generation of `--tokens` tokens, then prompts of 25 tokens that no cache knows. The speeds are the
engine's own figures.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping

import httpx2

from bench.claims import Claim, arguments, paired, report
from bench.stack import engine
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.server.engines import ENGINE_ENVIRONMENT

WAYS: dict[str, Mapping[str, str]] = {
    "ours": ENGINE_ENVIRONMENT,
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "the default": {},
}
PROMPT_TOKENS = 25
PROMPTS = 5
BUSY = (0, 2, 6)

#: Tokens per second of generation, and of reading a short prompt.
Speeds = tuple[float, float]


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that compute without a pause."""
    children = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def speeds(bare: EngineOptions, tokens: int, round_: int) -> Speeds:
    """The engine's own figures after one generation that does not count."""
    headers = {"Authorization": f"Bearer {bare.api_key}"}
    with httpx2.Client(trust_env=False, timeout=600, headers=headers) as client:

        def timings(prompt: list[int], predict: int) -> dict[str, float]:
            body = {"prompt": prompt, "n_predict": predict, "temperature": 0}
            response = client.post(
                f"{bare.url}/completion", json=body | {"ignore_eos": True, "cache_prompt": False}
            )
            response.raise_for_status()
            found: dict[str, float] = response.json()["timings"]
            return found

        def prompt(number: int) -> list[int]:
            return [1000 + (round_ * PROMPTS + number) * PROMPT_TOKENS + i for i in range(25)]

        timings(prompt(0), 16)
        decode = timings(prompt(0), tokens)["predicted_per_second"]
        prefill = [timings(prompt(n), 1)["prompt_per_second"] for n in range(1, PROMPTS + 1)]
    return decode, statistics.median(prefill)


def measure(
    ways: dict[str, Mapping[str, str]], rounds: int, tokens: int, processes: int
) -> dict[str, list[Speeds]]:
    found: dict[str, list[Speeds]] = {way: [] for way in ways}
    names = list(ways)
    for round_ in range(rounds):
        for way in names:
            with (
                engine(slots=1, context_tokens=1024, environment=ways[way]) as bare,
                busy(processes),
            ):
                decode, prefill = speeds(bare, tokens, round_)
            found[way].append((decode, prefill))
            sys.stderr.write(f"{way}: {decode:.1f} and {prefill:.1f} tokens/s\n")
        names.append(names.pop(0))
    return found


def claims_of(found: dict[str, list[Speeds]], place: str) -> list[Claim]:
    ours = " ".join(f"{name}={value}" for name, value in ENGINE_ENVIRONMENT.items())
    claims = []
    for part, what in enumerate(("generation", f"{PROMPT_TOKENS}-token prompt")):
        mine = [pair[part] for pair in found["ours"]]
        for way in found.keys() - {"ours"}:
            others = [pair[part] for pair in found[way]]
            claims.append(
                paired(
                    f"{place}, {what}: tokens per second with {ours} / with {way}",
                    mine,
                    others,
                    goal=">= 0.9",
                    unit="rounds",
                    detail=f"medians {statistics.median(mine):.1f} and "
                    f"{statistics.median(others):.1f} tokens/s",
                )
            )
    return sorted(claims, key=lambda claim: claim.title)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--spin-counts", type=int, nargs="*", default=[], help="more to compare")
    chosen = parser.parse_args()
    claims: list[Claim] = []
    more = {f"GOMP_SPINCOUNT={n}": {"GOMP_SPINCOUNT": str(n)} for n in chosen.spin_counts}
    for processes in BUSY:
        place = f"{processes} busy processes beside" if processes else "idle machine"
        found = measure(WAYS | more, chosen.rounds, chosen.tokens, processes)
        claims += claims_of(found, place)
    report(claims, chosen.json)


if __name__ == "__main__":
    main()

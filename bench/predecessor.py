"""Eight users against the predecessor's way: one llama-cpp-python worker, one request at a time.

    python -m bench.predecessor [--users 8] [--turns 10] [--rounds 3] [--native] [--json FILE]

Both ways answer the same ten-turn role-plays (the same persona and 700-token card, replies of 48
tokens: the questions ask for more, and the predecessor's way is kept from ending earlier) with the
same model, sampling, context and threads, one after the other in an order that alternates. The
predecessor's way is its own loop: a queue, one worker, one `Llama` object, the whole prompt of the
conversation each time, in the library's default environment.

llama-cpp-python is compiled into an environment of its own (ten minutes the first time), as it
has no prebuilt wheel: for the same instructions (AVX2) as the wheel of our engine, so that two
ways of serving are compared and not two compilers. With --native it is compiled for this very
processor, AVX-512 and AMX included, where it has them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.claims import Claim, arguments, paired, report
from bench.environment import environment
from bench.stack import ROOT, demo_model, stack, without_thread_settings
from bench.talk import CARD, ask
from chatbot_ai.domain.persona import Character
from chatbot_ai.server.personas import read_personas

HOME = Path("~/.cache/chatbot-ai-bench").expanduser()
VERSION = "0.3.36"
REPLY_TOKENS = 48
CONTEXT_TOKENS = 4096

#: Runs inside the other environment: reads one JSON line of settings, prints one of results.
WORKER = r"""
import json, queue, sys, threading, time
import llama_cpp
from llama_cpp import Llama
job = json.loads(sys.stdin.readline())
llama = Llama(model_path=job["model"], n_ctx=job["context"], n_batch=2048, n_threads=2,
              n_threads_batch=2, flash_attn=True, verbose=False)
vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
go_on = {t: -1e9 for t in range(llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocabulary, t)}
line, tokens = queue.Queue(), []
def work():
    while True:
        messages, done = line.get()
        answer = llama.create_chat_completion(messages, max_tokens=job["reply"],
                                              logit_bias=go_on, **job["sampling"])
        tokens.append(answer["usage"]["completion_tokens"])
        done.put(answer["choices"][0]["message"]["content"])
threading.Thread(target=work, daemon=True).start()
def user(number):
    messages = [{"role": "system", "content": job["systems"][number]}]
    for turn in range(job["turns"]):
        messages.append({"role": "user", "content": job["question"].format(turn=turn, number=number)})
        done = queue.Queue()
        line.put((list(messages), done))
        messages.append({"role": "assistant", "content": done.get()})
began = time.perf_counter()
users = [threading.Thread(target=user, args=(n,)) for n in range(job["users"])]
[u.start() for u in users]
[u.join() for u in users]
print(json.dumps({"seconds": time.perf_counter() - began, "tokens": sum(tokens)}))
"""
#: Asks for more than fits, so that replies take their 48 tokens on both sides.
QUESTION = (
    "Turn {turn}: what do you cook for guest {number} today, and why? Tell the whole long story."
)


SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")


def character(number: int) -> Character:
    """The character of one guest, as `ask` describes it to our service."""
    return Character("Rachel", "Welcome aboard. Hungry?", f"Guest {number}. {CARD}")


@dataclass(frozen=True, slots=True)
class Run:
    """One way's run over all conversations: how many requests, what they took and gave."""

    requests: int
    seconds: float
    tokens: int

    @property
    def requests_an_hour(self) -> float:
        return 3600 * self.requests / self.seconds

    @property
    def tokens_an_hour(self) -> float:
        return 3600 * self.tokens / self.seconds

    @property
    def tokens_a_reply(self) -> float:
        return self.tokens / self.requests


def prepare(*, native: bool) -> Path:
    """The Python that has llama-cpp-python in the version of this comparison; compiled once."""
    home = HOME / ("predecessor" if native else "predecessor-portable")
    cmake = f"-DGGML_NATIVE={'ON' if native else 'OFF'}"
    return environment(home, "llama-cpp-python", VERSION, cmake=cmake) / "python"


def predecessor(python: Path, users: int, turns: int) -> Run:
    """The predecessor's way, told what our service would tell the model."""
    persona = read_personas(ROOT / "prompt" / "config-Llama.json")["character"]
    job = {
        "model": str(demo_model()),
        "context": CONTEXT_TOKENS,
        "reply": REPLY_TOKENS,
        "systems": [persona.system_prompt(character(number)) for number in range(users)],
        "sampling": {name: getattr(persona.sampling, name) for name in SAMPLING},
        "question": QUESTION,
        "users": users,
        "turns": turns,
    }
    done = subprocess.run(
        [str(python), "-c", WORKER],
        input=json.dumps(job) + "\n",
        capture_output=True,
        text=True,
        check=True,
        env=without_thread_settings(),
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Run(users * turns, found["seconds"], found["tokens"])


async def talk(url: str, users: int, turns: int) -> Run:
    """The same conversations through the whole stack."""
    tokens: list[int] = []
    async with httpx2.AsyncClient(trust_env=False, timeout=600) as client:

        async def user(number: int) -> None:
            for turn in range(turns):
                answer = await ask(
                    client,
                    url,
                    QUESTION.format(turn=turn, number=number),
                    user=f"guest{number}",
                    conversation="voyage",
                    card=f"Guest {number}. {CARD}",
                )
                tokens.append(answer.tokens)

        began = time.perf_counter()
        await asyncio.gather(*(user(number) for number in range(users)))
        return Run(len(tokens), time.perf_counter() - began, sum(tokens))


def ours(users: int, turns: int) -> Run:
    with stack(
        CHARACTER_MAX_CONCURRENT=str(users),
        OFFICE_MAX_CONCURRENT="1",
        CHATBOT_CONTEXT_TOKENS=str(CONTEXT_TOKENS),
        CHATBOT_ANSWER_TOKENS=str(REPLY_TOKENS),
    ) as running:
        return asyncio.run(talk(running.url, users, turns))


def claims_of(pairs: list[tuple[Run, Run]], users: int, *, native: bool) -> list[Claim]:
    """Ours against theirs; the detail's figures are those of the pair in the middle."""
    by_ratio = sorted(pairs, key=lambda pair: pair[0].requests_an_hour / pair[1].requests_an_hour)
    middle, old = by_ratio[len(by_ratio) // 2]
    build = f"llama-cpp-python {VERSION}{' compiled for this processor' if native else ''}"
    name = f"ours / predecessor's way ({build}), {users} users"
    return [
        paired(
            f"requests an hour, {name}",
            [new.requests_an_hour for new, _ in pairs],
            [old.requests_an_hour for _, old in pairs],
            goal=">= 4",
            detail=f"{middle.requests_an_hour:,.0f} and {old.requests_an_hour:,.0f} requests an "
            "hour in the middle pair",
        ),
        paired(
            f"tokens an hour, {name}",
            [new.tokens_an_hour for new, _ in pairs],
            [old.tokens_an_hour for _, old in pairs],
            goal=">= 4",
            detail=f"{middle.tokens_an_hour:,.0f} and {old.tokens_an_hour:,.0f} tokens an hour in "
            "the middle pair",
        ),
        paired(
            f"mean tokens a reply, {name}",
            [new.tokens_a_reply for new, _ in pairs],
            [old.tokens_a_reply for _, old in pairs],
            detail=f"means over all runs {statistics.mean(new.tokens_a_reply for new, _ in pairs):.1f} "
            f"and {statistics.mean(old.tokens_a_reply for _, old in pairs):.1f} tokens",
        ),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--native", action="store_true", help="theirs for this very processor")
    chosen = parser.parse_args()
    python = prepare(native=chosen.native)
    pairs: list[tuple[Run, Run]] = []
    for round_ in range(chosen.rounds):
        if round_ % 2:
            new = ours(chosen.users, chosen.turns)
            old = predecessor(python, chosen.users, chosen.turns)
        else:
            old = predecessor(python, chosen.users, chosen.turns)
            new = ours(chosen.users, chosen.turns)
        pairs.append((new, old))
        sys.stderr.write(
            f"{new.requests_an_hour:.0f} against {old.requests_an_hour:.0f} requests an hour, "
            f"{new.tokens_a_reply:.1f} and {old.tokens_a_reply:.1f} tokens a reply\n"
        )
    report(claims_of(pairs, chosen.users, native=chosen.native), chosen.json)


if __name__ == "__main__":
    main()

"""Eight users against the predecessor's way: one llama-cpp-python worker, one request at a time.

    python -m bench.predecessor [--users 8] [--turns 10] [--json FILE]

Both ways answer the same ten-turn role-plays (700-token card, 48-token replies) with the same
model, context and threads. The predecessor's way is its own loop: a queue, one worker, one
`Llama` object, the whole prompt of the conversation each time. llama-cpp-python is compiled into
an environment of its own (ten minutes the first time), as it has no prebuilt wheel.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import httpx2

from bench.claims import Claim, arguments, report
from bench.stack import demo_model, stack
from bench.talk import CARD, ask

HOME = Path("~/.cache/chatbot-ai-bench/predecessor").expanduser()
REPLY_TOKENS = 48
CONTEXT_TOKENS = 4096

#: Runs inside the other environment: reads one JSON line of settings, prints one of results.
WORKER = r"""
import json, queue, sys, threading, time
from llama_cpp import Llama
job = json.loads(sys.stdin.readline())
llama = Llama(model_path=job["model"], n_ctx=job["context"], n_batch=2048, n_threads=2,
              n_threads_batch=2, flash_attn=True, verbose=False)
line = queue.Queue()
def work():
    while True:
        messages, done = line.get()
        answer = llama.create_chat_completion(messages, max_tokens=job["reply"], temperature=0.8,
                                              top_p=0.95, repeat_penalty=1.1)
        done.put(answer["choices"][0]["message"]["content"])
threading.Thread(target=work, daemon=True).start()
def user(number):
    messages = [{"role": "system", "content": f"Guest {number}. " + job["card"]}]
    for turn in range(job["turns"]):
        messages.append({"role": "user", "content": job["question"].format(turn=turn, number=number)})
        done = queue.Queue()
        line.put((list(messages), done))
        messages.append({"role": "assistant", "content": done.get()})
began = time.perf_counter()
users = [threading.Thread(target=user, args=(n,)) for n in range(job["users"])]
[u.start() for u in users]
[u.join() for u in users]
print(json.dumps({"seconds": time.perf_counter() - began}))
"""
QUESTION = "Turn {turn}: what do you cook for guest {number} today, and why?"


def prepare() -> Path:
    """The Python that has llama-cpp-python; compiled once."""
    python = HOME / "bin" / "python"
    probe = [str(python), "-c", "import llama_cpp"]
    if not python.exists() or subprocess.run(probe, capture_output=True, check=False).returncode:
        venv.create(HOME, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "llama-cpp-python"], check=True)
    return python


def predecessor(python: Path, users: int, turns: int) -> float:
    """Requests per hour of the predecessor's way."""
    job = {
        "model": str(demo_model()),
        "context": CONTEXT_TOKENS,
        "reply": REPLY_TOKENS,
        "card": CARD,
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
        env=os.environ | {"OMP_WAIT_POLICY": "passive"},
    )
    seconds: float = json.loads(done.stdout.strip().splitlines()[-1])["seconds"]
    return 3600 * users * turns / seconds


async def ours(url: str, users: int, turns: int, run: int) -> float:
    """Requests per hour through the whole stack."""
    async with httpx2.AsyncClient(trust_env=False, timeout=600) as client:

        async def user(number: int) -> None:
            for turn in range(turns):
                await ask(
                    client,
                    url,
                    QUESTION.format(turn=turn, number=number),
                    user=f"guest{number}",
                    conversation=f"run{run}",
                    card=f"Guest {number}. {CARD}",
                )

        began = time.perf_counter()
        await asyncio.gather(*(user(number) for number in range(users)))
        return 3600 * users * turns / (time.perf_counter() - began)


def main() -> None:
    parser = arguments("Eight users against the predecessor's way.")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    python = prepare()
    ratios, rates = [], {"ours": [0.0], "predecessor": [0.0]}
    for run in range(chosen.rounds):
        old = predecessor(python, chosen.users, chosen.turns)
        with stack(
            CHARACTER_MAX_CONCURRENT=str(chosen.users),
            OFFICE_MAX_CONCURRENT="1",
            CHATBOT_CONTEXT_TOKENS=str(CONTEXT_TOKENS),
            CHATBOT_ANSWER_TOKENS=str(REPLY_TOKENS),
        ) as running:
            new = asyncio.run(ours(running.url, chosen.users, chosen.turns, run))
        ratios.append(new / old)
        rates["ours"].append(new)
        rates["predecessor"].append(old)
        sys.stderr.write(f"{new:.0f} against {old:.0f} requests an hour\n")
    ordered = sorted(ratios)
    report(
        [
            Claim(
                "requests an hour, ours / predecessor's way, 8 users",
                ordered[len(ordered) // 2],
                ordered[0],
                ordered[-1],
                len(ordered),
                "runs",
                ">= 4",
                f"{max(rates['ours']):.0f} and {max(rates['predecessor']):.0f} requests an hour",
            )
        ],
        chosen.json,
    )


if __name__ == "__main__":
    main()

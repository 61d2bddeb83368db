"""Time that each request costs beside the model: our whole stack against LiteLLM's proxy.

    python -m bench.overhead [--requests 600] [--json FILE]

All stand in front of the same fake OpenAI-compatible endpoint, which answers at once; a further way
asks the endpoint itself. One request on each way in turn, over kept-alive connections. Overhead is
a way's time minus the endpoint's own in the same round. Ours, stateless: nginx, service,
validation, queue, prompt, answer as JSON (the endpoint is read as a stream, as always). Ours with
memory: the same with user_id and db_id, so with the conversation read and the turn stored durably
before the answer, a new conversation every ten turns. LiteLLM's proxy has no memory. It is
installed in a fixed version into an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from bench.claims import Claim, arguments, percentile, report
from bench.environment import environment
from bench.stack import free_port, stack, wait_for

HOME = Path("~/.cache/chatbot-ai-bench/litellm").expanduser()
VERSION = "1.108.7"
#: No look at the network, and no key, whose check would only cost LiteLLM time.
LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
TURNS = 10
#: The spread is that of so many consecutive parts of the run.
PARTS = 5
WARM_UP = 100
TEXT = "Hello, what can you do for me today?"

ENDPOINT = r"""
import json
CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
def sse(body): return b"data: " + json.dumps({**CHUNK, **body}).encode() + b"\n\n"
STREAM = (sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]})
          + sse({"choices": [{"index": 0, "delta": {"content": " there"}, "finish_reason": None}]})
          + sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
          + sse({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
WHOLE = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "fake", "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}]}).encode()
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    stream = b'"stream":true' in body.replace(b": ", b":")
    kind = b"text/event-stream" if stream else b"application/json"
    answer = STREAM if stream else WHOLE
    if scope["path"] == "/health":
        kind, answer = b"application/json", b"{}"
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})
"""


def prepare() -> Path:
    """LiteLLM's command in the version of this comparison, installed once."""
    return environment(HOME, "litellm", VERSION, extra="[proxy]") / "litellm"


#: An address, and the body of the request with this number.
Way = tuple[str, Callable[[int], dict[str, object]]]


async def measure(ways: dict[str, Way], requests: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for number in range(-WARM_UP, requests):
            names = list(ways)
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                url, body = ways[name]
                sent = body(number)
                began = time.perf_counter()
                response = await client.post(url, json=sent)
                elapsed = time.perf_counter() - began
                response.raise_for_status()
                if number >= 0:
                    found[name].append(elapsed)
    return found


def remembered(number: int) -> dict[str, object]:
    return {"input_data": TEXT, "user_id": "bench", "db_id": f"c{(number + WARM_UP) // TURNS}"}


def main() -> None:
    parser = arguments("Our stack's time per request against LiteLLM's.")
    parser.add_argument("--requests", type=int, default=600)
    chosen = parser.parse_args()
    command = prepare()
    ports = {"endpoint": free_port(), "litellm": free_port()}
    endpoint = f"http://127.0.0.1:{ports['endpoint']}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "endpoint.py").write_text(ENDPOINT)
        config = {
            "model_list": [
                {
                    "model_name": "fake",
                    "litellm_params": {
                        "model": "openai/fake",
                        "api_base": f"{endpoint}/v1",
                        "api_key": "none",
                    },
                }
            ]
        }
        Path(folder, "litellm.yaml").write_text(json.dumps(config))
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "endpoint:app", "--log-level", "error"]
                + ["--port", str(ports["endpoint"]), "--app-dir", folder],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ),
            subprocess.Popen(
                [
                    str(command),
                    "--config",
                    f"{folder}/litellm.yaml",
                    "--port",
                    str(ports["litellm"]),
                ]
                + ["--host", "127.0.0.1"],
                env=os.environ | LITELLM_ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ),
        ]
        try:
            wait_for(f"{endpoint}/health")
            wait_for(f"http://127.0.0.1:{ports['litellm']}/health/liveliness")
            with stack(CHATBOT_ENGINE_URL=endpoint, CHATBOT_ENGINE_MODEL="fake") as running:
                chat: dict[str, object] = {
                    "model": "fake",
                    "messages": [{"role": "user", "content": TEXT}],
                }
                litellm = f"http://127.0.0.1:{ports['litellm']}/v1/chat/completions"
                ways: dict[str, Way] = {
                    "endpoint": (f"{endpoint}/v1/chat/completions", lambda _: chat),
                    "stateless": (f"{running.url}/office/Llama", lambda _: {"input_data": TEXT}),
                    "with memory": (f"{running.url}/office/Llama", remembered),
                    "litellm": (litellm, lambda _: chat),
                }
                found = asyncio.run(measure(ways, chosen.requests))
        finally:
            for child in children:
                child.kill()
                child.wait()
    report(claims_of(found), chosen.json)


def claims_of(found: dict[str, list[float]]) -> list[Claim]:
    overhead = {
        name: [way - own for way, own in zip(found[name], found["endpoint"], strict=True)]
        for name in ("stateless", "with memory", "litellm")
    }
    theirs = overhead["litellm"]
    size = len(theirs) // PARTS
    claims = []
    for name in ("stateless", "with memory"):
        ours = overhead[name]
        alike = name == "stateless"
        goal = "<= 0.3333" if alike else ""
        note = "" if alike else "; LiteLLM stores nothing"
        for label, share in (("median", 0.5), ("p95", 0.95)):
            ratios = [
                percentile(ours[i * size : (i + 1) * size], share)
                / percentile(theirs[i * size : (i + 1) * size], share)
                for i in range(PARTS)
            ]
            mine, other = percentile(ours, share), percentile(theirs, share)
            claims.append(
                Claim(
                    f"overhead per request, ours {name} / LiteLLM {VERSION}, {label}",
                    mine / other,
                    min(ratios),
                    max(ratios),
                    len(ours),
                    "requests a way",
                    goal,
                    f"{mine * 1000:.2f} ms against {other * 1000:.2f} ms{note}",
                    spread=f"least to most of {PARTS} consecutive parts",
                )
            )
    return claims


if __name__ == "__main__":
    main()

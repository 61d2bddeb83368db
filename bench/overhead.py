"""Time that each request costs beside the model: our whole stack against LiteLLM's proxy.

    python -m bench.overhead [--requests 600] [--json FILE]

Both stand in front of the same fake OpenAI-compatible endpoint, which answers at once; a third way
asks the endpoint itself. One request on each way in turn, over kept-alive connections. Overhead is
a way's time minus the endpoint's own in the same round. Ours: nginx, service, validation, queue,
prompt, answer as JSON (the endpoint is read as a stream, as always). LiteLLM is installed into an
environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import httpx2

from bench.claims import Claim, arguments, percentile, report
from bench.stack import stack, wait_for
from chatbot_ai.server.engines import free_port

HOME = Path("~/.cache/chatbot-ai-bench/litellm").expanduser()
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
    """LiteLLM's command, installed once."""
    command = HOME / "bin" / "litellm"
    if not command.exists():
        venv.create(HOME, with_pip=True)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", "litellm[proxy]"]
        subprocess.run(pip, check=True)
    return command


async def measure(
    ways: dict[str, tuple[str, dict[str, object]]], requests: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for number in range(-WARM_UP, requests):
            names = list(ways)
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                url, body = ways[name]
                began = time.perf_counter()
                response = await client.post(url, json=body)
                elapsed = time.perf_counter() - began
                response.raise_for_status()
                if number >= 0:
                    found[name].append(elapsed)
    return found


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
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "endpoint:app", "--log-level", "error"]
                + ["--port", str(ports["endpoint"]), "--app-dir", folder],
                **quiet,
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
                env=os.environ
                | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"},
                **quiet,
            ),
        ]
        try:
            wait_for(f"{endpoint}/health")
            wait_for(f"http://127.0.0.1:{ports['litellm']}/health/liveliness")
            with stack(CHATBOT_ENGINE_URL=endpoint, CHATBOT_ENGINE_MODEL="fake") as running:
                chat = {"model": "fake", "messages": [{"role": "user", "content": TEXT}]}
                ways: dict[str, tuple[str, dict[str, object]]] = {
                    "endpoint": (f"{endpoint}/v1/chat/completions", chat),
                    "ours": (f"{running.url}/office/Llama", {"input_data": TEXT}),
                    "litellm": (f"http://127.0.0.1:{ports['litellm']}/v1/chat/completions", chat),
                }
                found = asyncio.run(measure(ways, chosen.requests))
        finally:
            for child in children:
                child.terminate()
    report(claims_of(found), chosen.json)


def claims_of(found: dict[str, list[float]]) -> list[Claim]:
    overhead = {
        name: [way - own for way, own in zip(found[name], found["endpoint"], strict=True)]
        for name in ("ours", "litellm")
    }
    claims = []
    for label, share in (("median", 0.5), ("p95", 0.95)):
        ours = percentile(overhead["ours"], share)
        theirs = percentile(overhead["litellm"], share)
        # the spread: the same ratio in five consecutive parts of the run
        size = len(overhead["ours"]) // 5
        parts = [
            percentile(overhead["ours"][i * size : (i + 1) * size], share)
            / percentile(overhead["litellm"][i * size : (i + 1) * size], share)
            for i in range(5)
        ]
        claims.append(
            Claim(
                f"overhead per request, ours / LiteLLM, {label}",
                ours / theirs,
                min(parts),
                max(parts),
                len(overhead["ours"]),
                "requests",
                "<= 0.3333",
                f"{ours * 1000:.2f} ms against {theirs * 1000:.2f} ms",
            )
        )
    return claims


if __name__ == "__main__":
    main()

"""How long a slot stays taken after its caller has left, through nginx.

    python -m bench.leaving [--rounds 10] [--json FILE]

A caller closes the connection while its request waits, while its prompt is computed (about 1,400
tokens, new every time) or while its answer is generated; with a JSON answer and with a stream. The
time is from the closing until the engine's own /slots (for one that waits: the service's own
figures) shows that nobody is served any more. The slot must be free within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import Any, Literal, get_args

import httpx2

from bench.claims import Claim, arguments, percentile, report
from bench.stack import engine, stack
from chatbot_ai.llm.engine import EngineOptions

Stage = Literal["waiting", "prefill", "generation"]
Kind = Literal["json", "stream"]

#: Seconds that a stage may take to come, and a slot to become free.
PATIENCE_S = 60.0
POLL_S = 0.01
PREFILL_PHRASES = 200


class Leaver:
    """Callers of one stack whose engine has one slot."""

    def __init__(self, url: str, options: EngineOptions) -> None:
        self._url, self._options = url, options
        self._client = httpx2.AsyncClient(trust_env=False, timeout=300)

    async def __aenter__(self) -> Leaver:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def leave(self, kind: Kind, stage: Stage) -> float:
        """Ask, leave at that stage, and return the seconds until nobody is served for it.

        Raises TimeoutError where the stage does not come or the slot stays taken.
        """
        if stage == "waiting":
            ahead = asyncio.create_task(self._ask("stream"))
            await self._while_asking(ahead, self._generates)
            task = asyncio.create_task(self._ask(kind))
            await self._while_asking(task, self._waits)
            seconds = await self._gone(task, self._waits_not)
            await self._gone(ahead, self._idle)
            return seconds
        task = asyncio.create_task(
            self._ask(kind, phrases=PREFILL_PHRASES if stage == "prefill" else 1)
        )
        await self._while_asking(task, self._computes if stage == "prefill" else self._generates)
        return await self._gone(task, self._idle)

    async def _while_asking(self, task: asyncio.Task[None], holds: Any) -> None:
        """Wait for it; an error of the call is raised at once."""
        waiting = asyncio.create_task(self._until(holds))
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            task.result()
            raise AssertionError("the answer ended before its caller left")
        await waiting

    async def _gone(self, task: asyncio.Task[None], free: Any) -> float:
        began = time.perf_counter()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self._until(free)
        return time.perf_counter() - began

    async def _ask(self, kind: Kind, phrases: int = 1) -> None:
        body = {
            "input_data": f"{uuid.uuid4()}: tell me a long story about the sea.",
            "character_name": "Rachel",
            "greeting": "Hello!",
            # first what is new, so that no part of the prompt is in the cache
            "context": f"{uuid.uuid4()} " + "the sea and the wind, " * phrases,
        }
        headers = {"Accept": "text/event-stream"} if kind == "stream" else {}
        address = f"{self._url}/character/Llama"
        async with self._client.stream("POST", address, json=body, headers=headers) as response:
            response.raise_for_status()
            async for _ in response.aiter_raw():
                pass

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(POLL_S)

    async def _slot(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._options.api_key}"}
        answer = await self._client.get(f"{self._options.url}/slots", headers=headers)
        slot: dict[str, Any] = answer.raise_for_status().json()[0]
        return slot

    async def _idle(self) -> bool:
        return not (await self._slot())["is_processing"]

    async def _computes(self) -> bool:
        slot = await self._slot()
        return bool(slot["is_processing"]) and _decoded(slot) == 0

    async def _generates(self) -> bool:
        slot = await self._slot()
        return bool(slot["is_processing"]) and _decoded(slot) > 0

    async def _waiting(self) -> int:
        answer = await self._client.get(f"{self._url}/character/performance")
        return int(answer.raise_for_status().json()["waiting"])

    async def _waits(self) -> bool:
        return await self._waiting() == 1

    async def _waits_not(self) -> bool:
        return await self._waiting() == 0


def _decoded(slot: dict[str, Any]) -> int:
    """Tokens that the slot's answer has by now."""
    token = slot["next_token"]
    return int((token[0] if isinstance(token, list) else token)["n_decoded"])


async def measure(url: str, options: EngineOptions, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    async with Leaver(url, options) as leaver:
        for _ in range(rounds):
            for stage in get_args(Stage):
                for kind in get_args(Kind):
                    name = f"{stage}, {kind}"
                    found.setdefault(name, []).append(await leaver.leave(kind, stage))
    return found


def main() -> None:
    parser = arguments("How long a slot stays taken after its caller has left.")
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    with (
        engine(slots=1, context_tokens=4096) as bare,
        stack(
            CHATBOT_ENGINE_URL=bare.url,
            CHATBOT_ENGINE_API_KEY=bare.api_key,
            CHATBOT_CONTEXT_TOKENS="4096",
            CHATBOT_MAX_CONCURRENT="1",
            CHATBOT_ANSWER_TOKENS="1000",
        ) as running,
    ):
        found = asyncio.run(measure(running.url, bare, chosen.rounds))
    report(
        [
            Claim(
                f"slot free after its caller left: {name}",
                percentile(seconds, 0.95),
                min(seconds),
                max(seconds),
                len(seconds),
                "callers",
                "<= 1",
                f"the value is the 95th percentile; median {percentile(seconds, 0.5):.2f} s",
                kind="s",
            )
            for name, seconds in found.items()
        ],
        chosen.json,
    )


if __name__ == "__main__":
    main()

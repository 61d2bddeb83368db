"""Web search from the settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from chatbot_ai.core.references import References, WebSearch
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError, trace_places
from chatbot_ai.domain.grounding import CountText, Grounder, GroundingResult
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import reveal, split_list

log = structlog.get_logger()


#: After a failed build the next question in so many seconds tries again.
RETRY_S = 30.0


class BackgroundGrounder:
    """A Grounder that is made in the background, so that its libraries (half a second of imports)
    do not hold up the start of the service. One that cannot be made is tried again after a pause.
    """

    def __init__(
        self, build: Callable[[], Grounder], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._build, self._clock = build, clock
        self._making: asyncio.Task[Grounder] | None = None
        self._next_try = 0.0

    async def start(self) -> None:
        self._task()

    async def ground(
        self, question: str, *, query: str, deadline_s: float, max_tokens: int, count: CountText
    ) -> GroundingResult:
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        making = self._task()
        await asyncio.wait([making], timeout=deadline_s)
        if not making.done() or making.exception() is not None:
            return GroundingResult("unavailable", warnings=("search_unavailable",))
        return await making.result().ground(
            question,
            query=query,
            deadline_s=max(0.05, end - loop.time()),
            max_tokens=max_tokens,
            count=count,
        )

    async def close(self) -> None:
        if self._making is None:
            return
        await asyncio.wait([self._making])
        if self._making.exception() is None:
            await self._making.result().close()

    def _task(self) -> asyncio.Task[Grounder]:
        making = self._making
        failed = making is not None and making.done() and making.exception() is not None
        if making is None or (failed and self._clock() >= self._next_try):
            making = self._making = asyncio.create_task(self._make())
            making.add_done_callback(self._note_made)
        return making

    async def _make(self) -> Grounder:
        grounder = await asyncio.to_thread(self._build)
        await grounder.start()
        return grounder

    def _note_made(self, making: asyncio.Task[Grounder]) -> None:
        error = None if making.cancelled() else making.exception()
        if error is None:
            return
        self._next_try = self._clock() + RETRY_S
        if isinstance(error, ConfigurationError):
            log.error("search.misconfigured", detail=str(error))
        else:  # a library that does not load must fail no answer
            log.error(
                "search.not_started",
                error=type(error).__name__,
                at=trace_places(error),
                retry_s=RETRY_S,
            )


def build_references(assistant: Assistant, shared: Settings) -> References:
    """What stands beside the newest input: for office the time, and web passages on request."""
    if assistant == "character":
        return References(zone=shared.zone, with_time=False)

    def build() -> Grounder:
        from chatbot_ai.search.grounder import build_grounder  # noqa: PLC0415
        from chatbot_ai.search.providers import PROVIDER_SETTINGS  # noqa: PLC0415

        values = {name: reveal(getattr(shared, name)) or "" for name in PROVIDER_SETTINGS}
        return build_grounder(
            split_list(shared.search_providers),
            values,
            denied_networks=split_list(shared.search_denied_networks),
        )

    return References(
        zone=shared.zone,
        with_time=True,
        web=WebSearch(
            BackgroundGrounder(build),
            budget_s=shared.search_budget_s,
            rewrite=shared.search_rewrite,
            tokens=shared.search_tokens,
        ),
    )

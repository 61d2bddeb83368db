"""Web search from the settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from chatbot_ai.core.references import References
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.grounding import CountText, Grounder, GroundingResult
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import listed, plain

log = structlog.get_logger()


class BackgroundGrounder:
    """A Grounder that is made in the background, so that its libraries (half a second of imports)
    do not hold up the start of the service."""

    def __init__(self, build: Callable[[], Grounder]) -> None:
        self._build = build
        self._made: asyncio.Task[Grounder] | None = None

    async def start(self) -> None:
        if self._made is None:
            self._made = asyncio.create_task(self._make())

    async def ground(
        self, question: str, *, query: str, deadline_s: float, count: CountText
    ) -> GroundingResult:
        await self.start()
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        try:
            async with asyncio.timeout_at(end):
                grounder = await asyncio.shield(self._task())
        except (TimeoutError, ConfigurationError):
            return GroundingResult("unavailable", warnings=("search_unavailable",))
        return await grounder.ground(
            question, query=query, deadline_s=max(0.05, end - loop.time()), count=count
        )

    async def close(self) -> None:
        if self._made is None:
            return
        with contextlib.suppress(ConfigurationError):
            await (await self._made).close()

    def _task(self) -> asyncio.Task[Grounder]:
        if self._made is None:
            raise AssertionError("start makes the task")
        return self._made

    async def _make(self) -> Grounder:
        try:
            grounder = await asyncio.to_thread(self._build)
        except ConfigurationError as error:
            log.error("search.misconfigured", detail=str(error))  # noqa: TRY400 - no traceback
            raise
        await grounder.start()
        return grounder


def references(assistant: Assistant, shared: Settings) -> References:
    """What stands beside the newest input: for office the time, and web passages on request."""
    if assistant == "character":
        return References(zone=shared.zone, with_time=False)

    def build() -> Grounder:
        from chatbot_ai.search.assembly import build_grounding  # noqa: PLC0415

        return build_grounding(
            listed(shared.search_providers),
            google_api_key=plain(shared.google_api_key) or "",
            search_engine_id=shared.search_engine_id or "",
            naver_client_id=shared.naver_client_id or "",
            naver_client_secret=plain(shared.naver_client_secret) or "",
            searxng_url=shared.searxng_url or "",
            max_tokens=shared.search_tokens,
            denied_networks=listed(shared.search_denied_networks),
        )

    return References(
        zone=shared.zone,
        with_time=True,
        grounder=BackgroundGrounder(build),
        search_s=shared.search_budget_s,
        rewrite=shared.search_rewrite,
    )

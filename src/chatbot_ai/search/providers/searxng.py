"""SearXNG's JSON API: https://docs.searxng.org/dev/search_api.html. The instance must list `json`
under `search.formats`; it answers 403 otherwise."""

from __future__ import annotations

import ssl
from typing import Literal

from chatbot_ai.domain.errors import ConfigurationError, SearchUnavailable
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.search.providers.json_api import JsonApi, is_web_url, make_results, quota_error


class SearxngSearch:
    """Searches with an instance of SearXNG, usually the operator's own.

    time_range narrows to the last day, month or year; None is any time.
    """

    name = "searxng"

    def __init__(
        self,
        base_url: str,
        *,
        language: str = "ko-KR",
        time_range: Literal["day", "month", "year"] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not is_web_url(base_url):
            raise ConfigurationError("SEARXNG_URL must be an http or https URL without a user name")
        self._api = JsonApi(base_url, ssl_context=ssl_context)
        self._params: dict[str, str | int] = {
            "format": "json",
            "language": language,
            "safesearch": 1,
            "categories": "general",
        }
        if time_range is not None:
            self._params["time_range"] = time_range

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        answer = await self._api.get("search", {"q": query, **self._params}, timeout_s=timeout_s)
        if answer.status == 429:
            raise quota_error(self.name, answer)
        if answer.status != 200 or not isinstance(answer.content, dict):
            raise SearchUnavailable(f"searxng: status {answer.status}")
        found = make_results(
            self.name,
            answer.content.get("results"),
            limit,
            title="title",
            url="url",
            snippet="content",
        )
        if not found and answer.content.get("unresponsive_engines"):
            raise SearchUnavailable("searxng: its engines did not respond")
        return found

    async def close(self) -> None:
        await self._api.close()

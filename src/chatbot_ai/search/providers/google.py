"""Google's Custom Search JSON API: https://developers.google.com/custom-search/v1/reference."""

from __future__ import annotations

import ssl

from chatbot_ai.domain.errors import SearchUnavailable
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.search.providers.json_api import JsonAnswer, JsonApi, make_results, quota_error

GOOGLE_URL = "https://www.googleapis.com"
#: The API's own limit for `num`.
_MAX_RESULTS = 10
#: `error.errors[].reason` of a 403 that means a quota; other 403s mean the key or the project.
_QUOTA_REASONS = frozenset(
    {"dailyLimitExceeded", "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"}
)


class GoogleSearch:
    """Searches with an API key and the id of a programmable search engine."""

    name = "google"

    def __init__(
        self,
        api_key: str,
        engine_id: str,
        *,
        base_url: str = GOOGLE_URL,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._api_key = api_key
        self._engine_id = engine_id
        self._api = JsonApi(base_url, ssl_context=ssl_context)

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        params: dict[str, str | int] = {
            "key": self._api_key,
            "cx": self._engine_id,
            "q": query,
            "num": max(1, min(limit, _MAX_RESULTS)),
            "gl": "kr",
            "hl": "ko",
            "safe": "active",
        }
        answer = await self._api.get("customsearch/v1", params, timeout_s=timeout_s)
        if answer.status == 429 or (answer.status == 403 and _reasons(answer) & _QUOTA_REASONS):
            raise quota_error(self.name, answer)
        if answer.status != 200 or not isinstance(answer.content, dict):
            raise SearchUnavailable(f"google: status {answer.status}")
        items = answer.content.get("items", [])  # absent where nothing was found
        return make_results(self.name, items, limit, title="title", url="link", snippet="snippet")

    async def close(self) -> None:
        await self._api.close()


def _reasons(answer: JsonAnswer) -> set[str]:
    error = answer.content.get("error") if isinstance(answer.content, dict) else None
    details = error.get("errors") if isinstance(error, dict) else None
    if not isinstance(details, list):
        return set()
    return {str(detail.get("reason")) for detail in details if isinstance(detail, dict)}

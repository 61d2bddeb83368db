"""Naver's search API, web documents and news:
https://developers.naver.com/docs/serviceapi/search/web/web.md and .../news/news.md."""

from __future__ import annotations

import asyncio
import html
import re
import ssl
from itertools import chain, zip_longest

from chatbot_ai.domain.errors import SearchUnavailable
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.search.providers.json_api import (
    JsonAnswer,
    JsonApi,
    drop_duplicates,
    make_results,
    quota_error,
)

NAVER_URL = "https://openapi.naver.com"
#: `errorCode` of an exceeded call limit (Naver's list of common error codes, status 429).
_QUOTA_CODE = "012"
#: The only markup in titles and descriptions: the searched words in bold.
_BOLD = re.compile(r"</?b>")


class NaverSearch:
    """Searches Naver's web documents and news at once and takes from both in turn.

    One of the two failing costs its results only.
    """

    name = "naver"

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        base_url: str = NAVER_URL,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = {"X-Naver-Client-Id": client_id, "X-Naver-Client-Secret": client_secret}
        self._api = JsonApi(base_url, ssl_context=ssl_context)

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        both = await asyncio.gather(
            self._search("webkr", query, limit, timeout_s),
            self._search("news", query, limit, timeout_s),
            return_exceptions=True,
        )
        for unexpected in both:
            if isinstance(unexpected, BaseException) and not isinstance(
                unexpected, SearchUnavailable
            ):
                raise unexpected
        found = [results for results in both if isinstance(results, list)]
        if not found:
            raise next(error for error in both if isinstance(error, SearchUnavailable))
        mixed = chain.from_iterable(zip_longest(*found))
        return drop_duplicates([result for result in mixed if result is not None])[:limit]

    async def close(self) -> None:
        await self._api.close()

    async def _search(
        self, kind: str, query: str, limit: int, timeout_s: float
    ) -> list[SearchResult]:
        answer = await self._api.get(
            f"v1/search/{kind}.json",
            {"query": query, "display": max(1, min(limit, 100))},
            headers=self._headers,
            timeout_s=timeout_s,
        )
        content = answer.content if isinstance(answer.content, dict) else {}
        if answer.status == 429 or content.get("errorCode") == _QUOTA_CODE:
            raise quota_error(self.name, answer)
        if answer.status != 200:
            raise SearchUnavailable(f"naver: {kind} status {answer.status}")
        return make_results(
            self.name, _clean_items(answer), limit, title="title", url="link", snippet="description"
        )


def _clean_items(answer: JsonAnswer) -> object:
    """Return the items with plain text, and with the publisher's own address for news."""
    items = answer.content.get("items") if isinstance(answer.content, dict) else None
    if not isinstance(items, list):
        return None
    return [_clean_item(item) if isinstance(item, dict) else item for item in items]


def _clean_item(item: dict[str, object]) -> dict[str, object]:
    return {
        "title": _remove_markup(item.get("title")),
        "link": item.get("originallink") or item.get("link"),
        "description": _remove_markup(item.get("description")),
    }


def _remove_markup(text: object) -> str:
    return html.unescape(_BOLD.sub("", text)) if isinstance(text, str) else ""

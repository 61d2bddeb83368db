"""What the providers with a JSON API share: one bounded GET, and results out of whatever comes."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from chatbot_ai.domain.errors import ExchangeFailed, SearchQuotaExceeded, SearchUnavailable
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.domain.text import sanitize_line
from chatbot_ai.search.bounded_http import (
    Resolver,
    ResolvingBackend,
    SystemResolver,
    build_pool,
    exchange,
)

MAX_TITLE_CHARS = 200
MAX_SNIPPET_CHARS = 1000
MAX_RESULT_URL_CHARS = 2048
#: Ten results are a few dozen kilobytes; what is larger is not an answer.
_LIMIT_BYTES = 1024 * 1024
_PARSED_IN_PLACE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """Status, body (None where it is not JSON) and the wait that Retry-After asks for."""

    status: int
    content: object
    retry_after_s: float | None


class JsonApi:
    """GETs JSON from one server, which is the operator's choice and may be a private one.

    Its name is resolved in threads of its own, by `resolve` where that is given.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolver | None = None,
    ) -> None:
        self._base_url = httpx2.URL(base_url.rstrip("/") + "/")
        self._resolver = SystemResolver(threads=2)
        backend = ResolvingBackend(resolve or self._resolver)
        self._pool = build_pool(backend=backend, ssl_context=ssl_context)

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> JsonAnswer:
        """Raises ExchangeFailed, also where the time is over."""
        url = self._base_url.join(path).copy_merge_params(dict(params))
        sent = {"Accept": "application/json", "User-Agent": "ChatBotAI/2.0", **(headers or {})}
        try:
            async with asyncio.timeout(timeout_s):
                async with exchange(self._pool, url, sent) as reply:
                    body = await reply.read(_LIMIT_BYTES)
                if len(body) > _PARSED_IN_PLACE_BYTES:
                    content = await asyncio.to_thread(_parse, body)
                else:
                    content = _parse(body)
        except TimeoutError as error:
            raise ExchangeFailed("timeout") from error
        return JsonAnswer(reply.status, content, _parse_seconds(reply.headers.get("retry-after")))

    async def close(self) -> None:
        await self._pool.aclose()
        self._resolver.close()


def quota_error(provider: str, answer: JsonAnswer) -> SearchQuotaExceeded:
    """Build the error for a quota answer; without a Retry-After the wait is ten minutes."""
    return SearchQuotaExceeded(f"{provider}: quota exceeded", answer.retry_after_s or 600.0)


def make_results(
    provider: str, items: object, limit: int, *, title: str, url: str, snippet: str
) -> list[SearchResult]:
    """Make results of the list that an answer holds; the names are those of its fields.

    Items without an http(s) URL are left out. Raises SearchUnavailable where `items` is no list,
    or where it has items and none of them is a result.
    """
    if not isinstance(items, list):
        raise SearchUnavailable(f"{provider}: the answer holds no list of results")
    found: list[SearchResult] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        made = make_result(item.get(title), item.get(url), item.get(snippet))
        if made is not None:
            found.append(made)
    if items and not found:
        raise SearchUnavailable(f"{provider}: no result in the answer has an address")
    return drop_duplicates(found)[:limit]


def make_result(title: object, url: object, snippet: object) -> SearchResult | None:
    """Make one result, or None where the URL is not one of http or https."""
    if not isinstance(url, str) or not is_web_url(url):
        return None
    host = url.split("/")[2]
    return SearchResult(
        title=sanitize_line(title if isinstance(title, str) else "", MAX_TITLE_CHARS) or host,
        url=url,
        snippet=sanitize_line(snippet if isinstance(snippet, str) else "", MAX_SNIPPET_CHARS),
    )


def is_web_url(url: str) -> bool:
    """Tell whether `url` is a plain http(s) URL without user name, white space or control
    characters."""
    if len(url) > MAX_RESULT_URL_CHARS or any(ch.isspace() or not ch.isprintable() for ch in url):
        return False
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host) and not parsed.userinfo


def drop_duplicates(results: list[SearchResult]) -> list[SearchResult]:
    """Return the results with the first of each URL only."""
    return list({result.url: result for result in reversed(results)}.values())[::-1]


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _parse_seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(seconds, 86_400.0) if math.isfinite(seconds) and seconds > 0 else None

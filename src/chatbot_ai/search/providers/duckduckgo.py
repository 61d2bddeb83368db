"""DuckDuckGo through the engines of the ddgs library.

One engine is asked, not ddgs' aggregate: the aggregate answers a refusal, an empty page and a
broken one with the same exception, and waits for its slowest engine whatever the timeout.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ddgs.engines import ENGINES
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException
from lxml.etree import LxmlError  # type: ignore[import-untyped]

from chatbot_ai.domain.errors import (
    ConfigurationError,
    ExchangeFailed,
    SearchQuotaExceeded,
    SearchUnavailable,
)
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.search.providers.json_api import drop_duplicates, make_result

#: Statuses with which the engines refuse a robot: DuckDuckGo's 202 is a challenge page.
_REFUSALS = frozenset({202, 403, 418, 429})
_MAX_HTML_CHARS = 2_000_000
_MAX_THREADS = 4


class DuckDuckGoSearch:
    """Searches one of ddgs' text engines: Korean region, moderate safe search, last year.

    ddgs is synchronous, so a search runs in one of four threads of its own; where all four are
    busy (an engine that hangs) it fails at once.

    engine    a name of ddgs' text engines, DuckDuckGo's own by default
    base_url  replaces the engine's address
    """

    def __init__(
        self,
        *,
        engine: str = "duckduckgo",
        base_url: str | None = None,
        region: str = "kr-kr",
        safesearch: str = "moderate",
        timelimit: str | None = "y",
        call_timeout_s: float = 5.0,
    ) -> None:
        if engine not in ENGINES["text"]:
            raise ConfigurationError(f"ddgs has no text engine {engine!r}")
        self.name = engine
        self._engine = _raise_refusals(engine)(timeout=math.ceil(call_timeout_s))
        self._engine.http_client.client.follow_redirects = False
        if base_url is not None:
            self._engine.search_url = base_url
        self._options = {"region": region, "safesearch": safesearch, "timelimit": timelimit}
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="search-ddgs")
        self._busy = 0

    async def search(self, query: str, *, limit: int, timeout_s: float) -> list[SearchResult]:
        if self._busy >= _MAX_THREADS:
            raise SearchUnavailable(f"{self.name}: earlier searches still hang")
        self._busy += 1
        call = self._threads.submit(self._search_now, query, limit)
        running = asyncio.wrap_future(call)
        running.add_done_callback(self._note_end)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise ExchangeFailed("timeout") from error

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _note_end(self, call: asyncio.Future[list[SearchResult]]) -> None:
        self._busy -= 1
        if not call.cancelled():
            call.exception()  # marks it as seen where the caller has left

    def _search_now(self, query: str, limit: int) -> list[SearchResult]:
        try:
            found = self._engine.search(query, **self._options)
        except RatelimitException as error:
            raise SearchQuotaExceeded(f"{self.name}: refused", 300.0) from error
        except TimeoutException as error:
            raise ExchangeFailed("timeout") from error
        except (DDGSException, LxmlError, ValueError, TypeError, LookupError) as error:
            raise SearchUnavailable(f"{self.name}: no usable answer") from error
        made = [make_result(hit.title, _undo_redirect(hit.href), hit.body) for hit in found or []]
        return drop_duplicates([result for result in made if result is not None])[:limit]


def _raise_refusals(engine: str) -> Any:
    """Subclass a ddgs engine so that a status other than 200 is an error, as ddgs drops it."""
    base: Any = ENGINES["text"][engine]

    class Checked(base):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> str:
            response = self.http_client.request(*args, **kwargs)
            if response.status_code in _REFUSALS:
                raise RatelimitException(f"status {response.status_code}")
            if response.status_code != 200 or len(response.text) > _MAX_HTML_CHARS:
                raise DDGSException(f"status {response.status_code}")
            return str(response.text)

    return Checked


def _undo_redirect(href: str) -> str:
    """Undo DuckDuckGo's own redirect links (//duckduckgo.com/l/?uddg=…)."""
    link = href if "//" not in href[:2] else f"https:{href}"
    parts = urlsplit(link)
    if parts.hostname in ("duckduckgo.com", "html.duckduckgo.com") and parts.path == "/l/":
        return parse_qs(parts.query).get("uddg", [""])[0]
    return link

"""From a question to reference text: search, fetch, read, rank, render, within one time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import urlsplit

import structlog
from cachetools import TTLCache

from chatbot_ai.domain import prompt_texts
from chatbot_ai.domain.errors import ConfigurationError, SearchUnavailable, Unavailable
from chatbot_ai.domain.generation import likely_tokens
from chatbot_ai.domain.grounding import CountText, GroundingResult, GroundingWarning, Source
from chatbot_ai.domain.ports import SearchResult
from chatbot_ai.domain.text import sanitize_line, sanitize_text
from chatbot_ai.search.address import AddressPolicy
from chatbot_ai.search.chain import ProviderResults, SearchChain
from chatbot_ai.search.page_fetch import PageFetcher
from chatbot_ai.search.page_reader import PageReader
from chatbot_ai.search.passages import Passage, group_by_page, limit_per_page, pick, rank, split
from chatbot_ai.search.providers import build_providers

_MAX_TITLE_CHARS = 80


def render_references(
    taken: Sequence[Passage], results: Sequence[SearchResult]
) -> tuple[str, tuple[Source, ...]]:
    """Return the reference text and its sources, numbered from 1, best passage first.

    Each passage's `page` is an index into `results`. No passages give "" and no sources.
    """
    groups = group_by_page(taken)
    if not groups:
        return "", ()
    sources: list[Source] = []
    blocks: list[str] = []
    for n, group in enumerate(groups, start=1):
        result = results[group[0].page]
        sources.append(Source(n, result.title, result.url))
        text = "\n".join(passage.text for passage in group)
        heading = format_heading(n, result)
        blocks.append(prompt_texts.SEARCH_RESULT.format(heading=heading, text=text))
    return prompt_texts.SEARCH_RESULTS.format(results="\n".join(blocks)), tuple(sources)


def format_heading(n: int, result: SearchResult) -> str:
    """Return the line above one source's passages: number, title and site."""
    site = urlsplit(result.url).hostname or ""
    return f"[{n}] {sanitize_line(result.title, _MAX_TITLE_CHARS)} ({sanitize_line(site, 80)})"


_log = structlog.get_logger(__name__)

#: Shares of the whole time: what the search may take, and what stays for ranking and counting.
_SEARCH_SHARE = 0.6
_RANKING_SHARE = 0.15
_CANDIDATES = 24
#: Counts by the model at most, and the share of the budget at which a text is full enough.
_COUNTS = 4
_FULL = 0.8
#: A piece of a passage below this says nothing.
_MIN_PASSAGE_TOKENS = 40
#: How long the slower half of the pages is waited for once the faster half is there.
_STRAGGLER_S = 0.5


@dataclass(frozen=True, slots=True)
class _Request:
    """One call of `ground`; `end` is on the monotonic clock."""

    question: str
    query: str
    end: float
    max_tokens: int
    count: CountText

    @property
    def left_s(self) -> float:
        return max(0.0, self.end - time.monotonic())


@dataclass(slots=True)
class _Material:
    """What is there so far: results, and the texts of pages by their place among the results."""

    found: ProviderResults | None = None
    texts: dict[int, str] = field(default_factory=dict)


class WebGrounder:
    """Grounds questions in a web search. Never raises for a failing search or page.

    chain    None where no provider is configured
    results  results asked for; pages of the first `pages` are fetched
    """

    def __init__(
        self,
        chain: SearchChain | None,
        fetch: PageFetcher,
        reader: PageReader,
        *,
        results: int = 8,
        pages: int = 4,
        page_cache_entries: int = 64,
        page_cache_ttl_s: float = 900.0,
    ) -> None:
        self._chain = chain
        self._fetch = fetch
        self._reader = reader
        self._results = results
        self._pages = pages
        self._texts: TTLCache[str, str] = TTLCache(page_cache_entries, page_cache_ttl_s)
        self._reading: set[asyncio.Task[str]] = set()
        self._ranking = ThreadPoolExecutor(1, thread_name_prefix="search-ranking")

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the configured providers, in the order in which they are asked."""
        return self._chain.providers if self._chain is not None else ()

    async def start(self) -> None:
        """Make ready what the first question would wait for, if there is a search at all: the
        reading processes, and the ranking's libraries."""
        if self._chain is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._ranking, rank, [Passage(0, 0, "가나")], "가나")
            try:
                await self._reader.start()
            except SearchUnavailable as error:
                _log.warning("search.reader_not_started", error=type(error).__name__)

    async def ground(
        self, question: str, *, query: str, deadline_s: float, max_tokens: int, count: CountText
    ) -> GroundingResult:
        """Return what was found for `query` about `question`, at most `deadline_s` seconds later.

        count  tokens of a text; where it fails or is late, a guess by its characters stands in
        """
        if self._chain is None:
            return GroundingResult("disabled")
        started = time.monotonic()
        request = _Request(question, query, started + deadline_s, max_tokens, count)
        material = _Material()
        try:
            async with asyncio.timeout(deadline_s):
                result = await self._ground(self._chain, request, material)
        except (TimeoutError, SearchUnavailable) as error:
            _log.warning("search.unavailable", error=type(error).__name__)
            provider = material.found.provider if material.found else ""
            result = GroundingResult("unavailable", provider, warnings=("search_unavailable",))
        _log.info(
            "search.grounded",
            status=result.status,
            provider=result.provider,
            sources=len(result.sources),
            pages=len(material.texts),
            elapsed_ms=round((time.monotonic() - started) * 1000),
        )
        return result

    async def close(self) -> None:
        if self._chain is not None:
            await self._chain.close()
        await self._fetch.close()
        await self._reader.close()
        self._ranking.shutdown(wait=False, cancel_futures=True)

    async def _ground(
        self, chain: SearchChain, request: _Request, material: _Material
    ) -> GroundingResult:
        total_s = request.left_s
        found = material.found = await chain.find(
            request.query, limit=self._results, timeout_s=total_s * _SEARCH_SHARE
        )
        if not found.results:
            return GroundingResult("empty", found.provider, warnings=("search_empty",))
        await self._read_pages(found.results, request.end - total_s * _RANKING_SHARE, material)
        ranked = await self._rank(request, found.results, material.texts)
        text, sources = await self._fit_passages(ranked, found.results, request)
        if not sources:
            return GroundingResult("no_room", found.provider, warnings=("search_left_out",))
        snippets_only = not any(material.texts.values())
        warnings: tuple[GroundingWarning, ...] = ("search_snippets_only",) if snippets_only else ()
        return GroundingResult("ok", found.provider, sources, text, warnings)

    async def _read_pages(
        self, results: Sequence[SearchResult], until: float, material: _Material
    ) -> None:
        """Put the texts of the first pages into `material`, those that come in time.

        When half of the pages are there, the others get little more time.
        """
        waiting: dict[asyncio.Task[str], int] = {}
        for page, result in enumerate(results[: self._pages]):
            task = asyncio.create_task(self._read_page(result.url, until))
            task.add_done_callback(self._forget_page)
            self._reading.add(task)
            waiting[task] = page
        wanted = (len(waiting) + 1) // 2
        try:
            while waiting and (left_s := until - time.monotonic()) > 0:
                done, _ = await asyncio.wait(
                    waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    page = waiting.pop(task)
                    if not task.cancelled() and task.exception() is None:
                        material.texts[page] = task.result()
                if len(material.texts) >= wanted:
                    until = min(until, time.monotonic() + _STRAGGLER_S)
        finally:
            for task in waiting:
                task.cancel()

    def _forget_page(self, task: asyncio.Task[str]) -> None:
        self._reading.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            reason = getattr(error, "reason", None)
            _log.info("search.page_failed", error=type(error).__name__, reason=reason)

    async def _read_page(self, url: str, until: float) -> str:
        cached = self._texts.get(url)
        if cached is not None:
            return cached
        page = await self._fetch.fetch(url, timeout_s=max(0.05, until - time.monotonic()))
        text = await self._reader.read(page.body, page.content_type)
        self._texts[url] = text
        return text

    async def _rank(
        self, request: _Request, results: Sequence[SearchResult], texts: dict[int, str]
    ) -> list[Passage]:
        """Rank in a thread; if that takes too long, the snippets serve in the search's order."""
        call = partial(_rank_passages, results, dict(texts), f"{request.question} {request.query}")
        ranking = asyncio.get_running_loop().run_in_executor(self._ranking, call)
        try:
            return await asyncio.wait_for(ranking, max(0.05, request.left_s * 0.6))
        except TimeoutError:
            _log.warning("search.ranking_timeout")
            return _snippets(results)

    async def _fit_passages(
        self, ranked: list[Passage], results: Sequence[SearchResult], request: _Request
    ) -> tuple[str, tuple[Source, ...]]:
        """Render as many passages as fit the budget. They are picked by a guess at their tokens,
        which the model's count of the whole text corrects, as often as there is time for it."""
        candidates = limit_per_page(ranked)[:_CANDIDATES]
        best: tuple[str, tuple[Source, ...]] = ("", ())
        per_guess = 1.0
        for _ in range(_COUNTS):
            rendered = _render_what_fits(candidates, results, int(request.max_tokens / per_guess))
            guess = likely_tokens(rendered[0])
            if not rendered[1] or rendered[0] == best[0]:
                break
            tokens = await _count_tokens(rendered[0], request.count, request.left_s / 2)
            if tokens is None:
                # never a text that was counted as too long
                return best if best[1] or per_guess > 1 else rendered
            if tokens <= request.max_tokens:
                best = rendered
                if tokens >= request.max_tokens * _FULL:
                    break
            # a little more than measured, as other passages may be denser
            per_guess = tokens / guess * (1.02 if tokens <= request.max_tokens else 1.08)
        return best


def build_grounder(
    providers: Sequence[str], settings: Mapping[str, str], *, denied_networks: Sequence[str] = ()
) -> WebGrounder:
    """Build the grounder of a service.

    providers        names of PROVIDERS in the order in which they are asked
    settings         values of PROVIDER_SETTINGS; those without theirs are left out
    denied_networks  further networks (CIDR) that no page is fetched from

    Raises ConfigurationError for an unknown provider, a wrong URL or a wrong network.
    """
    try:
        policy = AddressPolicy(denied=denied_networks)
    except ValueError as error:
        raise ConfigurationError(
            "SEARCH_DENIED_NETWORKS must hold networks like 10.0.0.0/8"
        ) from error
    chosen = build_providers(providers, settings)
    return WebGrounder(SearchChain(chosen) if chosen else None, PageFetcher(policy), PageReader())


def _render_what_fits(
    candidates: Sequence[Passage], results: Sequence[SearchResult], budget: int
) -> tuple[str, tuple[Source, ...]]:
    """Render what fits `budget` by the guess; if none does, the first passage's beginning."""
    if not candidates:
        return "", ()
    frame, _ = render_references([replace(candidates[0], text="")], results)
    page_cost = max(
        likely_tokens(
            prompt_texts.SEARCH_RESULT.format(heading=format_heading(99, r), text="") + "\n"
        )
        for r in results
    )
    left = budget - likely_tokens(frame)
    costs = [likely_tokens(passage.text) + 1 for passage in candidates]
    taken = pick(candidates, costs, left, page_cost=page_cost)
    if not taken and left - page_cost >= _MIN_PASSAGE_TOKENS:
        first = candidates[0]
        share = (left - page_cost) / costs[0]
        text = first.text[: int(len(first.text) * share * 0.9)].rstrip()
        taken = [replace(first, text=f"{text}…")]
    return render_references(taken, results)


def _rank_passages(
    results: Sequence[SearchResult], texts: dict[int, str], question: str
) -> list[Passage]:
    """Rank the passages of the pages; a page that gave nothing relevant is heard by its snippet."""
    passages = [passage for page, text in texts.items() for passage in split(text, page)]
    of_pages = rank(passages, question)
    relevant = {passage.page for passage in of_pages}
    snippets = [passage for passage in _snippets(results) if passage.page not in relevant]
    return rank([*of_pages, *snippets], question) or snippets


def _snippets(results: Sequence[SearchResult]) -> list[Passage]:
    return [
        Passage(page, 0, sanitize_text(result.snippet) or sanitize_text(result.title))
        for page, result in enumerate(results)
    ]


async def _count_tokens(text: str, count: CountText, timeout_s: float) -> int | None:
    """Return the model's count of a text; None where it fails or is late."""
    try:
        async with asyncio.timeout(timeout_s):
            tokens = count(text)
            return tokens if isinstance(tokens, int) else await tokens
    except (TimeoutError, Unavailable):
        return None

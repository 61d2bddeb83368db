"""The rules W1 to W3 of the WebSearch port, on every provider and on the chain over them, against
a local server that speaks each provider's documented format.

For ddgs the whole library runs: its engine sends its own request to the local server and parses
DuckDuckGo's page format; only the engine's address is replaced.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from chatbot_ai.domain.errors import SearchQuotaExceeded, SearchUnavailable
from chatbot_ai.domain.ports import WebSearch
from chatbot_ai.search.chain import SearchChain
from chatbot_ai.search.providers.duckduckgo import DuckDuckGoSearch
from chatbot_ai.search.providers.google import GoogleSearch
from chatbot_ai.search.providers.naver import NaverSearch
from chatbot_ai.search.providers.searxng import SearxngSearch
from support.scripted_web import (
    Answer,
    Handler,
    Request,
    ScriptedWeb,
    answer_json,
    cut,
    redirect,
    scripted_web,
)
from support.waiting import HANG_S

Hit = tuple[str, str, str]
HITS: list[Hit] = [
    (f"제목 {n}", f"https://site{n}.example/글/{n}?a=1&b=2", f"서울 소식 {n}번째")
    for n in range(1, 7)
]


@dataclass(frozen=True)
class Dialect:
    """How one provider is reached and how its server answers."""

    make: Callable[[str], WebSearch]
    paths: tuple[str, ...]
    results: Callable[[list[Hit]], Handler]
    quota: Handler
    error: Handler
    query_of: Callable[[Request], str | None] = lambda request: request.params.get("q")


def google_results(hits: list[Hit]) -> Handler:
    items = [
        {"kind": "customsearch#result", "title": t, "link": u, "snippet": s, "displayLink": "x"}
        for t, u, s in hits
    ]
    content: dict[str, object] = {"kind": "customsearch#search", "searchInformation": {}}
    return answer_json({**content, "items": items} if items else content)


def searxng_results(hits: list[Hit]) -> Handler:
    results = [
        {"title": t, "url": u, "content": s, "engine": "bing", "score": 1.0} for t, u, s in hits
    ]
    return answer_json(
        {"query": "q", "number_of_results": 0, "results": results, "unresponsive_engines": []}
    )


def naver_results(hits: list[Hit]) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        is_news = request.path.endswith("news.json")
        items = []
        for title, url, snippet in hits[1::2] if is_news else hits[0::2]:
            item = {
                "title": html.escape(title).replace("제목", "<b>제목</b>"),
                "link": url,
                "description": f"<b>{html.escape(snippet[:2])}</b>{html.escape(snippet[2:])}",
            }
            if is_news:
                item |= {"originallink": url, "link": "https://n.news.naver.com/1"}
            items.append(item)
        await answer_json({"total": len(items), "start": 1, "display": 10, "items": items})(
            request, writer
        )

    return handle


def duckduckgo_results(hits: list[Hit]) -> Handler:
    blocks = "".join(
        '<div class="result results_links web-result"><div class="links_main result__body">'
        f'<h2 class="result__title"><a class="result__a" href="{html.escape(u)}">{t}</a></h2>'
        f'<a class="result__snippet" href="{html.escape(u)}"><b>{s[:2]}</b>{s[2:]}</a></div></div>'
        for t, u, s in hits
    )
    return Answer(f"<html><body><div id='links'>{blocks}</div></body></html>".encode())


def google_error(status: int, reason: str) -> Handler:
    detail = {"message": "m", "domain": "usageLimits", "reason": reason}
    return answer_json(
        {"error": {"code": status, "message": "m", "errors": [detail], "status": "X"}}, status
    )


def form_query(request: Request) -> str | None:
    return Request("GET", f"/?{request.body.decode()}", {}, b"").params.get("q")


def chain_of(url: str) -> SearchChain:
    return SearchChain([SearxngSearch(url), NaverSearch("id", "secret", base_url=url)])


DIALECTS = {
    "google": Dialect(
        lambda url: GoogleSearch("key", "engine", base_url=url),
        ("/customsearch/v1",),
        google_results,
        google_error(429, "rateLimitExceeded"),
        google_error(400, "badRequest"),
    ),
    "google-daily": Dialect(
        lambda url: GoogleSearch("key", "engine", base_url=url),
        ("/customsearch/v1",),
        google_results,
        google_error(403, "dailyLimitExceeded"),
        google_error(403, "accessNotConfigured"),
    ),
    "searxng": Dialect(
        SearxngSearch,
        ("/search",),
        searxng_results,
        Answer(b"Too Many Requests", 429, "text/plain"),
        Answer(b"<h1>Forbidden</h1>", 403),
    ),
    "naver": Dialect(
        lambda url: NaverSearch("id", "secret", base_url=url),
        ("/v1/search/webkr.json", "/v1/search/news.json"),
        naver_results,
        answer_json({"errorMessage": "m", "errorCode": "012"}, 429),
        answer_json({"errorMessage": "m", "errorCode": "024"}, 401),
        lambda request: request.params.get("query"),
    ),
    "duckduckgo": Dialect(
        lambda url: DuckDuckGoSearch(base_url=f"{url}/html/"),
        ("/html/",),
        duckduckgo_results,
        Answer(b"<html>anomaly</html>", 202),
        Answer(b"", 500),
        form_query,
    ),
}
QUOTA_OF_CHAIN = Answer(b"", 429)


@dataclass
class Scene:
    web: ScriptedWeb
    search: WebSearch
    dialect: Dialect

    def plays(self, handler: Handler) -> None:
        for path in self.dialect.paths:
            self.web.pages[path] = handler


@asynccontextmanager
async def scene_of(dialect: Dialect) -> AsyncIterator[Scene]:
    async with scripted_web() as web:
        search = dialect.make(web.url)
        try:
            yield Scene(web, search, dialect)
        finally:
            await search.close()


@pytest.fixture(params=[*DIALECTS, "chain"])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    if request.param == "chain":
        dialect = Dialect(chain_of, ("/search",), searxng_results, QUOTA_OF_CHAIN, Answer(b"", 500))
    else:
        dialect = DIALECTS[request.param]
    async with scene_of(dialect) as made:
        yield made


async def test_w1_results_are_those_of_the_answer(scene: Scene) -> None:
    """Titles, URLs and snippets are those of the answer, without markup, best first."""
    scene.plays(scene.dialect.results(HITS))
    found = await scene.search.search("서울 & 소식?", limit=10, timeout_s=5)
    assert [(r.title, r.url, r.snippet) for r in found] == HITS
    assert {scene.dialect.query_of(request) for request in scene.web.requests} == {"서울 & 소식?"}


async def test_w1_never_more_than_the_limit(scene: Scene) -> None:
    """At most `limit` results come back, however many the answer holds."""
    scene.plays(scene.dialect.results(HITS))
    assert len(await scene.search.search("서울", limit=3, timeout_s=5)) == 3


async def test_w1_nothing_found_is_an_empty_list(scene: Scene) -> None:
    """An answer without results is no failure."""
    scene.plays(scene.dialect.results([]))
    scene.web.pages.setdefault("/v1/search/webkr.json", naver_results([]))
    assert await scene.search.search("없는말", limit=5, timeout_s=5) == []


async def test_w1_only_web_addresses(scene: Scene) -> None:
    """Results with other schemes than http and https, and repeated ones, are left out."""
    bad = [
        ("나쁨", url, "s")
        for url in ("javascript:alert(1)", "ftp://a.example/", "file:///etc/x", "/rel")
    ]
    scene.plays(scene.dialect.results([*bad, HITS[0], HITS[0], HITS[1]]))
    found = await scene.search.search("서울", limit=10, timeout_s=5)
    assert [r.url for r in found] == [HITS[0][1], HITS[1][1]]


@pytest.mark.parametrize(
    "lie",
    [
        Answer(b"", 500),
        Answer(b"<html><p>hello</p>", 503),
        Answer(b"x" * 5_000_000, content_type="application/json"),
        Answer(b"[" * 200_000, content_type="application/json"),
        answer_json({"items": "text", "results": {"a": 1}}),
        answer_json({"items": [1, None, "x", []], "results": [1, None, "x", []]}),
        answer_json({"items": [{"link": 7, "url": ["x"]}], "results": [{"url": 3, "title": {}}]}),
        answer_json([]),
        Answer(b"", 302, headers={"Location": "http://169.254.169.254/"}),
        Answer(b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"}),
        cut,
        Answer(b"", headers={"Content-Length": "nonsense"}),
    ],
    ids=[
        "500", "503", "5mb", "deep", "types", "items", "fields", "list", "redirect", "gzip", "cut",
        "length",
    ],
)  # fmt: skip
async def test_w2_nonsense_is_search_unavailable(scene: Scene, lie: Handler) -> None:
    """Whatever a server answers, the failure is SearchUnavailable."""
    scene.plays(lie)
    if isinstance(scene.search, DuckDuckGoSearch) and getattr(lie, "status", 200) == 200:
        # A page that is no result page may also read as one without results.
        with suppress(SearchUnavailable):
            assert await scene.search.search("서울", limit=5, timeout_s=3) == []
        return
    with pytest.raises(SearchUnavailable):
        await scene.search.search("서울", limit=5, timeout_s=3)


async def test_w2_no_redirect_is_followed(scene: Scene) -> None:
    """A provider that redirects is unavailable; nothing is sent anywhere else."""
    scene.plays(redirect("/elsewhere"))
    with pytest.raises(SearchUnavailable):
        await scene.search.search("서울", limit=5, timeout_s=3)
    assert "/elsewhere" not in scene.web.paths()


async def test_w2_a_documented_error_is_search_unavailable(scene: Scene) -> None:
    """The provider's own error answer is SearchUnavailable, and not a quota."""
    scene.plays(scene.dialect.error)
    with pytest.raises(SearchUnavailable) as raised:
        await scene.search.search("서울", limit=5, timeout_s=3)
    assert not isinstance(raised.value, SearchQuotaExceeded)


async def test_w2_nobody_listens(scene: Scene) -> None:
    """A refused connection is SearchUnavailable."""
    async with scripted_web() as gone:
        url = gone.url
    search = scene.dialect.make(url)
    with pytest.raises(SearchUnavailable):
        await search.search("서울", limit=5, timeout_s=3)
    await search.close()


@pytest.mark.parametrize("name", DIALECTS)
async def test_w2_a_quota_answer_is_told_apart(name: str) -> None:
    """The provider's quota answer is SearchQuotaExceeded with a wait."""
    async with scene_of(DIALECTS[name]) as scene:
        scene.plays(scene.dialect.quota)
        with pytest.raises(SearchQuotaExceeded) as raised:
            await scene.search.search("서울", limit=5, timeout_s=3)
        assert raised.value.retry_after_s > 0


async def test_w3_it_ends_in_time(scene: Scene) -> None:
    """A server that answers after 30 s, or drips, costs no more than the time given."""

    async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    for slow in (Answer(b"", delay_s=3600), drip):
        scene.plays(slow)
        async with asyncio.timeout(HANG_S):
            with pytest.raises(SearchUnavailable):
                await scene.search.search("서울", limit=5, timeout_s=0.4)


@pytest.mark.parametrize("name", DIALECTS)
async def test_concurrent_searches_share_a_provider(name: str) -> None:
    """One provider serves several searches at once."""
    async with scene_of(DIALECTS[name]) as scene:
        scene.plays(scene.dialect.results(HITS))
        found = await asyncio.gather(
            *(scene.search.search(f"질문 {n}", limit=2, timeout_s=5) for n in range(3))
        )
        assert [len(results) for results in found] == [2, 2, 2]


async def test_naver_sends_its_keys_as_headers_only() -> None:
    """Naver's id and secret are headers, never part of the URL."""
    async with scene_of(DIALECTS["naver"]) as scene:
        scene.plays(naver_results(HITS))
        await scene.search.search("서울", limit=5, timeout_s=5)
        for request in scene.web.requests:
            assert request.headers["x-naver-client-id"] == "id"
            assert request.headers["x-naver-client-secret"] == "secret"
            assert "secret" not in request.target


async def test_naver_answers_with_one_half() -> None:
    """Where news fail, the web documents are still results."""
    async with scene_of(DIALECTS["naver"]) as scene:
        scene.web.pages["/v1/search/webkr.json"] = naver_results(HITS)
        scene.web.pages["/v1/search/news.json"] = Answer(b"", 500)
        found = await scene.search.search("서울", limit=10, timeout_s=5)
        assert [r.url for r in found] == [hit[1] for hit in HITS[0::2]]


async def test_searxng_without_any_engine_is_unavailable() -> None:
    """No results because no engine responded is a failure, not an empty answer."""
    async with scene_of(DIALECTS["searxng"]) as scene:
        scene.plays(answer_json({"results": [], "unresponsive_engines": [["bing", "timeout"]]}))
        with pytest.raises(SearchUnavailable):
            await scene.search.search("서울", limit=5, timeout_s=3)


async def test_duckduckgo_asks_for_korea_and_the_last_year() -> None:
    """The request carries region kr-kr and the last year; redirect links are undone."""
    async with scene_of(DIALECTS["duckduckgo"]) as scene:
        link = "//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.example%2Fx&rut=1"
        scene.plays(duckduckgo_results([("제목", link, "내용")]))
        found = await scene.search.search("서울", limit=5, timeout_s=5)
        assert [r.url for r in found] == ["https://a.example/x"]
        sent = scene.web.requests[0].body.decode()
        assert "l=kr-kr" in sent
        assert "df=y" in sent


async def test_duckduckgo_is_bounded_when_its_engine_hangs() -> None:
    """With all its threads hanging a search fails at once, and works again when they are free."""
    async with scene_of(DIALECTS["duckduckgo"]) as scene:
        scene.plays(Answer(b"", 500, delay_s=1.5))
        hanging = [scene.search.search(f"{n}", limit=1, timeout_s=0.1) for n in range(4)]
        ended = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(error, SearchUnavailable) for error in ended)
        with pytest.raises(SearchUnavailable):
            await scene.search.search("five", limit=1, timeout_s=5)
        scene.plays(duckduckgo_results(HITS))
        async with asyncio.timeout(HANG_S):
            while True:
                try:
                    assert len(await scene.search.search("six", limit=1, timeout_s=5)) == 1
                    break
                except SearchUnavailable:
                    await asyncio.sleep(0.1)


async def test_google_sends_key_and_engine() -> None:
    """The request names the key, the engine and at most ten results."""
    async with scene_of(DIALECTS["google"]) as scene:
        scene.plays(google_results(HITS))
        await scene.search.search("서울", limit=50, timeout_s=5)
        params = scene.web.requests[0].params
        assert (params["key"], params["cx"], params["num"]) == ("key", "engine", "10")

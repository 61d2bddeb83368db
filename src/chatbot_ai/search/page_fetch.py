"""The one module that fetches what strangers link to, as far as robots.txt (RFC 9309) allows.

address.py and bounded_http.py have the rules on where it may go; here are those on what comes back.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
from cachetools import TTLCache
from protego import Protego

from chatbot_ai.domain.errors import ExchangeFailed, FetchRefused
from chatbot_ai.search.address import AddressPolicy
from chatbot_ai.search.bounded_http import (
    GuardedBackend,
    Resolver,
    Response,
    SystemResolver,
    build_pool,
    exchange,
)
from chatbot_ai.search.shared_calls import SharedCalls

#: RFC 9309 section 2.5: a crawler must read at least 500 KiB; what comes after is left.
ROBOTS_LIMIT_BYTES = 500 * 1024

_PRODUCT_TOKEN = re.compile(r"[a-z_-]+", re.IGNORECASE)
#: Gets a robots.txt: its status and body. Raises SearchUnavailable.
LoadRobots = Callable[[httpx2.URL], Awaitable[tuple[int, bytes]]]


class RobotsPolicy:
    """Answers whether a page may be read by `user_agent`; remembers each site for `ttl_s`."""

    def __init__(
        self, load: LoadRobots, user_agent: str, *, ttl_s: float = 3600.0, max_sites: int = 512
    ) -> None:
        self._load = load
        self._crawler = product_token(user_agent)
        self._sites: TTLCache[str, Protego] = TTLCache(max_sites, ttl_s)
        self._loading: SharedCalls[str, Protego] = SharedCalls()

    async def can_fetch(self, url: httpx2.URL) -> bool:
        """Tell whether `url` may be fetched. Raises SearchUnavailable if its site is unreachable,
        which RFC 9309 section 2.3.1.4 takes as a no."""
        site = f"{url.scheme}://{url.netloc.decode('ascii')}"
        rules = self._sites.get(site)
        if rules is None:
            rules = await self._loading.run(site, lambda: self._read(url))
            self._sites[site] = rules
        # linear in rules and URL, yet a third of a second for the largest hostile file
        return await asyncio.to_thread(rules.can_fetch, str(url), self._crawler)

    async def close(self) -> None:
        await self._loading.close()

    async def _read(self, url: httpx2.URL) -> Protego:
        status, body = await self._load(url.copy_with(raw_path=b"/robots.txt", fragment=None))
        if status >= 500 or status == 429:
            raise ExchangeFailed("status")
        if status != 200:
            # RFC 9309 section 2.3.1.3: where there is no robots.txt, nothing is restricted.
            return Protego()
        return await asyncio.to_thread(_parse_body, body, self._crawler)


def product_token(user_agent: str) -> str:
    """Return what a robots.txt names a crawler by: the letters that its user agent begins with."""
    found = _PRODUCT_TOKEN.match(user_agent.strip())
    return found.group().lower() if found else ""


def parse_robots(text: str, crawler: str) -> Protego:
    """Parse a robots.txt for the crawler with this product token.

    Names of other crawlers are replaced: Protego takes a name for ours that ours only begins with,
    and compares a name with a version behind it as a whole, where RFC 9309 section 2.2.1 compares
    product tokens.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    for n, line in enumerate(lines):
        field, colon, name = line.partition("#")[0].partition(":")
        if colon and field.strip().lower() == "user-agent" and name.strip() != "*":
            lines[n] = f"User-agent: {crawler if product_token(name) == crawler else '-'}"
    return Protego.parse("\n".join(lines))


def _parse_body(body: bytes, crawler: str) -> Protego:
    if len(body) >= ROBOTS_LIMIT_BYTES:
        # the rest was not read; a rule that is cut off would say more than was meant
        body = body[: max(body.rfind(b"\n"), 0)]
    return parse_robots(body.decode("utf-8", "replace"), crawler)


READABLE_TYPES = frozenset({"text/html", "text/plain", "application/xhtml+xml"})
DEFAULT_USER_AGENT = "ChatBotAI/2.0 (self-hosted assistant; reads pages that a search found)"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page. `url` is where it was found in the end; `content_type` is the raw header."""

    url: str
    content_type: str
    body: bytes


class PageFetcher:
    """Fetches public pages of the web, and nothing else.

    http and https on the policy's ports; public addresses only, checked at the connection and
    again for every redirect; robots.txt respected; no cookies, no credentials, no referrer. Safe
    for concurrent use.

    max_bytes      limit of a page, on the wire and decompressed
    max_redirects  redirects followed for one page
    timeout_s      time for one page, robots.txt and redirects included
    resolve        replaces the machine's name resolution
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        resolve: Resolver | None = None,
        user_agent: str = DEFAULT_USER_AGENT,
        max_bytes: int = 2 * 1024 * 1024,
        max_redirects: int = 4,
        timeout_s: float = 5.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy or AddressPolicy()
        self._resolver = SystemResolver()
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "text/html, application/xhtml+xml, text/plain;q=0.8",
            "Accept-Language": "ko, en;q=0.7",
        }
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._timeout_s = timeout_s
        self._pool = build_pool(
            backend=GuardedBackend(self._policy, resolve or self._resolver), ssl_context=ssl_context
        )
        self._robots = RobotsPolicy(self._load_robots, user_agent)

    async def fetch(self, url: str, timeout_s: float | None = None) -> Page:
        """Return the page at `url`.

        Raises FetchRefused where it must not be fetched or is no readable text, ExchangeFailed
        where it cannot be had (any status but 200 included).
        """
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                return await self._page(self._policy.parse(url))
        except TimeoutError as error:
            raise ExchangeFailed("timeout") from error

    async def close(self) -> None:
        await self._robots.close()
        await self._pool.aclose()
        self._resolver.close()

    async def _page(self, url: httpx2.URL) -> Page:
        for _ in range(self._max_redirects + 1):
            if not await self._robots.can_fetch(url):
                raise FetchRefused("robots")
            async with exchange(self._pool, url, self._headers) as reply:
                location = _read_location(reply)
                if location is None:
                    if reply.status != 200:
                        raise ExchangeFailed("status")
                    if reply.media_type not in READABLE_TYPES:
                        raise FetchRefused("content_type")
                    body = await reply.read(self._max_bytes)
                    return Page(str(url), reply.headers.get("content-type", ""), body)
            url = self._policy.parse(location, base=url)
        raise FetchRefused("redirects")

    async def _load_robots(self, url: httpx2.URL) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(self._max_redirects + 1):
                    async with exchange(self._pool, url, self._headers) as reply:
                        location = _read_location(reply)
                        if location is None:
                            is_there = reply.status == 200
                            limit = ROBOTS_LIMIT_BYTES
                            body = await reply.read(limit, whole=False) if is_there else b""
                            return reply.status, body
                    url = self._policy.parse(location, base=url)
        except TimeoutError as error:
            raise ExchangeFailed("timeout") from error
        return 404, b""  # RFC 9309 section 2.3.1.2: too many redirects count as unavailable


def _read_location(reply: Response) -> str | None:
    """Where a redirect leads, None for another reply. Undoes the header's latin-1 where a site
    sends raw UTF-8, as Korean ones do."""
    location = reply.headers.get("location") if reply.status in _REDIRECTS else None
    if location is None:
        return None
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return location

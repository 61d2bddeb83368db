"""robots.txt (RFC 9309), read with the same guarded fetch as the pages themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2

from chatbot_ai.domain.errors import ExchangeFailed
from chatbot_ai.search.cache import ExpiringCache, SharedCalls
from chatbot_ai.search.robots_rules import Rules, rules_for

#: RFC 9309 section 2.5: a crawler must read at least 500 KiB; what comes after is left.
ROBOTS_LIMIT_BYTES = 500 * 1024

#: Gets a robots.txt: its status and body. Raises SearchUnavailable.
LoadRobots = Callable[[httpx2.URL], Awaitable[tuple[int, bytes]]]


class RobotsRules:
    """Answers whether a page may be read by `user_agent`; remembers each site for `ttl_s`."""

    def __init__(
        self, load: LoadRobots, user_agent: str, *, ttl_s: float = 3600.0, max_sites: int = 512
    ) -> None:
        self._load = load
        self._user_agent = user_agent
        self._sites: ExpiringCache[str, Rules] = ExpiringCache(max_sites, ttl_s)
        self._loading: SharedCalls[str, Rules] = SharedCalls()

    async def allows(self, url: httpx2.URL) -> bool:
        """Tell whether `url` may be fetched. Raises SearchUnavailable if its site is unreachable,
        which RFC 9309 section 2.3.1.4 takes as a no."""
        site = f"{url.scheme}://{url.netloc.decode('ascii')}"
        rules = self._sites.get(site)
        if rules is None:
            rules = await self._loading.run(site, lambda: self._read(url))
            self._sites.put(site, rules)
        return rules.allow(url.raw_path.decode("ascii"))

    async def close(self) -> None:
        await self._loading.close()

    async def _read(self, url: httpx2.URL) -> Rules:
        status, body = await self._load(url.copy_with(raw_path=b"/robots.txt", fragment=None))
        if status >= 500 or status == 429:
            raise ExchangeFailed("status")
        if status != 200:
            # RFC 9309 section 2.3.1.3: where there is no robots.txt, nothing is restricted.
            return Rules()
        return await asyncio.to_thread(_read, body, self._user_agent)


def _read(body: bytes, user_agent: str) -> Rules:
    if len(body) >= ROBOTS_LIMIT_BYTES:
        # the rest was not read; a rule that is cut off would say more than was meant
        body = body[: max(body.rfind(b"\n"), 0)]
    return rules_for(body.decode("utf-8", "replace").removeprefix("\ufeff"), user_agent)

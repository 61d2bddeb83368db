"""A SearXNG for a group under test: a scripted server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.scripted_web import Handler, ScriptedWeb, answer_json, scripted_web

RESULTS = 6
_WORDS = ("harbour", "lighthouse", "railway", "orchard", "glacier", "market", "bridge", "quarry")


def found(topic: str) -> Handler:
    """A search that finds pages about `topic`: on loopback, which no page is fetched from, so that
    what reaches the prompt are these excerpts."""
    results = [
        {
            "title": f"{topic} {_WORDS[n]}",
            "url": f"http://127.0.0.1:1/{n}",
            "content": " ".join(
                f"The {topic} has a {_WORDS[(n + k) % len(_WORDS)]} number {n * 100 + k}."
                for k in range(8)
            ),
        }
        for n in range(RESULTS)
    ]
    return answer_json({"results": results})


class SearchServer:
    """What it answers next is `answer`."""

    def __init__(self, web: ScriptedWeb) -> None:
        self._web = web

    @property
    def url(self) -> str:
        return self._web.url

    @property
    def asked(self) -> int:
        return self._web.paths().count("/search")

    def answers(self, handler: Handler) -> None:
        self._web.pages["/search"] = handler


@contextmanager
def search_server() -> Iterator[SearchServer]:
    """A server that runs beside the synchronous tests."""
    ready, ends = threading.Event(), threading.Event()
    webs: list[ScriptedWeb] = []

    async def serve() -> None:
        async with scripted_web() as web:
            webs.append(web)
            ready.set()
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="search-server")
    thread.start()
    try:
        assert ready.wait(10)
        yield SearchServer(webs[0])
    finally:
        ends.set()
        thread.join()

"""The chat page through the real gateway: bytes on the wire, and when its first text shows.

    python -m bench.page [--visits 12] [--json FILE]

Bytes are counted by the browser itself (Chrome's Network domain: headers and compressed bodies, as
nginx sends them) over one whole first visit. First text is the browser's own first contentful
paint. A first visit has an empty cache; a return visit asks for every file again and gets 304s.
Each round visits, in turn, the chat page for the first time, the chat page again and a page of one
line of text that the same nginx serves, which is what the browser itself takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.claims import Claim, arguments, paired, report
from bench.stack import stack

CHROMIUM = "/usr/bin/chromium"
MAX_BYTES = 200_000
FIRST_TEXT_MS = 1000.0
FIRST_PAINT = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (entry.name === 'first-contentful-paint') resolve(entry.startTime);
}).observe({type: 'paint', buffered: true}))"""


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


def first_text_ms(page: Page, url: str) -> float:
    """Milliseconds from the navigation's start to the first text."""
    page.goto(url)
    return float(page.evaluate(FIRST_PAINT))


def bytes_of_visit(context: BrowserContext, url: str) -> tuple[int, int]:
    """Bytes and requests of one whole visit to the page's own files."""
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    own: set[str] = set()
    sizes: dict[str, int] = {}

    def responded(event: dict[str, Any]) -> None:
        if "/chat/" in event["response"]["url"]:
            own.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = int(event["encodedDataLength"])

    wire.on("Network.responseReceived", responded)
    wire.on("Network.loadingFinished", finished)
    page.goto(url, wait_until="networkidle")
    page.close()
    return sum(sizes.get(name, 0) for name in own), len(own)


def measure(url: str, plain_url: str, visits: int) -> tuple[list[int], dict[str, list[float]], int]:
    """Bytes of first visits; first texts by kind of visit; requests of one visit."""
    sizes: list[int] = []
    taken: dict[str, list[float]] = {"first": [], "again": [], "plain": []}
    requests = 0
    with browser() as chromium:
        for number in range(-2, visits):
            context = chromium.new_context(locale="ko-KR")
            page = context.new_page()
            first = first_text_ms(page, url)
            page.wait_for_selector("#message")
            again = first_text_ms(page, url)
            plain = first_text_ms(page, plain_url)
            context.close()
            if number < 0:
                continue  # the browser's own warming up
            for kind, value in (("first", first), ("again", again), ("plain", plain)):
                taken[kind].append(value)
            context = chromium.new_context(locale="ko-KR")
            size, requests = bytes_of_visit(context, url)
            context.close()
            sizes.append(size)
    return sizes, taken, requests


def claims(sizes: list[int], taken: dict[str, list[float]], requests: int) -> list[Claim]:
    limit = [float(MAX_BYTES)] * len(sizes)
    second = [FIRST_TEXT_MS] * len(taken["first"])
    medians = {kind: round(statistics.median(values)) for kind, values in taken.items()}
    detail = (
        f"first text after {medians['first']} ms on a first visit, {medians['again']} ms on a return, "
        f"{medians['plain']} ms for a page of one line (medians)"
    )
    size = f"{round(statistics.median(sizes))} bytes in {requests} requests on a first visit"
    return [
        paired(
            "bytes of the whole chat page on the wire / 200,000",
            [float(value) for value in sizes],
            limit,
            goal="<= 1",
            detail=size,
            unit="visits",
        ),
        paired(
            "first text of a first visit / one second",
            taken["first"],
            second,
            goal="<= 1",
            detail=detail,
            unit="visits",
        ),
        paired(
            "first text of a return visit / one second",
            taken["again"],
            second,
            goal="<= 1",
            detail=detail,
            unit="visits",
        ),
        paired(
            "first text of a first visit / that of a page of one line",
            taken["first"],
            taken["plain"],
            detail=detail,
            unit="visits",
        ),
    ]


def main() -> None:
    parser = arguments("bytes and first text of the chat page")
    parser.add_argument("--visits", type=int, default=12)
    chosen = parser.parse_args()
    with stack() as running:
        found = measure(f"{running.url}/chat/", f"{running.url}/healthz", chosen.visits)
    report(claims(*found), chosen.json)


if __name__ == "__main__":
    main()

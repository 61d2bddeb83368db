"""What people do on the page, and answers that are scripted word for word."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Locator, Page, Route

from support.process_group import eventually
from support.waiting import HANG_S

#: Milliseconds for anything the page waits for, on a machine that is busy with other things.
PATIENCE_MS = 120_000


def watched(page: Page) -> list[str]:
    """What goes wrong inside the page from now on."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on(
        "console",
        lambda line: (
            problems.append(line.text)
            if "Content Security Policy" in line.text or "TrustedHTML" in line.text
            else None
        ),
    )
    return problems


def say(page: Page, text: str) -> None:
    """Write a message and press Enter."""
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def answered(page: Page, turns: int) -> Locator:
    """Wait until so many turns are there and none is under way; the last answer."""
    page.wait_for_function(
        "n => document.querySelectorAll('.turn').length === n"
        " && !document.querySelector('.live') && !document.querySelector('.send.stop')",
        arg=turns,
    )
    return page.locator(".turn").last.locator(".by-assistant")


def user_of(page: Page) -> str:
    """The id under which the page speaks."""
    return str(page.evaluate("JSON.parse(localStorage.getItem('chatbot.user'))"))


def place_of(page: Page) -> tuple[str, str]:
    """Assistant and db_id of the open conversation."""
    _, assistant, db_id = page.evaluate("location.hash").split("/")
    return assistant, db_id


@dataclass
class Api:
    """The same user's calls from outside the page."""

    page: Page
    url: str

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        params = {"user_id": user_of(self.page)} | options.pop("params", {})
        answer = httpx2.request(
            method, f"{self.url}{path}", params=params, timeout=60, trust_env=False, **options
        )
        answer.raise_for_status()
        return answer

    def turns(self) -> list[dict[str, Any]]:
        """The open conversation as the server has it."""
        assistant, db_id = place_of(self.page)
        found = self.call("GET", f"/{assistant}/conversations/{db_id}/turns").json()
        return list(found["turns"])


def events(*pairs: tuple[str, dict[str, Any]]) -> str:
    """Server-sent events."""
    return "".join(
        f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n" for name, data in pairs
    )


def done(**changes: Any) -> dict[str, Any]:
    """The data of a `done` event."""
    return {
        "finish_reason": "stop",
        "model": "script",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "timings": {},
        "context": {"used_tokens": 10, "limit_tokens": 2048, "turns_left_out": 0},
        "turn": 0,
        "warnings": [],
        "sources": [],
    } | changes


@dataclass
class Script:
    """Answers the page's messages itself and keeps what was sent."""

    text: str = "네."
    before: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=done)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def on(self, page: Page, pattern: str = "**/Llama") -> Script:
        page.route(pattern, self._answer)
        return self

    def _answer(self, route: Route) -> None:
        self.sent.append(route.request.post_data_json or {})
        turn = {"turn": len(self.sent) - 1}
        body = events(*self.before, ("delta", {"text": self.text}), ("done", self.last | turn))
        route.fulfill(status=200, content_type="text/event-stream", body=body)


def refusing(times: int, status: int, error: dict[str, Any]) -> Callable[[Route], None]:
    """A route that is refused so many times and goes through afterwards."""
    left = [times]

    def answer(route: Route) -> None:
        if left[0] == 0:
            route.fallback()
            return
        left[0] -= 1
        body = json.dumps({"error": error}, ensure_ascii=False)
        route.fulfill(status=status, content_type="application/json", body=body)

    return answer


@contextmanager
def occupied(url: str) -> Iterator[None]:
    """Other users who keep the only slot taken, and a place in the queue, until the end."""
    done_with = threading.Event()

    def occupy(user: str) -> None:
        body = {"input_data": "Tell me a long story about the sea.", "user_id": user}
        call: dict[str, Any] = {
            "json": body,
            "headers": {"Accept": "text/event-stream"},
            "timeout": HANG_S,
        }
        while not done_with.is_set():
            with (
                httpx2.Client(trust_env=False) as client,
                client.stream("POST", f"{url}/office/Llama", **call) as answer,
            ):
                for _ in answer.iter_lines():
                    if done_with.is_set():
                        break

    others = [threading.Thread(target=occupy, args=(f"other-{n}",)) for n in range(3)]
    for other in others:
        other.start()
    try:
        eventually(
            lambda: httpx2.get(f"{url}/office/performance", trust_env=False).json()["waiting"] > 0,
            HANG_S,
            "some wait",
        )
        yield
    finally:
        done_with.set()
        for other in others:
            other.join()


def bring(page: Page, name: str, data: bytes) -> None:
    """Import a file through the page."""
    page.goto("/chat/#/characters")
    file: Any = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.get_by_label("PNG · JSON · CHARX 카드").set_input_files(file)


def saved(page: Page, format: str, folder: Path) -> bytes:
    """Export the open character through the page."""
    with page.expect_download() as download:
        page.get_by_role("button", name=format, exact=True).click()
    path = folder / f"card.{format.lower()}"
    download.value.save_as(path)
    return path.read_bytes()

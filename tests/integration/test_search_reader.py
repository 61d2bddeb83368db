"""The reading processes: real children, real kills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from chatbot_ai.domain.errors import ReadingFailed
from chatbot_ai.search.page_reader import PageReader
from support.waiting import HANG_S

SENTENCE = "<p>서울의 오늘 날씨는 맑고 따뜻하다고 한다.</p>"
PAGE = f"<html><body><article>{SENTENCE * 20}</article>".encode("cp949")
TYPE = "text/html; charset=euc-kr"
#: Extraction takes minutes for this megabyte (measured: 230 s with trafilatura 2.3.1).
SLOW_PAGE = b"<html><body>" + b"<table><tr><td>cell</td></tr></table>" * 30_000
NESTED_PAGE = b"<html><body>" + b"<div>" * 200_000 + b"x"


@pytest.fixture
async def reader() -> AsyncIterator[PageReader]:
    reader = PageReader(workers=1, timeout_s=20.0)
    yield reader
    await reader.close()


async def test_pages_are_read(reader: PageReader) -> None:
    """Pages come back as text, one after the other and several at once."""
    await reader.start()
    texts = await asyncio.gather(*(reader.read(PAGE, TYPE) for _ in range(5)))
    assert all("서울의 오늘 날씨" in text for text in texts)


async def test_the_event_loop_goes_on(reader: PageReader) -> None:
    """While pages are read, other work on the loop is done."""
    await reader.start()
    reading = asyncio.create_task(reader.read(PAGE * 30, TYPE))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert await reading
    assert turns > 10


async def test_a_page_that_takes_too_long_is_given_up() -> None:
    """The process is killed when the time is over, and the next page is read by a new one."""
    reader = PageReader(workers=1, timeout_s=2.0)
    await reader.start()
    with pytest.raises(ReadingFailed):
        await reader.read(SLOW_PAGE, "text/html")
    reader._timeout_s = HANG_S  # a new process starts within it, on a busy machine too
    assert "서울" in await reader.read(PAGE, TYPE)
    await reader.close()


async def test_a_nested_page_is_no_danger(reader: PageReader) -> None:
    """Nesting beyond any parser's stack ends in text or ReadingFailed, and reading goes on."""
    with suppress(ReadingFailed):
        assert isinstance(await reader.read(NESTED_PAGE, "text/html"), str)
    assert "서울" in await reader.read(PAGE, TYPE)


async def test_memory_is_limited() -> None:
    """A process that may take too little memory fails its page or its start, not this one."""
    reader = PageReader(workers=1, memory_limit_bytes=40 * 1024 * 1024)
    with pytest.raises(ReadingFailed):
        await reader.read(PAGE, TYPE)
    await reader.close()


async def test_a_leaving_caller_does_not_disturb(reader: PageReader) -> None:
    """A cancelled reading leaves the process usable for the next page."""
    await reader.start()
    leaving = asyncio.create_task(reader.read(PAGE * 50, TYPE))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert "서울" in await reader.read(PAGE, TYPE)


async def test_the_process_has_no_environment(
    reader: PageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of this process's environment reaches the one that parses strangers' pages."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret-for-test")
    await reader.start()
    child = reader._children[0]._process
    assert child is not None
    environment = await asyncio.to_thread(_environment, child.pid)
    assert b"PYTHONPATH=" in environment
    assert b"secret-for-test" not in environment


def _environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        return file.read()


async def test_closing_ends_the_processes(reader: PageReader) -> None:
    """No child is left after close."""
    await reader.start()
    child = reader._children[0]._process
    assert child is not None
    await reader.close()
    assert child.returncode is not None

"""Reads pages in child processes, so that neither the event loop nor the interpreter lock is held
and a page that takes too long can be ended."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

import structlog

from chatbot_ai.domain.errors import ReadingFailed
from chatbot_ai.search.page_text import FAILED, REPLY_HEAD, REQUEST_HEAD

_log = structlog.get_logger(__name__)
_START_TIMEOUT_S = 30.0


class PageReader:
    """Turns fetched pages into text with `workers` processes of about 60 MB each.

    They start with `start` or with the first page, and again after one was killed.

    timeout_s           time for one page; the process is killed when it is over
    memory_limit_bytes  address space of one process
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        timeout_s: float = 3.0,
        memory_limit_bytes: int = 1024 * 1024 * 1024,
    ) -> None:
        self._timeout_s = timeout_s
        self._children = [_Child(memory_limit_bytes) for _ in range(workers)]
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        for child in self._children:
            self._idle.put_nowait(child)
        self._running: set[asyncio.Task[str]] = set()

    async def start(self) -> None:
        """Start the processes ahead of the first page. Raises ReadingFailed."""
        await asyncio.gather(*(child.ensure_started() for child in self._children))

    async def read(self, body: bytes, content_type: str) -> str:
        """Return the text of a page, "" where it has none. Raises ReadingFailed.

        A caller that leaves does not disturb the process, which finishes its page.
        """
        child = await self._idle.get()
        task = asyncio.create_task(self._use(child, body, content_type))
        self._running.add(task)
        task.add_done_callback(self._note_end)
        return await asyncio.shield(task)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for child in self._children:
            await child.kill()

    async def _use(self, child: _Child, body: bytes, content_type: str) -> str:
        try:
            await child.ensure_started()
            async with asyncio.timeout(self._timeout_s):
                return await child.ask(body, content_type)
        except TimeoutError as error:
            _log.warning("search.reading_timeout", page_bytes=len(body))
            await child.kill()
            raise ReadingFailed("reading took too long") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            _log.warning("search.reader_died", page_bytes=len(body))
            await child.kill()
            raise ReadingFailed("the reading process ended") from error
        finally:
            self._idle.put_nowait(child)

    def _note_end(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen where the caller has left


class _Child:
    """One reading process; used by one task at a time."""

    def __init__(self, memory_limit_bytes: int) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._process: Process | None = None
        self._starting = asyncio.Lock()

    async def ensure_started(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await self._start()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                await self.kill()
                raise ReadingFailed("the reading process does not start") from error

    async def ask(self, body: bytes, content_type: str) -> str:
        """Raises OSError or IncompleteReadError where the process is gone."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise BrokenPipeError
        label = content_type.encode("utf-8", "replace")
        process.stdin.write(REQUEST_HEAD.pack(len(label), len(body)) + label + body)
        await process.stdin.drain()
        (size,) = REPLY_HEAD.unpack(await process.stdout.readexactly(REPLY_HEAD.size))
        if size == FAILED:
            raise ReadingFailed("the page defeats the parser")
        return (await process.stdout.readexactly(size)).decode("utf-8")

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chatbot_ai.search.page_text",
            str(self._memory_limit_bytes),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},
        )
        assert self._process.stdout is not None  # noqa: S101  PIPE was asked for
        await self._process.stdout.readexactly(REPLY_HEAD.size)

"""Whether the caller is still there: work for someone who left is ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from chatbot_ai.domain.errors import AdmissionRejected

#: Seconds that a service which is told to stop needs to be back.
RESTART_S = 5.0

Result = TypeVar("Result")


class CallerLeft(Exception):
    """The caller closed the connection before its answer was ready."""


async def wait_until_gone(receive: Receive) -> None:
    """Return when the caller disconnects. The body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def run_while_present(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`; it is cancelled and CallerLeft raised when the caller disconnects.

    The server cancels what is still running when its time to stop is over: AdmissionRejected then,
    so that the caller reads when to come back.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(wait_until_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerLeft
    except asyncio.CancelledError:
        if task.done():
            raise
        raise AdmissionRejected("the service is stopping", RESTART_S) from None
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

"""Access by keys, with their limits; without any key, this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog

from chatbot_ai.access import usage
from chatbot_ai.access.key import Key, is_key, read_credential, read_id
from chatbot_ai.access.ledger import KeyLedger
from chatbot_ai.access.loopback import LoopbackAccess
from chatbot_ai.access.usage import Standing
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import ChatbotError, StoreUnavailable, Unauthorized
from chatbot_ai.domain.limits import LimitState
from chatbot_ai.domain.ports import Clock

log = structlog.get_logger()

T = TypeVar("T")

#: Seconds between two looks at the file: how late a revoked key is refused at most.
CHECK_EVERY_S = 1.0
#: A look that is older is not relied on: while the file cannot be read nobody is admitted.
STALE_AFTER_S = 30.0


class KeyedAccess:
    """Admits callers by the keys of a file that other processes change while this one runs.

    Keys are held in memory and checked without the file. Limits are counted in the file, by a
    thread of its own, so they hold for all services together; only a key that has limits waits
    for it, a fraction of a millisecond. As soon as a key was ever created `unkeyed` counts no
    more, on this machine neither: behind a tunnel or a proxy every caller looks local. It counts
    again when the last key was deleted.
    """

    def __init__(
        self, path: Path, *, unkeyed: LoopbackAccess, clock: Clock, zone: ZoneInfo
    ) -> None:
        self._unkeyed, self._clock, self._zone = unkeyed, clock, zone
        self._ledger = KeyLedger(path, durable=False)
        self._process = uuid.uuid4().hex
        self._keys: dict[str, Key] = {}
        self._revision = 0
        self._checked_at = 0.0
        self._used: dict[str, float] = {}
        self._visits: dict[str, Standing] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the keys and begin to follow the file. Raises StoreUnavailable."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")
        try:
            await self._ask(self._start)
        except BaseException:
            await self.close()
            raise
        self._watcher = asyncio.create_task(self._watch(), name="watch the file of keys")

    async def close(self) -> None:
        """Write what is counted and let go of the file. Closing twice does nothing."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._finish)
            await asyncio.to_thread(thread.shutdown)

    async def admit(self, details: Mapping[str, str], address: str) -> Principal:
        secret = read_credential(details)
        key = self._match(secret)
        stale = self._clock.monotonic() - self._checked_at > STALE_AFTER_S
        if stale or (secret is not None and key is None):
            # a key may be younger than the last look, or revoked since
            await self._ask(self._look)
            key = self._match(secret)
        if not self._keys:
            return await self._unkeyed.admit(details, address)
        if key is None:
            raise Unauthorized("no key was sent" if secret is None else "no such key")
        return await self._count(key)

    def check_page(self, details: Mapping[str, str], address: str) -> None:
        if not self._keys:
            self._unkeyed.check_page(details, address)

    def trusts_host(self, host: str) -> bool:
        return self._unkeyed.trusts_host(host)

    def _match(self, secret: str | None) -> Key | None:
        if secret is None:
            return None
        key = self._keys.get(read_id(secret))
        return key if is_key(secret, key) else None

    async def _count(self, key: Key) -> Principal:
        self._used[key.id] = self._clock.now()
        if not key.limits.any:
            return Principal(key.kind, key.id, key.user_id)
        visit, moment = uuid.uuid4().hex, self._moment()
        try:
            standing = await self._ask(
                lambda: self._ledger.write(
                    lambda c: usage.take(c, key, visit, self._process, moment)
                )
            )
        except asyncio.CancelledError:
            # the thread may count it yet; it takes its work in order
            self._post(lambda: self._ledger.write(lambda c: usage.release(c, visit)))
            raise
        self._visits[visit] = standing
        return Principal(key.kind, key.id, key.user_id, visit)

    def limits_of(self, principal: Principal) -> tuple[LimitState, ...]:
        standing = self._visits.get(principal.visit or "")
        return standing.states() if standing else ()

    async def reserve(self, principal: Principal, tokens: int) -> None:
        visit, standing = principal.visit, self._visits.get(principal.visit or "")
        if visit is None or standing is None or standing.limits.tokens_per_day is None:
            return
        moment = self._moment()
        await self._ask(
            lambda: self._ledger.write(lambda c: usage.reserve(c, standing, visit, moment, tokens))
        )

    def spent(self, principal: Principal, tokens: int) -> None:
        key_id, visit, day = principal.key_id, principal.visit, self._moment().day
        if key_id is None or tokens == 0:
            return
        standing = self._visits.get(visit or "")
        if standing is not None:
            standing.tokens += tokens
        self._post(lambda: self._ledger.write(lambda c: usage.spend(c, key_id, visit, day, tokens)))

    def release(self, principal: Principal) -> None:
        visit = principal.visit
        if visit is not None and self._visits.pop(visit, None) is not None:
            self._post(lambda: self._ledger.write(lambda c: usage.release(c, visit)))

    def _moment(self) -> usage.Moment:
        now = self._clock.now()
        local = dt.datetime.fromtimestamp(now, self._zone)
        tomorrow = dt.datetime.combine(
            local.date() + dt.timedelta(days=1), dt.time(), tzinfo=self._zone
        )
        return usage.Moment(now, local.date().isoformat(), tomorrow.timestamp() - now)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            used, self._used = self._used, {}
            now = self._clock.now() if self._visits else None
            try:
                await self._ask(partial(self._tick, used, now))
            except ChatbotError as error:
                log.warning("access.keys_unreadable", detail=str(error))

    async def _ask(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreUnavailable("the file of keys is closed")
        return await asyncio.wrap_future(self._thread.submit(work))

    def _post(self, work: Callable[[], object]) -> None:
        """Have it done after everything before it, without waiting."""
        if self._thread is not None:
            self._thread.submit(work).add_done_callback(_report)

    # what follows runs on the thread

    def _start(self) -> None:
        self._ledger.open()
        moment = self._moment()
        oldest = dt.date.fromisoformat(moment.day) - dt.timedelta(days=usage.KEEP_DAYS)
        self._ledger.write(lambda c: usage.clear(c, moment.now, oldest.isoformat()))
        self._look()

    def _tick(self, used: Mapping[str, float], holding_at: float | None) -> None:
        self._look()
        if used:
            self._ledger.write(lambda c: usage.touch(c, used))
        if holding_at is not None:
            self._ledger.write(lambda c: usage.renew(c, self._process, holding_at))

    def _look(self) -> None:
        replaced = self._ledger.reopen_if_replaced()
        revision = self._ledger.revision()
        if replaced or revision != self._revision:
            # one assignment: the loop sees the old keys or the new ones
            self._keys = {key.id: key for key in self._ledger.list_keys()}
            self._revision = revision
            log.info("access.keys_read", keys=len(self._keys))
        self._checked_at = self._clock.monotonic()

    def _finish(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            self._ledger.write(lambda c: usage.touch(c, self._used))
        self._ledger.close()


def _report(done: Future[object]) -> None:
    error = done.exception()
    if isinstance(error, ChatbotError):
        log.warning("access.not_counted", detail=str(error))
    elif error is not None:
        log.error("access.not_counted", exc_info=error)

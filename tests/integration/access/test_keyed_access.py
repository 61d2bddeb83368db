"""Keys and their limits, on real files and real clocks of tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from chatbot_ai.access.key import Limits
from chatbot_ai.access.keyed import STALE_AFTER_S
from chatbot_ai.access.ledger import _STEPS, FILE, KeyLedger, has_keys
from chatbot_ai.access.usage import CONCURRENT_RETRY_S, LEASE_S, WINDOW_S
from chatbot_ai.api.middleware import build_limit_headers
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.errors import (
    CallerLimited,
    Forbidden,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    Unauthorized,
)
from support.access_lab import opened
from support.clocks import FakeClock
from support.waiting import HANG_S, until

HERE = "127.0.0.1"
#: 2023-11-15 07:13:20 in Seoul: 60,400 s before midnight.
MORNING = 1_700_000_000.0
TO_MIDNIGHT_S = 60_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


@pytest.fixture
def ledger(path: Path) -> Iterator[KeyLedger]:
    with KeyLedger(path) as opened_ledger:
        yield opened_ledger


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def create_here(ledger: KeyLedger, user_id: str | None = None, **limits: int) -> str:
    kind: Literal["backend", "user"] = "backend" if user_id is None else "user"
    return ledger.create(kind, name="k", now=1.0, user_id=user_id, limits=Limits(**limits))[1]


async def create(ledger: KeyLedger, user_id: str | None = None, **limits: int) -> str:
    """A new key's text; the file is not for the event loop."""
    return await asyncio.to_thread(create_here, ledger, user_id, **limits)


def replace(path: Path) -> str:
    """Remove the file and make another with one key."""
    for file in path.parent.glob(f"{FILE}*"):
        file.unlink()
    with KeyLedger(path) as fresh:
        return create_here(fresh)


def spoil(path: Path) -> None:
    """Put something else in the place of the file."""
    for file in path.parent.glob(f"{FILE}*"):
        file.unlink()
    path.write_bytes(b"no database" * 1000)


async def test_without_any_key_this_machine_is_open(path: Path) -> None:
    """A3: an empty file admits loopback and nobody else."""
    async with opened(path) as access:
        assert (await access.admit({}, HERE)).kind == "open"
        with pytest.raises(Unauthorized):
            await access.admit({}, "10.0.0.9")


async def test_the_first_key_closes_the_door(path: Path, ledger: KeyLedger) -> None:
    """A key that another process creates counts at once, and soon nobody comes without one."""
    async with opened(path) as access:
        await access.admit({}, HERE)
        secret = await create(ledger)
        assert (await access.admit(bearer(secret), "10.0.0.9")).kind == "backend"
        with pytest.raises(Unauthorized):
            await access.admit({}, HERE)
        with pytest.raises(Unauthorized):
            await access.admit(bearer("cbk_" + "a" * 40), HERE)


async def test_a_key_is_followed_without_being_sent(path: Path, ledger: KeyLedger) -> None:
    """The watcher alone sees the first key and a revocation."""

    async def refuses() -> bool:
        try:
            await access.admit(headers, HERE)
        except Unauthorized:
            return True
        return False

    async def soon(wanted: bool) -> None:
        limit = time.monotonic() + HANG_S
        while await refuses() is not wanted:
            assert time.monotonic() < limit
            await asyncio.sleep(0.05)

    async with opened(path) as access:
        headers: dict[str, str] = {}
        assert not await refuses()
        secret = await create(ledger)
        await soon(True)
        headers = bearer(secret)
        assert not await refuses()
        await asyncio.to_thread(ledger.revoke, secret[:12], 2.0)
        await soon(True)
        # a revoked key still means that keys are in use
        headers = {}
        assert await refuses()
        await asyncio.to_thread(ledger.delete, secret[:12])
        await soon(False)


async def test_a_user_key_is_bound(path: Path, ledger: KeyLedger) -> None:
    """A user key speaks for its user, a backend key for anybody."""
    alice, backend = await create(ledger, "alice"), await create(ledger)
    async with opened(path) as access:
        principal = await access.admit({"x-api-key": alice}, HERE)
        assert principal == Principal("user", alice[:12], "alice")
        assert principal.speaks_for(None) == "alice"
        with pytest.raises(Forbidden):
            principal.speaks_for("bob")
        anybody = await access.admit({"x-api-key": backend}, HERE)
        assert [anybody.speaks_for(u) for u in ("alice", "bob", None)] == ["alice", "bob", None]


async def test_requests_a_minute(path: Path, ledger: KeyLedger) -> None:
    """No window of a minute admits more; the wait that is told is the wait that is needed."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, requests_per_minute=3)
    async with opened(path, clock) as access:
        for left in (2, 1, 0):
            principal = await access.admit(bearer(secret), HERE)
            told = build_limit_headers(access.limits_of(principal))
            assert told["X-RateLimit-Limit-Requests"] == "3"
            assert told["X-RateLimit-Remaining-Requests"] == str(left)
            access.release(principal)
            clock.advance(10)
        for _ in range(2):
            with pytest.raises(CallerLimited) as caught:
                await access.admit(bearer(secret), HERE)
            assert caught.value.limit == "requests_per_minute"
            assert caught.value.retry_after_s == pytest.approx(WINDOW_S - 30)
            assert build_limit_headers(caught.value.limits)["X-RateLimit-Reset-Requests"] == "30"
        clock.advance(caught.value.retry_after_s)
        await access.admit(bearer(secret), HERE)
        with pytest.raises(CallerLimited):
            await access.admit(bearer(secret), HERE)


async def test_a_clock_set_back_locks_nobody_out(path: Path, ledger: KeyLedger) -> None:
    """Requests from the future do not count."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, requests_per_minute=1)
    async with opened(path, clock) as access:
        await access.admit(bearer(secret), HERE)
        clock._unix_s -= 86_400
        await access.admit(bearer(secret), HERE)


async def test_tokens_a_day_outlive_a_restart(path: Path, ledger: KeyLedger) -> None:
    """Tokens are counted until midnight in the operator's zone, by whoever serves then."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, tokens_per_day=100)
    async with opened(path, clock) as access:
        principal = await access.admit(bearer(secret), HERE)
        access.spent(principal, 60)
        assert (
            build_limit_headers(access.limits_of(principal))["X-RateLimit-Remaining-Tokens"] == "40"
        )
        access.release(principal)
        access.spent(principal, 50)  # an answer that ended after its caller had left
    async with opened(path, clock) as access:
        with pytest.raises(CallerLimited) as caught:
            await access.admit(bearer(secret), HERE)
        assert caught.value.limit == "tokens_per_day"
        assert caught.value.retry_after_s == TO_MIDNIGHT_S
        clock.advance(TO_MIDNIGHT_S)
        principal = await access.admit(bearer(secret), HERE)
        assert (
            build_limit_headers(access.limits_of(principal))["X-RateLimit-Remaining-Tokens"]
            == "100"
        )


async def test_concurrent_requests(path: Path, ledger: KeyLedger) -> None:
    """So many calls at once and no more; one that ends makes room."""
    secret = await create(ledger, concurrent=2)
    async with opened(path) as access:
        first, second = [await access.admit(bearer(secret), HERE) for _ in range(2)]
        assert (
            build_limit_headers(access.limits_of(second))["X-RateLimit-Remaining-Concurrent"] == "0"
        )
        with pytest.raises(CallerLimited) as caught:
            await access.admit(bearer(secret), HERE)
        assert caught.value.limit == "concurrent_requests"
        access.release(first)
        await access.admit(bearer(secret), HERE)
        assert access.limits_of(first) == ()


async def test_many_at_once_stay_within_the_limit(path: Path, ledger: KeyLedger) -> None:
    """Of 60 simultaneous calls through two services exactly the limit is admitted."""
    secret = await create(ledger, requests_per_minute=25)
    async with opened(path) as one, opened(path) as other:
        tries = [access.admit(bearer(secret), HERE) for access in (one, other) for _ in range(30)]
        ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(end, Principal) for end in ended) == 25
    assert sum(isinstance(end, CallerLimited) for end in ended) == 35


async def test_limits_hold_for_all_services_together(path: Path, ledger: KeyLedger) -> None:
    """Requests, tokens and running calls of one service count in the other."""
    clock = FakeClock(unix_s=MORNING)
    by_request = await create(ledger, requests_per_minute=1)
    by_running = await create(ledger, concurrent=1)
    by_tokens = await create(ledger, tokens_per_day=10)
    async with opened(path, clock) as one, opened(path, clock) as other:
        for secret in (by_request, by_running, by_tokens):
            principal = await one.admit(bearer(secret), HERE)
            one.spent(principal, 10)
        for secret in (by_request, by_running, by_tokens):
            limit = time.monotonic() + HANG_S
            while True:
                try:
                    await other.admit(bearer(secret), HERE)
                except CallerLimited:
                    break
                assert secret == by_tokens, "only tokens are counted without being waited for"
                assert time.monotonic() < limit


async def test_a_service_that_died_holds_nothing(path: Path, ledger: KeyLedger) -> None:
    """Calls of a process that was not seen for a while are no longer concurrent."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, concurrent=1)
    await asyncio.to_thread(
        ledger.write,
        lambda c: [
            c.execute("INSERT INTO processes VALUES ('gone', ?)", (MORNING,)),
            c.execute("INSERT INTO running VALUES ('v', ?, 'gone', 0)", (secret[:12],)),
        ],
    )
    async with opened(path, clock) as access:
        with pytest.raises(CallerLimited):
            await access.admit(bearer(secret), HERE)
        clock.advance(LEASE_S + 1)
        await access.admit(bearer(secret), HERE)


async def test_reserved_tokens_are_not_spent(path: Path, ledger: KeyLedger) -> None:
    """What a call may take yet refuses no call but those that want tokens too, in any service and
    for a moment; what is spent refuses all until midnight."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, tokens_per_day=100)
    async with opened(path, clock) as one, opened(path, clock) as other:
        first = await one.admit(bearer(secret), HERE)
        await one.reserve(first, 8192)
        beside = await other.admit(bearer(secret), HERE)
        told = build_limit_headers(other.limits_of(beside))
        assert told["X-RateLimit-Remaining-Tokens"] == "100"
        with pytest.raises(CallerLimited) as caught:
            await other.reserve(beside, 10)
        assert caught.value.limit == "tokens_per_day"
        assert caught.value.retry_after_s == CONCURRENT_RETRY_S
        told = build_limit_headers(other.limits_of(beside))
        assert told["X-RateLimit-Remaining-Tokens"] == "0"
        assert told["X-RateLimit-Reset-Tokens"] == str(int(CONCURRENT_RETRY_S))

        await one.reserve(first, 60)  # a better estimate makes room
        await other.reserve(beside, 70)
        await one.reserve(first, 80)  # who has a reservation is not refused any more
        one.spent(first, 20)
        one.release(first)
        await one.admit(bearer(secret), HERE)  # whatever was posted is written by then
        third = await other.admit(bearer(secret), HERE)
        await other.reserve(third, 5)
        other.release(beside)  # it ended without any cost
        other.spent(third, 80)
        with pytest.raises(CallerLimited) as caught:
            await other.admit(bearer(secret), HERE)
        assert caught.value.retry_after_s == TO_MIDNIGHT_S
    assert await asyncio.to_thread(ledger.tokens_of_day, "2023-11-15") == {secret[:12]: 100}


async def test_a_killed_service_gives_back_what_it_reserved(path: Path, ledger: KeyLedger) -> None:
    """After kill -9 the tokens that its calls had reserved are there again within the lease."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, tokens_per_day=100)
    code = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from support.access_lab import opened; from support.clocks import FakeClock\n"
        "async def main(path, secret, now):\n"
        "    async with opened(Path(path), FakeClock(unix_s=float(now))) as access:\n"
        "        caller = await access.admit({'x-api-key': secret}, '127.0.0.1')\n"
        "        await access.reserve(caller, 8192)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, str(path), secret, str(MORNING)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = await asyncio.to_thread(subprocess.run, command, env=os.environ | paths, check=False)
    assert killed.returncode == -signal.SIGKILL
    async with opened(path, clock) as access:
        principal = await access.admit(bearer(secret), HERE)
        with pytest.raises(CallerLimited) as caught:
            await access.reserve(principal, 10)
        assert caught.value.retry_after_s == CONCURRENT_RETRY_S
        clock.advance(LEASE_S + 1)
        await access.reserve(principal, 10)
    assert await asyncio.to_thread(ledger.tokens_of_day, "2023-11-15") == {}


async def test_tokens_count_on_the_day_they_are_spent(path: Path, ledger: KeyLedger) -> None:
    """A call across midnight is reserved on both days and spent on the second, whose other calls
    stay counted."""
    clock = FakeClock(unix_s=MORNING)
    secret = await create(ledger, tokens_per_day=100)
    async with opened(path, clock) as access:
        late = await access.admit(bearer(secret), HERE)
        await access.reserve(late, 90)
        clock.advance(TO_MIDNIGHT_S)
        early = await access.admit(bearer(secret), HERE)
        await access.reserve(early, 90)
        with pytest.raises(CallerLimited):
            await access.reserve(await access.admit(bearer(secret), HERE), 1)
        access.spent(early, 40)
        access.spent(late, 30)
    assert await asyncio.to_thread(ledger.tokens_of_day, "2023-11-15") == {}
    assert await asyncio.to_thread(ledger.tokens_of_day, "2023-11-16") == {secret[:12]: 70}


async def test_a_caller_cancelled_at_the_door_holds_nothing(path: Path, ledger: KeyLedger) -> None:
    """A call that is cancelled while it is counted does not stay counted as running."""
    secret = await create(ledger, concurrent=1)
    async with opened(path) as access:
        for _ in range(20):
            task = asyncio.create_task(access.admit(bearer(secret), HERE))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await access.admit(bearer(secret), HERE)


async def test_a_replaced_file_is_followed(path: Path, ledger: KeyLedger) -> None:
    """A file that was removed and made anew counts, not the one that is still open."""
    old = await create(ledger)
    async with opened(path) as access:
        await access.admit(bearer(old), HERE)
        new = await asyncio.to_thread(replace, path)
        assert (await access.admit(bearer(new), HERE)).key_id == new[:12]
        with pytest.raises(Unauthorized):
            await access.admit(bearer(old), HERE)


async def test_an_unreadable_file_admits_nobody(path: Path, ledger: KeyLedger) -> None:
    """Where the keys cannot be looked at for a while, even a known one is refused, with 503."""
    clock = FakeClock()
    secret = await create(ledger)
    async with opened(path, clock) as access:
        await access.admit(bearer(secret), HERE)
        await asyncio.to_thread(spoil, path)
        clock.advance(STALE_AFTER_S + 1)
        with pytest.raises(StoreUnavailable):
            await access.admit(bearer(secret), HERE)
        with pytest.raises(StoreUnavailable):
            await access.admit(bearer("cbk_" + "a" * 40), HERE)


async def test_use_is_noted(path: Path, ledger: KeyLedger) -> None:
    """When a key was last used is in the list soon after."""
    secret = await create(ledger)
    async with opened(path) as access:
        await access.admit(bearer(secret), HERE)
        await until(lambda: ledger.list_keys()[0].last_used_at is not None)


def test_the_file_holds_no_key(path: Path, ledger: KeyLedger) -> None:
    """Neither a key nor what of it is not shown is in the file, which nobody else may read."""
    secret = create_here(ledger, "alice", requests_per_minute=5)
    ledger.close()
    for file in path.parent.iterdir():
        assert secret.encode()[12:] not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_key_is_what_it_says(ledger: KeyLedger) -> None:
    """A user key without a user and a backend key with one are refused; unknown ids too."""
    with pytest.raises(InvalidRequest):
        ledger.create("user", name="k", now=1.0)
    with pytest.raises(InvalidRequest):
        ledger.create("backend", name="k", now=1.0, user_id="alice")
    with pytest.raises(NotFound):
        ledger.revoke("cbk_nothere1", 1.0)
    with pytest.raises(NotFound):
        ledger.delete("cbk_nothere1")


def test_looking_for_keys_makes_no_file(path: Path) -> None:
    """Asking whether there are keys leaves nothing behind."""
    assert not has_keys(path)
    assert not path.exists()


def test_a_newer_file_is_refused(path: Path, ledger: KeyLedger) -> None:
    """A file that a later version has changed is not touched."""
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable):
        KeyLedger(path).open()


def test_a_file_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    """Its keys, what they have used and who is running stay; nothing is reserved."""
    with sqlite3.connect(path) as connection:
        for statement in _STEPS[0]:
            connection.execute(statement)
        key = ("k", b"d" * 32, "n", "backend", None, None, 9, None, 1.0, None, None)
        connection.execute(f"INSERT INTO keys VALUES ({', '.join('?' * 11)})", key)  # noqa: S608
        connection.execute("INSERT INTO usage VALUES ('k', '2023-11-15', 7)")
        connection.execute("INSERT INTO running VALUES ('v', 'k', 'p')")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for _ in range(2):
        with KeyLedger(path) as ledger:
            assert [key.id for key in ledger.list_keys()] == ["k"]
            assert ledger.tokens_of_day("2023-11-15") == {"k": 7}
            rows = ledger.read(lambda c: c.execute("SELECT * FROM running").fetchall())
            assert rows == [("v", "k", "p", 0)]


def test_several_processes_create_at_once(path: Path) -> None:
    """Processes that make the file and its keys at the same moment lose none."""
    code = (
        "import sys; from pathlib import Path; from chatbot_ai.access.ledger import KeyLedger\n"
        "with KeyLedger(Path(sys.argv[1])) as ledger:\n"
        "    for n in range(10): ledger.create('backend', name=str(n), now=1.0)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    children = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    with KeyLedger(path) as ledger:
        assert len({key.id for key in ledger.list_keys()}) == 40
        assert json.dumps(ledger.tokens_of_day("2026-01-01")) == "{}"


def test_looking_for_keys_keeps_the_locks_of_an_open_file(path: Path, ledger: KeyLedger) -> None:
    """A key that is created after somebody looked for keys, and another process came and went, is
    in the file.

    SQLite's locks belong to the process: closing any descriptor of the file drops them, and the
    other process, believing itself the last, would remove the log that is being written.
    """
    ledger.create("backend", name="first", now=1.0)
    assert has_keys(path)
    code = (
        "import sys; from pathlib import Path; from chatbot_ai.access.ledger import KeyLedger\n"
        "with KeyLedger(Path(sys.argv[1])) as ledger:\n"
        "    ledger.create('backend', name='second', now=2.0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    ledger.create("backend", name="third", now=3.0)
    script = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]))"
    statement = "SELECT name FROM keys ORDER BY created_at"
    seen = subprocess.check_output([sys.executable, "-c", script, str(path), statement], text=True)
    assert [name.strip("(',)") for name in seen.split()] == ["first", "second", "third"]

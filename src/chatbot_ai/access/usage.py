"""What keys use and where they stand with their limits.

What a call may take yet is reserved with the call, apart from what was spent, and ends with it.

Use is counted in the file that services share, so that a limit holds for all of them together;
every function runs inside a write transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from chatbot_ai.access.key import Key, Limits
from chatbot_ai.domain.errors import CallerLimited
from chatbot_ai.domain.limits import LimitName, LimitState

#: The requests of so many seconds count, whenever one asks: no minute admits more than the limit.
WINDOW_S = 60.0
#: Nobody knows when a running answer ends and frees its place, or the tokens that are reserved for
#: it; a short pause costs little.
CONCURRENT_RETRY_S = 2.0


@dataclass(slots=True)
class Standing:
    """What a key has used: requests of the last minute, tokens of the day, calls under way.

    requests_reset_s  until the oldest request of the window no longer counts
    tokens            that are spent, and those reserved for other calls where they refuse this one
    tokens_reset_s    until the day ends, or soon where other calls' reservations refuse this one
    """

    limits: Limits
    requests: int = 0
    requests_reset_s: float = 0.0
    tokens: int = 0
    tokens_reset_s: float = 0.0
    running: int = 0

    def check(self) -> None:
        """Raise CallerLimited where one more call would be over a limit."""
        states = self.states()
        for state in states:
            if state.remaining == 0:
                raise CallerLimited(state.name, state.reset_s, states)

    def states(self) -> tuple[LimitState, ...]:
        """What is left of each limit that there is."""
        limits = self.limits
        concurrent_reset_s = CONCURRENT_RETRY_S if self.running >= (limits.concurrent or 0) else 0.0
        table: tuple[tuple[LimitName, int | None, int, float], ...] = (
            (
                "requests_per_minute",
                limits.requests_per_minute,
                self.requests,
                self.requests_reset_s,
            ),
            ("tokens_per_day", limits.tokens_per_day, self.tokens, self.tokens_reset_s),
            ("concurrent_requests", limits.concurrent, self.running, concurrent_reset_s),
        )
        return tuple(
            LimitState(name, limit, max(0, limit - used), reset_s)
            for name, limit, used, reset_s in table
            if limit is not None
        )


#: A process that was not seen for so long has ended without releasing its calls.
LEASE_S = 15.0
#: Days that the tokens of a day are kept.
KEEP_DAYS = 90


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, as limits need it: Unix seconds, the day in the operator's zone, what is left of
    that day in seconds."""

    now: float
    day: str
    day_left_s: float


def take(
    connection: sqlite3.Connection, key: Key, visit: str, process: str, moment: Moment
) -> Standing:
    """Count one more call of `key`. Raises CallerLimited, and counts nothing, over a limit."""
    now, limits = moment.now, key.limits
    standing = Standing(limits, tokens_reset_s=moment.day_left_s)
    if limits.requests_per_minute is not None:
        # times ahead of now were written before somebody set the clock back
        connection.execute(
            "DELETE FROM requests WHERE key = ? AND (at <= ? OR at > ?)",
            (key.id, now - WINDOW_S, now + WINDOW_S),
        )
        standing.requests, oldest = connection.execute(
            "SELECT count(*), min(at) FROM requests WHERE key = ?", (key.id,)
        ).fetchone()
        standing.requests_reset_s = WINDOW_S - (now - oldest) if standing.requests else WINDOW_S
    if limits.tokens_per_day is not None:
        standing.tokens = tokens_of(connection, key.id, moment.day)
    if limits.concurrent is not None:
        standing.running, _ = _under_way(connection, key.id, process, now)
    standing.check()
    if limits.requests_per_minute is not None:
        connection.execute("INSERT INTO requests VALUES (?, ?)", (key.id, now))
        standing.requests += 1
    renew(connection, process, now)
    connection.execute(
        "INSERT INTO running (visit, key, process) SELECT ?, id, ? FROM keys WHERE id = ?",
        (visit, process, key.id),
    )
    standing.running += 1
    return standing


def _under_way(
    connection: sqlite3.Connection, key_id: str, process: str, now: float
) -> tuple[int, int]:
    """A key's calls in processes that live, and the tokens reserved for them."""
    calls, tokens = connection.execute(
        "SELECT count(*), coalesce(sum(reserved_tokens), 0)"
        " FROM running JOIN processes ON processes.id = running.process"
        " WHERE key = ? AND (process = ? OR seen_at > ?)",
        (key_id, process, now - LEASE_S),
    ).fetchone()
    return calls, tokens


def release(connection: sqlite3.Connection, visit: str) -> None:
    connection.execute("DELETE FROM running WHERE visit = ?", (visit,))


def spend(
    connection: sqlite3.Connection, key_id: str, visit: str | None, day: str, tokens: int
) -> None:
    """Add tokens to a key's day in the place of what was reserved for the call; a key that was
    deleted meanwhile has no day."""
    connection.execute("UPDATE running SET reserved_tokens = 0 WHERE visit = ?", (visit,))
    connection.execute(
        "INSERT INTO usage SELECT id, ?, ? FROM keys WHERE id = ?"
        " ON CONFLICT (key, day) DO UPDATE SET tokens = tokens + excluded.tokens",
        (day, tokens, key_id),
    )


def reserve(
    connection: sqlite3.Connection,
    standing: Standing,
    visit: str,
    moment: Moment,
    tokens: int,
) -> None:
    """Set what a call may take yet. Raises CallerLimited where what is spent and reserved reaches
    the limit without it; a call that has a reservation is not refused any more."""
    limit = standing.limits.tokens_per_day
    row = connection.execute(
        "SELECT key, process, reserved_tokens FROM running WHERE visit = ?", (visit,)
    ).fetchone()
    if limit is None or row is None:
        return
    key_id, process, own = row
    spent = tokens_of(connection, key_id, moment.day)
    _, reserved = _under_way(connection, key_id, process, moment.now)
    if not own and spent + reserved >= limit:
        standing.tokens = spent + reserved
        standing.tokens_reset_s = moment.day_left_s if spent >= limit else CONCURRENT_RETRY_S
        raise CallerLimited("tokens_per_day", standing.tokens_reset_s, standing.states())
    standing.tokens = spent
    connection.execute("UPDATE running SET reserved_tokens = ? WHERE visit = ?", (tokens, visit))


def tokens_of(connection: sqlite3.Connection, key_id: str, day: str) -> int:
    row = connection.execute(
        "SELECT tokens FROM usage WHERE key = ? AND day = ?", (key_id, day)
    ).fetchone()
    return int(row[0]) if row else 0


def touch(connection: sqlite3.Connection, times: Mapping[str, float]) -> None:
    """Note when keys were last used."""
    connection.executemany(
        "UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?",
        [(at, key_id) for key_id, at in times.items()],
    )


def renew(connection: sqlite3.Connection, process: str, now: float) -> None:
    """Say that a process lives."""
    connection.execute(
        "INSERT INTO processes VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        (process, now),
    )


def clear(connection: sqlite3.Connection, now: float, oldest_day: str) -> None:
    """Remove what processes that have ended left behind, and days of long ago."""
    connection.execute("DELETE FROM processes WHERE seen_at <= ?", (now - LEASE_S,))
    connection.execute(
        "DELETE FROM running WHERE process NOT IN (SELECT id FROM processes)",
    )
    connection.execute("DELETE FROM usage WHERE day < ?", (oldest_day,))

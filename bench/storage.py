"""Measures whether a turn's cost grows with its conversation or with the store.

    python -m bench.storage [--json FILE] [--turns 1000000] [--runs 100] [--store sqlite]

Two questions, for each store: `append` and `recent_turns(10)` in conversations of 10 and of
10,000 turns of one store; and in conversations of 10 turns of a store of 1,000 and of a store of
many turns. "first read" is of a conversation that nobody used for a while, whose pages may have
left the memory; "recent_turns" is the same read again, as within a dialogue.

The two sides of a comparison alternate, run by run, in one process, and both take turns through
as many conversations; a ratio is the median of the runs' own ratios, which a machine that becomes
slower meanwhile does not change, and its spread the smallest and largest one of five blocks of
runs. The server behind the MongoDB rows is SecantusDB, which speaks MongoDB's wire
protocol and is installed with the tests; it is not mongod, whose absolute times differ. It runs in
a process of its own, started here, and syncs to disk on every commit.

Filling takes most of the time: for MongoDB 0.3 to 1 ms a turn (measured with 20,000 and 120,000
turns on a busy machine), so five to twenty minutes for a million.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pymongo import MongoClient

from bench.claims import Claim, arguments, report
from bench.stack import wait_for_port
from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnAnswer
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.sqlite import SqliteConnection
from chatbot_ai.storage import sqlite_rows
from chatbot_ai.storage.mongodb_conversations import MongoConversationStore
from chatbot_ai.storage.mongodb_turns import identity, turn_to_document
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore

SHORT, LONG, FEW, WINDOW, BLOCKS = 10, 10_000, 1_000, 10, 5
WARM_UP = 5
#: How many long conversations, and how many short ones beside them, the runs go through in turn.
LONG_KEYS = tuple(ConversationKey("office", "bench", f"long{number}") for number in range(10))
#: Turns in one insert of the fill.
BATCH = 10_000
INPUT, OUTPUT = (
    "오늘 회의 내용을 세 줄로 정리해 주세요. " * 3,
    "정리한 내용은 다음과 같습니다. " * 40,
)


def few(runs: int) -> int:
    """Turns of the small store: one conversation for each run at least."""
    return max(FEW, (runs + WARM_UP) * SHORT)


def short_key(number: int) -> ConversationKey:
    return ConversationKey("office", f"user{number % 997}", f"d{number}")


def plan(turns: int, *, long: bool) -> Iterator[tuple[ConversationKey, int]]:
    """Yield conversations and their lengths, together `turns` turns (and the long ones')."""
    if long:
        for key in LONG_KEYS:
            yield key, LONG
    for number in range(turns // SHORT):
        yield short_key(number), SHORT


def answer(created_at: float) -> TurnAnswer:
    return TurnAnswer(OUTPUT, "bench", created_at)


def turn(index: int) -> Turn:
    return Turn(index, str(uuid4()), INPUT, (answer(float(index)),), 0, float(index))


async def fill_sqlite(path: Path, turns: int, *, long: bool) -> None:
    connection = SqliteConnection(path, 5.0, sqlite_rows.MIGRATIONS)
    await connection.open()
    conversations = list(plan(turns, long=long))
    for start in range(0, len(conversations), 1000):
        chunk = conversations[start : start + 1000]

        def work(c: object, chunk: list[tuple[ConversationKey, int]] = chunk) -> None:
            for key, length in chunk:
                number = sqlite_rows.ensure_conversation(c, key)  # type: ignore[arg-type]
                for index in range(length):
                    new = turn(index)
                    sqlite_rows.insert_turn(c, number, new)  # type: ignore[arg-type]

        await connection.write(work)
    await connection.close()


def fill_mongodb(url: str, name: str, turns: int, *, long: bool) -> None:
    """The same, in large unordered batches."""
    with MongoClient[dict[str, object]](url) as client:
        database = client[name]
        batch: list[dict[str, object]] = []
        lines: list[dict[str, object]] = []

        def send() -> None:
            if batch:
                database["turns"].insert_many(batch, ordered=False)
            if lines:
                database["conversations"].insert_many(lines, ordered=False)
            batch.clear()
            lines.clear()

        for key, length in plan(turns, long=long):
            lines.append(
                identity(key)
                | {"title": None, "preview": INPUT[:80], "updated_at": float(length)}
                | {"first_index": 0, "next_index": length}
            )
            for index in range(length):
                new = turn(index)
                batch.append(turn_to_document(key, new))
            if len(batch) >= BATCH:
                send()
        send()


async def timed_ms(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1000


async def compare(
    name: str,
    sides: list[tuple[ConversationStore, Callable[[int], ConversationKey]]],
    runs: int,
) -> list[Claim]:
    """Return one claim for each operation; `sides` are small and large."""
    samples: dict[str, tuple[list[float], list[float]]] = {
        "append": ([], []),
        "recent_turns": ([], []),
        "first read": ([], []),
    }
    for run in range(-WARM_UP, runs):
        order = (0, 1) if run % 2 else (1, 0)
        for side in order:
            store, key_of = sides[side]
            key = key_of(run + WARM_UP)
            new = NewTurn(str(uuid4()), INPUT, answer(1e6 + run))
            read = lambda s=store, k=key: s.recent_turns(k, WINDOW)  # noqa: E731
            took = {
                "first read": await timed_ms(read),
                "recent_turns": await timed_ms(read),
                "append": await timed_ms(lambda s=store, k=key, n=new: s.append(k, n)),  # type: ignore[misc]
            }
            for operation, value in took.items():
                if run >= 0:
                    samples[operation][side].append(value)
    return [result(name, operation, small, large) for operation, (small, large) in samples.items()]


def result(name: str, operation: str, small: list[float], large: list[float]) -> Claim:
    ratios = [more / less for less, more in zip(small, large, strict=True)]
    size = len(ratios) // BLOCKS
    blocks = [statistics.median(ratios[i * size : (i + 1) * size]) for i in range(BLOCKS)]
    return Claim(
        f"{name}: {operation}",
        statistics.median(ratios),
        min(blocks),
        max(blocks),
        len(ratios),
        "runs a side",
        "<= 1.3",
        f"medians {statistics.median(large):.2f} ms and {statistics.median(small):.2f} ms",
        spread=f"least to most of {BLOCKS} blocks",
    )


async def bench(
    kind: str, make: Callable[[str], ConversationStore], turns: int, runs: int
) -> list[Claim]:
    """Compare in the filled stores `long`, `few` and `many` that `make` opens."""
    stores = {name: make(name) for name in ("long", "few", "many")}
    for store in stores.values():
        await store.open()
    results = await compare(
        f"{kind}, {LONG:,} turns in the conversation / {SHORT}",
        [
            (stores["long"], lambda run: short_key(run % len(LONG_KEYS))),
            (stores["long"], lambda run: LONG_KEYS[run % len(LONG_KEYS)]),
        ],
        runs,
    )
    results += await compare(
        f"{kind}, {turns:,} turns in the store / {few(runs):,}",
        [
            (stores["few"], short_key),
            # Spread over the whole store: its first conversations alone would all be cached.
            (stores["many"], lambda run: short_key(run * (turns // SHORT // (runs + WARM_UP)))),
        ],
        runs,
    )
    for store in stores.values():
        await store.close()
    return results


@contextmanager
def server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("secantusd-py")
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--sync-on-commit"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments, "--storage-path", folder / "data"], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
    finally:
        process.terminate()
        process.wait()


async def bench_sqlite(folder: Path, turns: int, runs: int) -> list[Claim]:
    await fill_sqlite(folder / "long.db", few(runs), long=True)
    await fill_sqlite(folder / "few.db", few(runs), long=False)
    await fill_sqlite(folder / "many.db", turns, long=False)
    return await bench("SQLite", lambda n: SqliteConversationStore(folder / f"{n}.db"), turns, runs)


async def bench_mongodb(folder: Path, turns: int, runs: int) -> list[Claim]:
    with server(folder) as url:
        for name, count in (
            ("long", few(runs)),
            ("few", few(runs)),
            ("many", turns),
        ):
            store = MongoConversationStore(url, name, server_selection_timeout_s=30)
            await store.open()
            await store.close()
            await asyncio.to_thread(fill_mongodb, url, name, count, long=name == "long")
        return await bench(
            "MongoDB (SecantusDB)",
            lambda n: MongoConversationStore(url, n, timeout_s=60),
            turns,
            runs,
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000, help="in the large store")
    parser.add_argument("--runs", type=int, default=95)
    parser.add_argument("--store", choices=["sqlite", "mongodb", "both"], default="both")
    chosen = parser.parse_args()
    claims: list[Claim] = []
    for kind, measure in (("SQLite", bench_sqlite), ("MongoDB (SecantusDB)", bench_mongodb)):
        if chosen.store == "both" or kind.lower().startswith(chosen.store):
            with tempfile.TemporaryDirectory(prefix="storage-bench-") as folder:
                started = time.perf_counter()
                claims += asyncio.run(measure(Path(folder), chosen.turns, chosen.runs))
                took = time.perf_counter() - started
                print(f"{kind}: {took:.0f} s with filling", file=sys.stderr)
    report(claims, chosen.json)


if __name__ == "__main__":
    main()

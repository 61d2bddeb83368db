"""Turns that were answered while the database was away: kept, handed over once and in order."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chatbot_ai.domain.conversation import ConversationKey, TurnAnswer
from chatbot_ai.domain.deadline import WRITE_LIMIT_S
from chatbot_ai.domain.errors import InvalidRequest, StoreUnavailable
from chatbot_ai.domain.grounding import Source
from chatbot_ai.storage.mongodb_conversations import MongoConversationStore
from chatbot_ai.storage.outbox import OutboxConversationStore
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.conversation_stores import KEY, build_turn, new_turn
from support.mongodb_process import MongodbProcess

OTHER = ConversationKey("office", "test_user", "other")


#: The driver leaves a connecting socket to the garbage collector when its client is closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collected_sockets() -> Iterator[None]:
    """Collect the driver's sockets within the test that lost them."""
    yield
    gc.collect()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongodbProcess]:
    process = MongodbProcess(tmp_path / "mongodb")
    process.start()
    yield process
    process.stop()


def outbox_store(server: MongodbProcess, path: Path) -> OutboxConversationStore:
    primary = MongoConversationStore(
        server.url, "outbox", timeout_s=2, server_selection_timeout_s=0.8
    )
    return OutboxConversationStore(primary, path, retry_s=0.05)


@pytest.fixture
async def store(server: MongodbProcess, tmp_path: Path) -> AsyncIterator[OutboxConversationStore]:
    opened = outbox_store(server, tmp_path / "outbox.db")
    await opened.open()
    yield opened
    await opened.close()


def all_bytes(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def test_turns_of_a_killed_database_arrive_once_and_in_order(
    store: OutboxConversationStore, server: MongodbProcess
) -> None:
    """Turns appended while the server is dead wait, and are stored in order when it is back."""
    await store.append(KEY, new_turn("before"))
    server.stop(signal.SIGKILL)
    with capture_logs() as events:
        waiting = [await store.append(KEY, new_turn(f"w{n}")) for n in range(3)]
        again = await store.append(KEY, new_turn("w1"))
        await store.append(OTHER, new_turn("w0"))
    assert [turn.index for turn in waiting] == [1, 2, 3]
    assert again == waiting[1]
    assert store.pending() == 4
    assert [e["pending"] for e in events if e["event"] == "store.turn_waits"] == [1, 2, 3, 3, 4]
    with pytest.raises(StoreUnavailable):
        await store.recent_turns(KEY, 5)
    with pytest.raises(StoreUnavailable):
        await store.check()

    server.start()
    await eventually(lambda: store.pending() == 0)
    turns = await store.recent_turns(KEY, 9)
    assert [turn.turn_id for turn in turns] == ["before", "w0", "w1", "w2"]
    assert turns[1:] == waiting
    assert [turn.turn_id for turn in await store.turns(OTHER)] == ["w0"]
    assert (await store.append(KEY, new_turn("behind"))).index == 4


async def test_waiting_turns_survive_the_death_of_the_service(
    server: MongodbProcess, tmp_path: Path
) -> None:
    """A new process with the same outbox hands over what its predecessor left."""
    server.stop(signal.SIGKILL)
    first = outbox_store(server, tmp_path / "outbox.db")
    await first.open()
    for number in range(3):
        await first.append(KEY, new_turn(f"w{number}"))
    await first.close()

    second = outbox_store(server, tmp_path / "outbox.db")
    await second.open()
    assert second.pending() == 3
    with pytest.raises(StoreUnavailable):
        await second.recent_turns(KEY, 5)
    server.start()
    await eventually(lambda: second.pending() == 0)
    assert [turn.turn_id for turn in await second.turns(KEY)] == ["w0", "w1", "w2"]
    await second.close()


async def test_a_database_that_comes_and_goes_loses_and_doubles_nothing(
    store: OutboxConversationStore, server: MongodbProcess
) -> None:
    """Every append returns, whatever the server does, and all turns are stored in order."""
    stopping = asyncio.Event()

    async def append() -> list[str]:
        names: list[str] = []
        while not stopping.is_set():
            names.append(f"t{len(names)}")
            await store.append(KEY, new_turn(names[-1]))
            await asyncio.sleep(0.01)
        return names

    appending = asyncio.create_task(append())
    for _ in range(2):
        await asyncio.sleep(0.2)
        server.stop(signal.SIGKILL)
        await eventually(lambda: store.pending() > 0)
        await asyncio.to_thread(server.start)
        await eventually(lambda: store.pending() == 0)
    stopping.set()
    names = await appending
    await eventually(lambda: store.pending() == 0)
    turns = await store.turns(KEY, limit=100_000)
    assert [turn.turn_id for turn in turns] == names
    assert [turn.index for turn in turns] == list(range(len(names)))


async def test_a_read_hands_over_without_waiting_for_the_worker(
    server: MongodbProcess, tmp_path: Path
) -> None:
    """As soon as the database is back, a read sees the waiting turns in their place."""
    store = OutboxConversationStore(
        MongoConversationStore(server.url, "x", timeout_s=2, server_selection_timeout_s=0.8),
        tmp_path / "outbox.db",
        retry_s=3600,
    )
    await store.open()
    await store.append(KEY, new_turn("t0"))
    server.stop(signal.SIGKILL)
    await store.append(KEY, new_turn("t1"))
    await asyncio.to_thread(server.start)
    assert [turn.turn_id for turn in await store.recent_turns(KEY, 5)] == ["t0", "t1"]
    assert store.pending() == 0
    await store.close()


async def test_a_deleted_user_does_not_come_back(
    store: OutboxConversationStore, server: MongodbProcess, tmp_path: Path
) -> None:
    """delete_user drops waiting turns even while the database cannot delete its own."""
    server.stop(signal.SIGKILL)
    await store.append(KEY, new_turn("w", text="비밀" * 100))
    with pytest.raises(StoreUnavailable):
        await store.delete_user(KEY.user_id)
    assert store.pending() == 0
    server.start()
    assert await store.delete_user(KEY.user_id) == 0
    assert await store.turns(KEY) == []
    content = all_bytes(tmp_path, "outbox.db*")
    assert "비밀".encode() not in content


async def test_a_conversation_that_the_database_refuses_does_not_stop_others(
    tmp_path: Path,
) -> None:
    """One refused turn waits alone; the others are handed over past it."""
    path = tmp_path / "primary.db"
    store = OutboxConversationStore(
        SqliteConversationStore(path, busy_timeout_s=0.1), tmp_path / "outbox.db", retry_s=0.05
    )
    await store.open()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    for key in (KEY, OTHER):
        await store.append(key, new_turn("t"))
    assert store.pending() == 2
    connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON conversations WHEN new.db_id = 'test-uuid'"
        " BEGIN SELECT raise(ABORT, 'refused'); END"
    )
    connection.execute("COMMIT")
    await eventually(lambda: store.pending() == 1)
    assert len(await store.turns(OTHER)) == 1
    with pytest.raises(StoreUnavailable):
        await store.turns(KEY)
    connection.execute("DROP TRIGGER refuse")
    connection.close()
    await eventually(lambda: store.pending() == 0)
    assert len(await store.turns(KEY)) == 1
    await store.close()


async def test_what_no_store_takes_does_not_wait(
    store: OutboxConversationStore, server: MongodbProcess
) -> None:
    """An invalid turn is refused at once instead of blocking its conversation for ever."""
    server.stop(signal.SIGKILL)
    with pytest.raises(InvalidRequest):
        await store.append(KEY, new_turn("\ud800"))
    with pytest.raises(InvalidRequest):
        await store.append(KEY, new_turn("t", status="half"))
    assert store.pending() == 0


AGAIN = TurnAnswer("둘째 답", "m2", 5.0, "interrupted", None, (Source(1, "쪽", "https://a.b/"),))


async def test_every_kind_of_answer_waits_and_arrives_in_order(
    store: OutboxConversationStore, server: MongodbProcess
) -> None:
    """A regenerated, a continued and an edited answer made while the server is dead are told as
    they will be, and are stored so, once, when it is back."""
    for name in ("t0", "t1", "t2"):
        await store.append(KEY, new_turn(name))
    newest = (await store.recent_turns(KEY, 9))[-1]
    server.stop(signal.SIGKILL)
    again = await store.add_answer(KEY, newest, AGAIN)
    assert (again.answers, again.selected) == ((newest.answer, AGAIN), 1)
    whole = replace(AGAIN, text="둘째 답, 계속", status="complete", created_at=6.0)
    continued = await store.replace_answer(KEY, again, whole)
    assert continued.answers == (newest.answer, whole)
    other = await store.append(OTHER, new_turn("o"))
    edited = await store.replace_from(KEY, 1, new_turn("edit"))
    behind = await store.append(KEY, new_turn("behind"))
    assert (edited.index, behind.index, store.pending()) == (1, 2, 5)

    server.start()
    await eventually(lambda: store.pending() == 0)
    turns = await store.recent_turns(KEY, 9)
    assert [turn.turn_id for turn in turns] == ["t0", "edit", "behind"]
    assert turns[1:] == [edited, behind]
    assert await store.turns(OTHER) == [other]


async def test_an_answer_waits_over_the_death_of_the_service(
    server: MongodbProcess, tmp_path: Path
) -> None:
    """Another process finds the waiting answers with all that belongs to them."""
    first = outbox_store(server, tmp_path / "outbox.db")
    await first.open()
    turn = await first.append(KEY, new_turn("t"))
    server.stop(signal.SIGKILL)
    await first.add_answer(KEY, turn, AGAIN)
    await first.close()
    second = outbox_store(server, tmp_path / "outbox.db")
    await second.open()
    assert second.pending() == 1
    server.start()
    await eventually(lambda: second.pending() == 0)
    (found,) = await second.turns(KEY)
    assert (found.answers, found.selected) == ((turn.answer, AGAIN), 1)
    await second.close()


async def test_an_answer_to_a_turn_that_is_gone_is_let_go(
    store: OutboxConversationStore, server: MongodbProcess, tmp_path: Path
) -> None:
    """Where another process deleted the turn meanwhile, its answer goes, and others follow."""
    turn = await store.append(KEY, new_turn("t"))
    server.stop(signal.SIGKILL)
    await store.add_answer(KEY, turn, AGAIN)
    await store.append(KEY, new_turn("behind"))
    waiting = tmp_path / "outbox.db"
    await store.close()
    await asyncio.to_thread(server.start)
    other = outbox_store(server, tmp_path / "other.db")
    await other.open()
    await other.delete_conversation(KEY)
    await other.close()
    again = outbox_store(server, waiting)
    await again.open()
    await eventually(lambda: again.pending() == 0)
    assert [turn.turn_id for turn in await again.turns(KEY)] == ["behind"]
    await again.close()


async def test_turns_that_an_earlier_version_left_are_handed_over(
    server: MongodbProcess, tmp_path: Path
) -> None:
    """A waiting turn as the first version wrote it, with its answer's fields flat."""
    path = tmp_path / "outbox.db"
    server.stop(signal.SIGKILL)
    store = outbox_store(server, path)
    await store.open()
    await store.append(KEY, new_turn("old"))
    await store.close()
    flat = {
        **{"turn_id": "old", "input": "i", "output": "o", "model": "m", "created_at": 3.0},
        **{"status": "complete", "sent": None, "window_start": 0},
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE waiting SET turn = ?", (json.dumps(flat),))
    await asyncio.to_thread(server.start)
    store = outbox_store(server, path)
    await store.open()
    assert await store.recent_turns(KEY, 1) == [build_turn(0, "old", created_at=3.0)]
    await store.close()


async def test_a_write_takes_no_longer_than_its_caller_may(
    server: MongodbProcess, tmp_path: Path
) -> None:
    """A server that accepts and then says nothing: the turn goes to the outbox when the caller's
    time is up, not when the store's is, and is stored once when the server goes on."""
    primary = MongoConversationStore(server.url, "slow", timeout_s=60)
    store = OutboxConversationStore(primary, tmp_path / "outbox.db", retry_s=0.05)
    await store.open()
    await store.append(KEY, new_turn("t0"))
    server.freeze()
    limit = WRITE_LIMIT_S.set(1.0)
    turn = await store.append(KEY, new_turn("t1"))
    WRITE_LIMIT_S.reset(limit)
    assert store.pending() == 1
    server.thaw()
    assert turn.index == 1
    await eventually(lambda: store.pending() == 0)
    assert [turn.turn_id for turn in await store.turns(KEY)] == ["t0", "t1"]
    await store.close()

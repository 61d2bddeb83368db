"""What only the SQLite store promises: its plans, its faults, its privacy, its migrations."""
# ruff: noqa: N802, ASYNC221, ASYNC240 - named after rules; a test may wait for its own files

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.conversation import ConversationKey, TurnAnswer
from chatbot_ai.domain.errors import StoreUnavailable
from chatbot_ai.sqlite import Migration, store_error
from chatbot_ai.storage import sqlite_rows
from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
from support.conversation_stores import KEY, Address, new_turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.db"


async def opened(path: Path, busy_timeout_s: float = 5) -> SqliteConversationStore:
    store = SqliteConversationStore(path, busy_timeout_s)
    await store.open()
    return store


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (sqlite_rows.RECENT_TURNS, ("o", "u", "d", 20), "sqlite_autoindex_turns_1"),
        (sqlite_rows.TURNS_FROM, ("o", "u", "d", 5, 20), "sqlite_autoindex_turns_1"),
        (sqlite_rows.FIND_TURN, ("o", "u", "d", "t"), "sqlite_autoindex_turns_2"),
        (sqlite_rows.NEXT_INDEX, (1,), "COVERING INDEX sqlite_autoindex_turns_1"),
        (sqlite_rows.SUMMARY, ("o", "u", "d"), "sqlite_autoindex_conversations_1"),
        (sqlite_rows.LIST_CONVERSATIONS, ("o", "u", 9.0, 50), "conversations_by_time"),
    ],
)
async def test_S4_every_read_is_an_index_search(
    path: Path, statement: str, arguments: tuple[object, ...], index: str
) -> None:
    """No statement scans a table or sorts: its cost is that of the rows it returns."""
    await (await opened(path)).close()
    connection = sqlite3.connect(path)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments)]
    connection.close()
    assert any(f"SEARCH {table}" in plan[0] for table in ("turns", "t ", "conversations"))
    assert index in plan[0]
    assert not [step for step in plan if step.startswith("SCAN t") or "TEMP B-TREE" in step]


def read_pragma(name: str, connection: sqlite3.Connection) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_S1_the_file_is_opened_for_durability(path: Path) -> None:
    """Writes are synchronous and go to a write-ahead log."""
    store = await opened(path)
    settings = [
        await store._writer.read(partial(read_pragma, pragma))
        for pragma in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    ]
    await store.close()
    assert settings == ["wal", 2, 1, 1]


async def test_S7_a_locked_file_is_unavailable_and_recovers(path: Path) -> None:
    """While another connection holds the write lock, writes fail and reads work."""
    store = await opened(path, busy_timeout_s=0.1)
    await store.append(KEY, new_turn("t0"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.append(KEY, new_turn("t1"))
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert len(await store.recent_turns(KEY, 5)) == 1
    other.execute("ROLLBACK")
    other.close()
    assert (await store.append(KEY, new_turn("t1"))).index == 1
    await store.close()


async def test_S7_a_lock_shorter_than_the_timeout_is_waited_for(path: Path) -> None:
    """A write waits for another connection's transaction and then succeeds."""
    store = await opened(path, busy_timeout_s=30)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    append = asyncio.create_task(store.append(KEY, new_turn("t")))
    done, _ = await asyncio.wait([append], timeout=0.2)
    assert not done
    other.execute("COMMIT")
    other.close()
    assert (await append).index == 0
    await store.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 300, b"SQLite format 3\0" + b"x" * 9000]
)
async def test_S7_a_file_that_is_no_database_is_unavailable(path: Path, content: bytes) -> None:
    """A foreign or damaged file is refused and left as it was."""
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable):
        await opened(path)
    assert path.read_bytes() == content


async def test_S7_a_damaged_page_is_unavailable(path: Path) -> None:
    """Reading a turn whose page was overwritten raises StoreUnavailable."""
    store = await opened(path)
    for number in range(200):
        await store.append(KEY, new_turn(f"t{number}", text="x" * 500))
    await store.close()
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(StoreUnavailable):
        store = await opened(path)
        try:
            await store.recent_turns(KEY, 200)
        finally:
            await store.close()


async def test_S7_an_unreadable_turn_is_unavailable(path: Path) -> None:
    """Answers that are no JSON raise StoreUnavailable, not a decoding error."""
    store = await opened(path)
    await store.append(KEY, new_turn("t"))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE turns SET answers = '[{'")
    connection.close()
    with pytest.raises(StoreUnavailable):
        await store.recent_turns(KEY, 1)
    await store.close()


@pytest.mark.parametrize("place", ["file/below/a.db", "folder", "file/a.db"])
async def test_S7_an_impossible_path_is_unavailable(tmp_path: Path, place: str) -> None:
    """A path below a file, or a folder in the file's place, is refused."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailable):
        await opened(tmp_path / place)


async def test_S7_a_replaced_file_takes_no_turn(path: Path) -> None:
    """A write to a file that was moved away is refused: nobody would find the turn."""
    store = await opened(path)
    await store.append(KEY, new_turn("t0"))
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(StoreUnavailable):
        await store.append(KEY, new_turn("t1"))
    path.touch()
    with pytest.raises(StoreUnavailable):
        await store.check()
    path.with_suffix(".moved").replace(path)
    assert (await store.append(KEY, new_turn("t1"))).index == 1
    await store.close()


async def test_S7_a_file_that_cannot_grow_is_unavailable_and_recovers(path: Path) -> None:
    """When the disk takes no more bytes, appends fail whole; with room again they work."""
    store = await opened(path)
    stored = [(await store.append(KEY, new_turn("t0"))).turn_id]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StoreUnavailable):
            for number in range(1, 100):
                turn = new_turn(f"t{number}", text="가" * 5000)
                stored.append((await store.append(KEY, turn)).turn_id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.append(KEY, new_turn("after"))
    turns = await store.turns(KEY, limit=1000)
    await store.close()
    assert [turn.turn_id for turn in turns] == [*stored, "after"]
    assert [turn.index for turn in turns] == list(range(len(turns)))


async def test_S7_a_read_only_file_is_unavailable() -> None:
    """A user who may read the file but not write it gets StoreUnavailable."""
    folder = Path(tempfile.mkdtemp(prefix="storage-"))
    folder.chmod(0o755)
    path = folder / "conversations.db"
    store = await opened(path)
    await store.append(KEY, new_turn("t0"))
    await store.close()
    path.chmod(0o444)
    script = f"""
        import asyncio, os, sys
        from pathlib import Path
        from chatbot_ai.domain.errors import StoreUnavailable
        from chatbot_ai.storage.sqlite_conversations import SqliteConversationStore
        if os.geteuid() == 0:
            os.seteuid(65534)
        Path({str(path)!r}).read_bytes()
        async def main():
            store = SqliteConversationStore(Path({str(path)!r}))
            try:
                await store.open()
            except StoreUnavailable:
                sys.exit(33)
        asyncio.run(main())
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=dict(os.environ), check=False
    )
    shutil.rmtree(folder)
    assert child.returncode == 33


async def test_S12_deleted_text_leaves_the_disk(path: Path) -> None:
    """After delete_user no byte of the user's texts is in the file or its log."""
    store = await opened(path)
    secret = "아주-비밀스러운-문장"
    for number in range(50):
        await store.append(KEY, new_turn(f"t{number}", input=secret, text=secret * 40))
        other = ConversationKey("office", "other", "d")
        await store.append(other, new_turn(f"t{number}", text="남은 문장" * 40))
    await store.delete_user(KEY.user_id)
    contents = [file.read_bytes() for file in path.parent.iterdir()]
    await store.close()
    assert not [content for content in contents if secret.encode() in content]
    assert any("남은 문장".encode() in content for content in contents)


async def test_the_file_is_private(path: Path) -> None:
    """File, log and index are readable for their owner only."""
    store = await opened(path)
    await store.append(KEY, new_turn("t"))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    await store.close()
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


async def test_a_new_migration_is_applied_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file gets the steps it lacks; an older program refuses the newer file."""
    store = await opened(path)
    await store.append(KEY, new_turn("t"))
    await store.close()
    added = Migration("9999_notes", ("ALTER TABLE turns ADD COLUMN note TEXT",))
    with monkeypatch.context() as newer:
        newer.setattr(sqlite_rows, "MIGRATIONS", (*sqlite_rows.MIGRATIONS, added))
        for _ in range(2):
            store = await opened(path)
            assert len(await store.recent_turns(KEY, 5)) == 1
            await store.close()
    with pytest.raises(StoreUnavailable):
        await opened(path)


def test_S7_every_sqlite_error_is_mapped() -> None:
    """Each error class of sqlite3 becomes StoreUnavailable."""
    for name in dir(sqlite3):
        error_class = getattr(sqlite3, name)
        if isinstance(error_class, type) and issubclass(error_class, Exception):
            assert isinstance(
                store_error("store", Path("x"), error_class("text")), StoreUnavailable
            )
            assert issubclass(error_class, (sqlite3.Error, sqlite3.Warning))


async def test_S1_another_process_that_closes_takes_no_turn_along(path: Path) -> None:
    """What is appended after another process opened and closed the file is in the file.

    SQLite's locks belong to the process: closing any descriptor of the file drops them, and the
    other process, believing itself the last, would remove the log that is being written.
    """
    address = Address("sqlite", str(path))
    store = await opened(path)
    for number in range(3):
        await store.append(KEY, new_turn(f"here-{number}"))
        child = address.start_appender(f"there-{number}", count=1)
        await asyncio.to_thread(child.communicate)
        assert child.returncode == 0
        await store.append(KEY, new_turn(f"here-again-{number}"))
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute(sys.argv[2]))"
    statement = "SELECT turn_id FROM turns ORDER BY idx"
    command = [sys.executable, "-c", script, str(path), statement]
    seen: bytes = await asyncio.to_thread(lambda: subprocess.check_output(command))
    await store.close()
    names = [name.strip("(',)") for name in seen.decode().split()]
    assert names == [
        name for n in range(3) for name in (f"here-{n}", f"there-{n}-0-0", f"here-again-{n}")
    ]


async def test_answers_of_an_earlier_version_are_read_and_kept(path: Path) -> None:
    """Answers that lack end, sources and time are read with the turn's time, and are kept."""
    store = await opened(path)
    await store.append(KEY, new_turn("t", 7.0))
    connection = sqlite3.connect(path)
    old = [{"text": "하나", "model": "m", "status": "complete"}]
    connection.execute("UPDATE turns SET answers = ?", (json.dumps(old),))
    connection.commit()
    connection.close()
    (turn,) = await store.recent_turns(KEY, 1)
    assert turn.answers == (TurnAnswer("하나", "m", 7.0),)
    new = TurnAnswer("둘", "m2", 8.0, "complete", "stop")
    assert (await store.add_answer(KEY, turn, new)).answers == (*turn.answers, new)
    assert (await store.recent_turns(KEY, 1))[0].answers == (*turn.answers, new)
    await store.close()


async def test_S17_a_file_of_an_earlier_version_is_counted(path: Path) -> None:
    """What was stored before there was a count is in it after the file is opened."""
    store = await opened(path)
    for number in range(3):
        await store.append(KEY, new_turn(f"t{number}", sent="가\0나" * 10))
    await store.append(ConversationKey("character", "other", "d"), new_turn("t"))
    counts = [await store.count_bytes(user) for user in (KEY.user_id, "other")]
    assert all(counts)
    await store.close()
    connection = sqlite3.connect(path)
    for trigger in ("insert", "update", "delete"):
        connection.execute(f"DROP TRIGGER count_{trigger}")
    connection.execute("DROP TABLE usage")
    connection.execute("DELETE FROM migrations WHERE name LIKE '0003%'")
    connection.commit()
    connection.close()
    store = await opened(path)
    assert [await store.count_bytes(user) for user in (KEY.user_id, "other")] == counts
    await store.close()


async def test_a_file_is_opened_after_another_process_has_migrated_it(path: Path) -> None:
    """Which takes longer than any other transaction; those wait for the busy timeout only."""
    await (await opened(path)).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    opening = asyncio.create_task(opened(path, busy_timeout_s=0.1))
    await asyncio.wait([opening], timeout=1)
    assert not opening.done()
    other.execute("COMMIT")
    store = await opening
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process"):
        await store.append(KEY, new_turn("t"))
    other.close()
    await store.close()

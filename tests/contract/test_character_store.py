"""The rules K1-K8 of CharacterStore, against every adapter."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chatbot_ai.domain.character import (
    CharacterFile,
    CharacterSheet,
    CharacterStore,
    StoredCharacter,
)
from chatbot_ai.domain.errors import NotFound, StorageFull, StoreUnavailable
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore

SHEET = CharacterSheet(
    name="하늘",
    tagline="왔구나!",
    card='{"name": "하늘",  "x": 1e2}',
    picture=bytes(range(256)),
    media_type="image/png",
    files=(
        CharacterFile("assets/b.png", b"\0\1", "image/png"),
        CharacterFile("assets/a.bin", b"\xff", None),
    ),
)


def character(id_: str, user: str = "mina", at: float = 1.0) -> StoredCharacter:
    return StoredCharacter(id_, user, SHEET, at, at)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CharacterStore]:
    opened = SqliteCharacterStore(tmp_path / "characters.sqlite3")
    await opened.open()
    yield opened
    await opened.close()


async def test_k1_a_character_survives_the_end_of_its_process(tmp_path: Path) -> None:
    """A process that is killed right after `add` leaves the character behind."""
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from tests.contract.test_character_store import *\n"
        "async def main():\n"
        "    store = SqliteCharacterStore(Path(sys.argv[1])); await store.open()\n"
        "    await store.add(character('a')); os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())"
    )
    path = tmp_path / "characters.sqlite3"
    root = Path(__file__).parents[2]
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), cwd=root)
    assert await ended.wait() == -9
    store = SqliteCharacterStore(path)
    await store.open()
    assert await store.get("mina", "a") == character("a")
    await store.close()


async def test_k2_another_users_character_is_not_found(store: CharacterStore) -> None:
    """Reading, changing and deleting say NotFound, and the character stays as it was."""
    await store.add(character("a"))
    for call in (
        store.get("other", "a"),
        store.replace("other", "a", SHEET, 2.0),
        store.delete("other", "a"),
        store.get("mina", "b"),
    ):
        with pytest.raises(NotFound):
            await call
    assert await store.list("other") == []
    assert await store.count("other") == 0
    assert await store.get("mina", "a") == character("a")


async def test_k3_everything_comes_back_as_it_went_in(store: CharacterStore) -> None:
    """Text, picture and files are equal to the last byte and in their order."""
    await store.add(character("a"))
    assert (await store.get("mina", "a")).sheet == SHEET


async def test_k4_replace_changes_all_parts(store: CharacterStore) -> None:
    """After `replace` nothing of the old card, picture or files is left."""
    await store.add(character("a"))
    sheet = CharacterSheet("바다", "안녕", "{}", None, None, ())
    await store.replace("mina", "a", sheet, 5.0)
    found = await store.get("mina", "a")
    assert found == replace(character("a"), sheet=sheet, updated_at=5.0)


async def test_k5_the_list_is_newest_first_and_paged(store: CharacterStore) -> None:
    """`before` goes on where the page before it ended."""
    for number in range(5):
        await store.add(character(f"c{number}", at=float(number)))
    first = await store.list("mina", limit=2)
    rest = await store.list("mina", limit=9, before=first[-1].updated_at)
    assert [line.id for line in first + rest] == ["c4", "c3", "c2", "c1", "c0"]
    assert await store.count("mina") == 5
    assert first[0].has_picture


async def test_k6_deleting_removes_every_row(store: CharacterStore, tmp_path: Path) -> None:
    """No table keeps anything of a deleted character or user."""
    await store.add(character("a"))
    await store.add(character("b"))
    await store.add(character("c", user="other"))
    await store.delete("mina", "a")
    assert await store.delete_user("mina") == 1
    await store.delete("other", "c")
    with sqlite3.connect(tmp_path / "characters.sqlite3") as file:
        counts = [
            file.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("characters", "sheets", "files")
        ]
    file.close()
    assert counts == [0, 0, 0]


async def test_k7_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    """A file that is no database is StoreUnavailable."""
    path = tmp_path / "characters.sqlite3"
    path.write_bytes(b"no database" * 1000)
    store = SqliteCharacterStore(path)
    with pytest.raises(StoreUnavailable):
        await store.open()


async def test_k8_all_that_is_stored_counts(store: CharacterStore) -> None:
    """Card, picture and files of every character, after additions, changes and removals."""
    own = len(SHEET.card.encode()) + len(SHEET.picture or b"") + 3
    await store.add(character("a"))
    one = await store.count_bytes("mina")
    assert own < one < own + 1000
    await store.add(character("b"))
    await store.add(character("c", user="other"))
    assert await store.count_bytes("mina") == 2 * one
    large = replace(SHEET, picture=bytes(10_000), files=(CharacterFile("a", bytes(5_000), None),))
    await store.replace("mina", "b", large, 2.0)
    grown = await store.count_bytes("mina")
    assert 15_000 < grown - one < 17_000
    await store.delete("mina", "a")
    assert await store.count_bytes("mina") == grown - one
    await store.delete_user("mina")
    assert await store.count_bytes("mina") == 0
    assert await store.count_bytes("other") == one


async def test_k8_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    """Not even where many come at once, over connections of their own."""
    path = tmp_path / "characters.sqlite3"
    stores = [SqliteCharacterStore(path, user_bytes=20_000) for _ in range(4)]
    for opened in stores:
        await opened.open()
    large = replace(SHEET, picture=bytes(6_000))
    outcomes = await asyncio.gather(
        *(stores[n % 4].add(StoredCharacter(f"c{n}", "mina", large, 1.0, 1.0)) for n in range(12)),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, StorageFull)]
    assert outcomes.count(None) == 2 + (len(refused) != 10)
    assert await stores[0].count("mina") == outcomes.count(None)
    (line, *_) = await stores[0].list("mina")
    before = await stores[0].get("mina", line.id)
    with pytest.raises(StorageFull):
        await stores[1].replace("mina", line.id, replace(large, card="x" * 20_000), 2.0)
    assert await stores[0].get("mina", line.id) == before
    for opened in stores:
        await opened.close()


async def test_k8_a_file_of_an_earlier_version_is_counted(
    tmp_path: Path,
) -> None:
    """What was stored before there was a count is in it after the file is opened."""
    path = tmp_path / "characters.sqlite3"
    new = SqliteCharacterStore(path)
    await new.open()
    await new.add(character("a"))
    await new.add(character("b", user="other"))
    counts = [await new.count_bytes(user) for user in ("mina", "other")]
    await new.close()
    with sqlite3.connect(path) as file:
        for trigger in ("insert", "update", "delete"):
            file.execute(f"DROP TRIGGER count_{trigger}")
        file.execute("DROP TABLE usage")
        file.execute("ALTER TABLE characters DROP COLUMN bytes")
        file.execute("DELETE FROM migrations WHERE name LIKE '0002%'")
    file.close()
    again = SqliteCharacterStore(path)
    await again.open()
    assert [await again.count_bytes(user) for user in ("mina", "other")] == counts
    await again.close()

"""Backups, moves between stores, the predecessor's layout, and the commands for them."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from bson import ObjectId
from pymongo import MongoClient
from typer.testing import CliRunner

from chatbot_ai.cli.history import BAD_INPUT, DISAGREES, UNAVAILABLE, app
from chatbot_ai.domain.character import CharacterSheet, StoredCharacter
from chatbot_ai.domain.conversation import ConversationKey, Turn, TurnAnswer
from chatbot_ai.domain.errors import ConfigurationError, StoreUnavailable
from chatbot_ai.domain.grounding import Source
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.server.stores import SQLITE_FILE, build_store, parse_database
from chatbot_ai.storage.history_file import count_backup_turns, read_backup, write_backup
from chatbot_ai.storage.outbox_operations import AppendTurn
from chatbot_ai.storage.outbox_queue import OutboxQueue, count_waiting, outbox_file
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.transfer import Record, Tally, copy_history, read_history
from support.conversation_stores import new_turn
from support.mongodb_process import MongodbProcess

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
SOURCES = (Source(1, "첫 쪽", "https://one.example/"), Source(2, "둘째", "https://two.example/"))
KEYS = [
    ConversationKey("office", "홍길동", "test-uuid"),
    ConversationKey("office", "u2", "long"),
    ConversationKey("character", "홍길동", "test-uuid"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongodbProcess]:
    process = MongodbProcess(tmp_path_factory.mktemp("mongodb"))
    process.start()
    yield process
    process.stop()
    gc.collect()


@pytest.fixture
def mongodb(server: MongodbProcess) -> str:
    return server.url.replace("/?", f"/test_{uuid4().hex}?")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / SQLITE_FILE}"


def turns_of(count: int) -> list[Turn]:
    return [
        Turn(
            n,
            f"t{n}",
            f"질문\n{n}\0😀",
            (
                TurnAnswer(f"답 {n}", "m", 1e9 + n, "complete", "length", SOURCES),
                TurnAnswer("다른 답", "m2", 2e9 + n, "interrupted"),
            ),
            n % 2,
            1e9 + n,
            "s",
            n,
        )
        for n in range(count)
    ]


async def fill(store: ConversationStore) -> int:
    counts = (3, 70, 1)
    for key, count in zip(KEYS, counts, strict=True):
        await asyncio.gather(*(store.restore(key, turn) for turn in turns_of(count)))
    await store.set_title(KEYS[1], "긴 대화")
    return sum(counts)


async def opened(location: str) -> ConversationStore:
    store = build_store(location)
    await store.open()
    return store


async def content(store: ConversationStore) -> dict[ConversationKey, tuple[str | None, list[Turn]]]:
    found: dict[ConversationKey, tuple[str | None, list[Turn]]] = {}
    async for record in read_history(store):
        _, turns = found.setdefault(record.key, (None, []))
        if record.turn is None:
            found[record.key] = (record.title, turns)
        else:
            turns.append(record.turn)
    return found


def prepared(location: str) -> int:
    async def work() -> int:
        store = await opened(location)
        count = await fill(store)
        await store.close()
        return count

    return asyncio.run(work())


def content_at(location: str) -> dict[ConversationKey, tuple[str | None, list[Turn]]]:
    async def work() -> dict[ConversationKey, tuple[str | None, list[Turn]]]:
        store = await opened(location)
        found = await content(store)
        await store.close()
        return found

    return asyncio.run(work())


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandRunner:
    monkeypatch.chdir(tmp_path)
    return CommandRunner(DATA_DIR=str(tmp_path))


class CommandRunner:
    """Runs `history` commands with these settings, by default on the embedded file."""

    def __init__(self, **settings: str) -> None:
        self._settings = {"LANG": "C.UTF-8", **settings}
        self.said = ""

    def __call__(self, *arguments: str, answer: str | None = None) -> int:
        """Run a command and return its exit code; `said` is what it printed."""
        result = CliRunner().invoke(app, list(arguments), input=answer, env=self._settings)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.said = result.output
        return result.exit_code


@pytest.mark.parametrize("direction", ["sqlite to mongodb", "mongodb to sqlite"])
async def test_a_copy_is_the_same_history(sqlite: str, mongodb: str, direction: str) -> None:
    """Every turn and title arrives; a second copy finds all of it there."""
    places = (sqlite, mongodb) if direction.startswith("sqlite") else (mongodb, sqlite)
    source, target = [await opened(place) for place in places]
    count = await fill(source)
    dry = await copy_history(read_history(source), target, apply=False)
    assert (dry.read, dry.written, dry.agrees) == (count, count, True)
    assert await content(target) == {}
    first = await copy_history(read_history(source), target)
    assert (first.read, first.written, first.present, first.agrees) == (count, count, 0, True)
    assert first.conversations == 3
    second = await copy_history(read_history(source), target)
    assert (second.written, second.present, second.agrees) == (0, count, True)
    assert await content(target) == await content(source)
    for store in (source, target):
        await store.close()


async def test_an_interrupted_copy_is_completed_by_the_next(sqlite: str, mongodb: str) -> None:
    """A copy that dies half-way is repeated without doubling or losing a turn."""
    source, target = await opened(sqlite), await opened(mongodb)
    count = await fill(source)

    def die(tally: Tally) -> None:
        raise StoreUnavailable(f"after {tally.read}")

    with pytest.raises(StoreUnavailable):
        await copy_history(read_history(source), target, on_progress=die)
    half = sum(len(turns) for _, turns in (await content(target)).values())
    assert 0 < half < count
    tally = await copy_history(read_history(source), target)
    assert (tally.present, tally.written, tally.agrees) == (half, count - half, True)
    assert await content(target) == await content(source)
    for store in (source, target):
        await store.close()


@pytest.mark.parametrize("apply", [True, False])
async def test_a_conflict_is_reported_and_harms_nothing(sqlite: str, apply: bool) -> None:
    """A place or id that another turn has counts as conflict; the target keeps its own."""
    store = await opened(sqlite)
    await fill(store)
    before = await content(store)

    async def records() -> AsyncIterator[Record]:
        yield Record(KEYS[0], replace(turns_of(3)[1], turn_id="stranger"))
        yield Record(KEYS[0], replace(turns_of(3)[2], index=9))

    tally = await copy_history(records(), store, apply=apply)
    assert (tally.conflicts, tally.written, tally.agrees) == (2, 0, False)
    assert await content(store) == before
    await store.close()


async def test_a_backup_holds_everything(sqlite: str, mongodb: str, tmp_path: Path) -> None:
    """A backup of one store restores into another, is private, and knows its own size."""
    source, target = await opened(sqlite), await opened(mongodb)
    count = await fill(source)
    path = tmp_path / "backup.jsonl"
    assert await write_backup(path, read_history(source)) == count
    assert count_backup_turns(path) == count
    tally = await copy_history(read_backup(path), target)
    assert (tally.read, tally.agrees) == (count, True)
    assert await content(target) == await content(source)
    for store in (source, target):
        await store.close()


def test_a_backup_is_private_and_complete_or_absent(sqlite: str, tmp_path: Path) -> None:
    """A backup that fails leaves the older file; its mode lets only the owner read."""
    count = prepared(sqlite)
    path = tmp_path / "backup.jsonl"

    async def work(fails: bool) -> None:
        store = await opened(sqlite)

        async def records() -> AsyncIterator[Record]:
            async for record in read_history(store):
                yield record
            if fails:
                raise StoreUnavailable("away")

        try:
            await write_backup(path, records())
        finally:
            await store.close()

    asyncio.run(work(fails=False))
    whole = path.read_bytes()
    with pytest.raises(StoreUnavailable):
        asyncio.run(work(fails=True))
    assert path.read_bytes() == whole
    assert path.stat().st_mode & 0o777 == 0o600
    assert count_backup_turns(path) == count


def test_export_import_and_delete_commands(
    command: CommandRunner, sqlite: str, mongodb: str, tmp_path: Path
) -> None:
    """The commands move a history through a file and remove one user from it."""
    prepared(sqlite)
    backup = str(tmp_path / "backup.jsonl")
    assert command("export", backup) == 0
    for _ in range(2):
        assert command("import", backup, "--store", mongodb, "--lang", "en") == 0
    assert content_at(mongodb) == content_at(sqlite)
    assert command("delete", "홍길동", "--store", mongodb, answer="n\n") == 1
    assert content_at(mongodb) == content_at(sqlite)
    assert command("delete", "홍길동", "--store", mongodb, "--assistant", "office", "--yes") == 0
    assert set(content_at(mongodb)) == {KEYS[1], KEYS[2]}
    assert command("delete", "홍길동", "--store", mongodb, answer="y\n") == 0
    assert set(content_at(mongodb)) == {KEYS[1]}
    partial = str(tmp_path / "partial.jsonl")
    assert command("export", partial, "--user", "홍길동", "--assistant", "character") == 0
    assert count_backup_turns(Path(partial)) == 1


def left_in_the_outbox(folder: Path, *keys: ConversationKey) -> None:
    """Let turns wait, as a service leaves them whose database is away."""

    async def work() -> None:
        for assistant in ("office", "character"):
            queue = OutboxQueue(outbox_file(folder, assistant))
            await queue.open()
            for number, key in enumerate(keys):
                if key.assistant == assistant:
                    await queue.put(key, AppendTurn(new_turn(f"w{number}", text="비밀" * 100)))
            await queue.close()

    asyncio.run(work())


def kept_characters(folder: Path, *user_ids: str) -> None:
    async def work() -> None:
        store = SqliteCharacterStore(folder / "characters.sqlite3")
        await store.open()
        for number, user_id in enumerate(user_ids):
            sheet = CharacterSheet("레이첼", "", "{}", None, None, ())
            await store.add(StoredCharacter(f"{number:032x}", user_id, sheet, 1.0, 1.0))
        await store.close()

    asyncio.run(work())


def counted_characters(folder: Path, user_id: str) -> int:
    async def work() -> int:
        store = SqliteCharacterStore(folder / "characters.sqlite3")
        await store.open()
        count = await store.count(user_id)
        await store.close()
        return count

    return asyncio.run(work())


def test_deleting_a_user_deletes_what_waits_and_the_characters(
    command: CommandRunner, sqlite: str, tmp_path: Path
) -> None:
    """Nothing of the user is left anywhere, and nothing of others goes."""
    prepared(sqlite)
    left_in_the_outbox(tmp_path, *KEYS)
    kept_characters(tmp_path, "홍길동", "홍길동", "u2")
    assert command("delete", "홍길동", "--assistant", "office", "--yes", "--lang", "en") == 0
    assert "Deleted 1 turns that were waiting to be stored, and 0 characters." in command.said
    assert command("delete", "홍길동", "--yes", "--lang", "en") == 0
    assert "Deleted 1 turns that were waiting to be stored, and 2 characters." in command.said
    assert set(content_at(sqlite)) == {KEYS[1]}
    assert asyncio.run(count_waiting(tmp_path)) == asyncio.run(
        count_waiting(tmp_path, "office", "u2")
    )
    assert (counted_characters(tmp_path, "홍길동"), counted_characters(tmp_path, "u2")) == (0, 1)


def test_what_lies_here_is_deleted_while_the_database_is_away(tmp_path: Path) -> None:
    """The exit code says that the database's part is still to be done; running again does it."""
    away = "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100"
    command = CommandRunner(DATA_DIR=str(tmp_path), MONGODB_URL=away)
    left_in_the_outbox(tmp_path, *KEYS)
    kept_characters(tmp_path, "홍길동")
    assert command("delete", "홍길동", "--yes") == UNAVAILABLE
    assert asyncio.run(count_waiting(tmp_path, user_id="홍길동")) == 0
    assert asyncio.run(count_waiting(tmp_path)) == 1
    assert counted_characters(tmp_path, "홍길동") == 0


def test_an_export_tells_what_it_cannot_hold(
    command: CommandRunner, sqlite: str, tmp_path: Path
) -> None:
    """Turns that wait for the database are counted, as far as they are asked for."""
    prepared(sqlite)
    backup = str(tmp_path / "backup.jsonl")
    assert command("export", backup, "--lang", "en") == 0
    assert "Warning" not in command.said
    left_in_the_outbox(tmp_path, *KEYS)
    assert command("export", backup, "--lang", "en") == 0
    assert "Warning: 3 turns are still waiting" in " ".join(command.said.split())
    assert command("export", backup, "--user", "u2", "--lang", "en") == 0
    assert "Warning: 1 turns are still waiting" in " ".join(command.said.split())


def test_a_store_can_be_named_by_a_variable(
    command: CommandRunner, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env:NAME` stands for what the variable holds, so that no password is on a command line."""
    source = f"sqlite:{tmp_path / 'source.db'}"
    prepared(source)
    assert command("migrate", "--from", "env:OLD_STORE", "--apply") == BAD_INPUT
    assert "OLD_STORE" in command.said
    monkeypatch.setenv("OLD_STORE", source)
    assert command("migrate", "--from", "env:OLD_STORE", "--apply") == 0
    assert content_at(sqlite) == content_at(source)
    assert command("export", str(tmp_path / "b.jsonl"), "--store", "env:OLD_STORE") == 0


def test_damaged_backups_are_refused(command: CommandRunner, sqlite: str, tmp_path: Path) -> None:
    """A cut, foreign or altered file ends with an exit code other than 0."""
    prepared(sqlite)
    backup = tmp_path / "backup.jsonl"
    assert command("export", str(backup)) == 0
    lines = backup.read_text().splitlines(keepends=True)
    damaged = {
        "cut": lines[:-1],
        "no header": lines[1:],
        "no json": [*lines[:2], "{\n", *lines[2:]],
        "no turn": [
            lines[0],
            json.dumps({"conversation": ["office", "u", "d"], "turn": {}}) + "\n",
            lines[-1],
        ],
        "empty": [],
    }
    for content_lines in damaged.values():
        backup.write_text("".join(content_lines))
        assert command("import", str(backup)) == BAD_INPUT
    backup.write_text("".join([lines[0], *lines[2:]]))
    assert command("import", str(backup), "--store", f"sqlite:{tmp_path}/new.db") == DISAGREES
    assert command("import", str(tmp_path / "absent.jsonl")) == BAD_INPUT


def test_a_backup_of_version_1_is_still_read(
    command: CommandRunner, sqlite: str, tmp_path: Path
) -> None:
    """What version 1 kept arrives: texts and selection, with the selected answer's model, status
    and the turn's time for all of them."""
    turn = {
        **{"index": 0, "turn_id": "t", "input": "질문", "outputs": ["하나", "둘"], "selected": 1},
        **{"model": "m", "status": "interrupted", "created_at": 5.0, "sent": None},
        "window_start": 0,
    }
    lines = [
        {"format": "chatbot-ai-history", "version": 1},
        {"conversation": ["office", "u", "d"], "turn": turn},
        {"turns": 1},
    ]
    backup = tmp_path / "old.jsonl"
    backup.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        assert command("import", str(backup)) == 0
    ((_, (found,)),) = content_at(sqlite).values()
    assert found.answers == tuple(TurnAnswer(t, "m", 5.0, "interrupted") for t in ("하나", "둘"))
    assert found.selected == 1


@pytest.mark.parametrize("apply", [True, False])
async def test_other_contents_are_told_and_kept(sqlite: str, apply: bool) -> None:
    """A turn that is there with another text, answer or selection is named, not overwritten."""
    store = await opened(sqlite)
    await fill(store)
    before = await content(store)
    turn = turns_of(3)[1]

    async def records() -> AsyncIterator[Record]:
        yield Record(KEYS[0], turn)
        yield Record(KEYS[0], replace(turns_of(3)[0], input="anders"))
        yield Record(KEYS[0], replace(turns_of(3)[2], answers=turn.answers))

    tally = await copy_history(records(), store, apply=apply)
    assert (tally.present, tally.different, tally.agrees) == (1, 2, False)
    assert tally.named == [
        ("different", "office/홍길동/test-uuid#0"),
        ("different", "office/홍길동/test-uuid#2"),
    ]
    assert await content(store) == before
    await store.close()


def test_migrate_is_a_dry_run_unless_applied(
    command: CommandRunner, sqlite: str, mongodb: str
) -> None:
    """migrate reads only, until --apply; a second --apply changes nothing."""
    prepared(mongodb)
    assert command("migrate", "--from", mongodb) == 0
    assert content_at(sqlite) == {}
    for _ in range(2):
        assert command("migrate", "--from", mongodb, "--apply", "--lang", "en") == 0
        assert content_at(sqlite) == content_at(mongodb)


def test_migrate_names_what_is_wrong(command: CommandRunner, tmp_path: Path) -> None:
    """An absent file, an unknown form, a URL without database and an absent server fail."""
    assert command("migrate", "--from", f"sqlite:{tmp_path}/absent.db") == BAD_INPUT
    assert command("migrate", "--from", "redis://host/0") == BAD_INPUT
    assert command("migrate", "--from", "mongodb://host") == BAD_INPUT
    for extra in ([], ["--predecessor"]):
        url = "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100"
        assert command("migrate", "--from", url, *extra) == UNAVAILABLE
    assert not (tmp_path / "absent.db").exists()


@pytest.fixture
def predecessor(server: MongodbProcess) -> Iterator[str]:
    """A database as ChatBot AI 1.7 left it; yields its URL."""
    name = f"old_{uuid4().hex}"
    with MongoClient[dict[str, object]](server.url) as client:
        database = client[name]
        database["office_log_홍길동"].insert_many(
            [
                {
                    "_id": ObjectId("665000000000000000000001"),
                    "id": "c3f1a8e2-0000-4000-8000-000000000001",
                    "value": [
                        {"index": n, "input_data": f"질문 {n}", "output_data": f"답 {n}"}
                        for n in (2, 1, 10)
                    ],
                },
                {"id": "empty", "value": []},
            ]
        )
        database["character_log_user_1"].insert_one(
            {"id": "d1", "value": [{"index": 1, "input_data": "안녕", "output_data": "반가워"}]}
        )
        database["unrelated"].insert_one({"id": "d1", "value": [1]})
        yield server.url.replace("/?", f"/{name}?")
        client.drop_database(name)


def test_the_predecessors_history_is_migrated(
    command: CommandRunner, sqlite: str, predecessor: str
) -> None:
    """Its turns become ours: per user and service, from index 0, in their order, once."""
    arguments = ("migrate", "--from", predecessor, "--predecessor")
    assert command(*arguments) == 0
    assert content_at(sqlite) == {}
    for _ in range(2):
        assert command(*arguments, "--apply") == 0
        found = content_at(sqlite)
        office = ConversationKey("office", "홍길동", "c3f1a8e2-0000-4000-8000-000000000001")
        assert set(found) == {office, ConversationKey("character", "user_1", "d1")}
        turns = found[office][1]
        assert [(t.index, t.input, t.output) for t in turns] == [
            (0, "질문 1", "답 1"),
            (1, "질문 2", "답 2"),
            (2, "질문 10", "답 10"),
        ]
        assert {turn.created_at for turn in turns} == {float(0x66500000)}


def test_what_is_no_turn_is_counted_and_fails(
    command: CommandRunner, sqlite: str, predecessor: str, server: MongodbProcess
) -> None:
    """Damaged entries and names do not stop the others, but the exit code tells of them."""
    with MongoClient[dict[str, object]](server.url) as client:
        collection = client[parse_database(predecessor)]["office_log_u"]
        collection.insert_many(
            [
                {"id": "bad id!", "value": [{"index": 1, "input_data": "a", "output_data": "b"}]},
                {"id": "d", "value": [{"index": 1, "input_data": None, "output_data": "b"}, 7]},
                {"id": "d2", "value": "text"},
                {"id": "good", "value": [{"index": 1, "input_data": "a", "output_data": "b"}]},
            ]
        )
    arguments = ("migrate", "--from", predecessor, "--predecessor", "--apply")
    assert command(*arguments, "--lang", "en") == DISAGREES
    assert len(content_at(sqlite)) == 3
    assert "The source holds 3 conversations with 5 turns." in command.said
    named = [line.strip() for line in command.said.splitlines() if "skipped:" in line]
    assert len(named) == 3
    assert named[0].startswith("skipped: office/u/bad id! [_id ")
    assert named[1].startswith("skipped: office/u/d [_id ")
    assert named[1].endswith("(2)")


def test_locations() -> None:
    """A MongoDB URL names its database; anything else but sqlite:PATH is refused."""
    assert parse_database("mongodb://u:p%40@h:1,h2/chat%20bot?x=1") == "chat bot"
    for location in ("", "sqlite:", "/tmp/x.db", "mongodb://h", "mongodb://h/?a=/b"):
        with pytest.raises(ConfigurationError):
            build_store(location)

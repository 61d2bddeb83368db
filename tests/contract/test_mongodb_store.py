"""What only the MongoDB store promises: plans, an absent server, names, credentials."""
# ruff: noqa: N802 - tests are named after the rules

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import pymongo
import pytest
from bson import errors as bson_errors
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient
from pymongo import errors as pymongo_errors
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.uri_parser import parse_uri
from structlog.testing import capture_logs

from chatbot_ai.domain.errors import ConfigurationError, StoreUnavailable
from chatbot_ai.storage import mongodb_connection, mongodb_edits, mongodb_turns
from chatbot_ai.storage.mongodb_connection import FAILURES, mongodb_url, server_error, server_name
from chatbot_ai.storage.mongodb_conversations import MongoConversationStore
from support.conversation_stores import KEY, build_turn, new_turn
from support.mongodb_process import MongodbProcess
from support.waiting import HANG_S, until

#: The driver leaves a connecting socket to the garbage collector when its client is closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collected_sockets() -> Iterator[None]:
    """Collect the driver's sockets within the test that lost them."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongodbProcess]:
    process = MongodbProcess(tmp_path_factory.mktemp("mongodb"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def database() -> str:
    return f"test_{uuid4().hex}"


@pytest.fixture
async def store(server: MongodbProcess, database: str) -> AsyncIterator[MongoConversationStore]:
    opened = MongoConversationStore(
        server.url, database, timeout_s=60, server_selection_timeout_s=5
    )
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def other(server: MongodbProcess, database: str) -> AsyncIterator[MongoConversationStore]:
    """Another process's store of the same database."""
    opened = MongoConversationStore(server.url, database, timeout_s=60)
    await opened.open()
    yield opened
    await opened.close()


async def eventually_checked(store: MongoConversationStore) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            await store.check()
        except StoreUnavailable:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
        else:
            return


async def test_S4_reads_examine_only_what_they_return(
    store: MongoConversationStore, server: MongodbProcess, database: str
) -> None:
    """The newest 5 of 200 turns are found by an index whose bounds hold 5 entries."""
    stored = [build_turn(n, f"t{n}") for n in range(200)]
    await asyncio.gather(*(store.restore(KEY, turn) for turn in stored))
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(server.url)
    turns = client[database]["turns"]
    seen = []
    for condition in ({"index": {"$gte": 195}}, {"turn_id": "t3"}, {"index": 7}):
        query = {"assistant": "office", "user_id": "test_user", "db_id": "test-uuid", **condition}
        plan = await turns.find(query).explain()
        seen.append(plan["executionStats"]["totalDocsExamined"])
    await client.close()
    assert seen == [5, 1, 1]
    assert [turn.index for turn in await store.recent_turns(KEY, 5)] == list(range(195, 200))


async def test_S2_a_wrong_hint_only_costs_time(
    store: MongoConversationStore, server: MongodbProcess, database: str
) -> None:
    """With a line that says too much, too little or nothing, reads and appends stay right."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(server.url)
    lines = client[database]["conversations"]
    expected = [(await store.append(KEY, new_turn(f"t{n}"))).turn_id for n in range(9)]
    for number, hint in enumerate((0, 3, 8, 9, 10, 25, 1000)):
        await lines.update_one({}, {"$set": {"next_index": hint}})
        recent = await store.recent_turns(KEY, 4)
        assert [turn.turn_id for turn in recent] == expected[-4:]
        expected.append(f"h{number}")
        assert (await store.append(KEY, new_turn(f"h{number}"))).index == len(expected) - 1
    await lines.delete_many({})
    assert [turn.turn_id for turn in await store.recent_turns(KEY, 4)] == expected[-4:]
    assert (await store.append(KEY, new_turn("last"))).index == len(expected)
    summary = await store.summary(KEY)
    assert summary is not None
    assert [key async for key, _ in store.scan()] == [KEY] * (len(expected) + 1)
    await client.close()


async def test_S7_the_server_may_be_away_at_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    """open succeeds without a server and says so; calls fail until it is there, then work."""
    process = MongodbProcess(tmp_path_factory.mktemp("late"))
    store = MongoConversationStore(process.url, "late", timeout_s=3, server_selection_timeout_s=0.3)
    with capture_logs() as events:
        await store.open()
    assert [event["event"] for event in events] == ["store.away_at_start"]
    with pytest.raises(StoreUnavailable):
        await store.check()
    with pytest.raises(StoreUnavailable):
        await store.append(KEY, new_turn("t"))
    process.start()
    await eventually_checked(store)
    assert (await store.append(KEY, new_turn("t"))).index == 0

    process.stop(signal.SIGKILL)
    with pytest.raises(StoreUnavailable):
        await store.recent_turns(KEY, 3)
    with pytest.raises(StoreUnavailable):
        await store.append(KEY, new_turn("u"))
    process.start()
    await eventually_checked(store)
    assert (await store.append(KEY, new_turn("u"))).index == 1
    assert [turn.turn_id for turn in await store.recent_turns(KEY, 5)] == ["t", "u"]
    await store.close()
    process.stop()


async def test_S7_a_frozen_server_is_unavailable_in_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Calls to a server that accepts but never answers end, all of them, by their time limit."""
    process = MongodbProcess(tmp_path_factory.mktemp("frozen"))
    process.start()
    store = MongoConversationStore(
        process.url, "frozen", timeout_s=0.5, server_selection_timeout_s=0.5
    )
    await store.open()
    await store.append(KEY, new_turn("t"))
    process.freeze()
    calls = [store.recent_turns(KEY, 3) for _ in range(10)]
    try:
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), HANG_S)
    finally:
        process.thaw()
    assert {type(result) for result in results} == {StoreUnavailable}
    await eventually_checked(store)
    assert len(await store.recent_turns(KEY, 3)) == 1
    await store.close()
    process.stop()


async def test_a_newer_schema_is_refused(
    server: MongodbProcess, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database with a step that this version does not know is StoreUnavailable."""

    async def nothing(_: object) -> None:
        return None

    added = mongodb_connection.Migration("9999_notes", nothing)
    with monkeypatch.context() as newer:
        newer.setattr(mongodb_connection, "MIGRATIONS", (*mongodb_connection.MIGRATIONS, added))
        for expected in range(2):
            store = MongoConversationStore(server.url, database)
            await store.open()
            assert (await store.append(KEY, new_turn(f"t{expected}"))).index == expected
            await store.close()
    store = MongoConversationStore(server.url, database)
    with capture_logs() as events:
        await store.open()
    assert [event["event"] for event in events] == ["store.away_at_start"]
    with pytest.raises(StoreUnavailable):
        await store.recent_turns(KEY, 1)
    await store.close()


@given(user=st.text(min_size=1), password=st.text(min_size=1))
def test_credentials_survive_the_url(user: str, password: str) -> None:
    """Any user and password come out of the URL as they went in, and never out of its name."""
    try:
        (user + password).encode()
    except UnicodeEncodeError:
        return
    url = mongodb_url(host="db.example", port=27018, user=user, password=password)
    parsed = parse_uri(url)
    assert (parsed["username"], parsed["password"]) == (user, password)
    assert parsed["nodelist"] == [("db.example", 27018)]
    assert parsed["options"]["authSource"] == "admin"
    assert server_name(url) == "db.example:27018"


def test_a_server_is_named_by_url_or_by_parts() -> None:
    """A URL wins over parts; IPv6 is bracketed; half a name is a ConfigurationError."""
    assert mongodb_url("mongodb://a,b:1/x", host="c", port=1) == "mongodb://a,b:1/x"
    assert mongodb_url(host="::1", port=27017) == "mongodb://[::1]:27017/"
    assert mongodb_url(host="[::1]", port=1) == "mongodb://[::1]:1/"
    for parts in ({}, {"host": "h", "user": "u"}, {"host": "h", "password": "p"}):
        with pytest.raises(ConfigurationError):
            mongodb_url(port=1, **parts)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:s3cret/@host:1/x",
        "mongodb://user:s3cret@host:port/",
        "postgres://user:s3cret@host/",
        "mongodb://user:s3cret@[host/",
    ],
)
async def test_a_bad_url_is_a_configuration_error_without_its_password(url: str) -> None:
    """What can never work fails at open; neither error nor cause tells the password."""
    with pytest.raises(ConfigurationError) as caught:
        await MongoConversationStore(url, "chatbot").open()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_no_error_or_log_tells_the_password() -> None:
    """An absent server's errors and events name the host only."""
    password = quote_plus("s3cret!")
    url = f"mongodb://admin:{password}@127.0.0.1:1/?authSource=admin"
    store = MongoConversationStore(url, "chatbot", timeout_s=0.3, server_selection_timeout_s=0.2)
    with capture_logs() as events:
        await store.open()
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    await store.close()
    assert "127.0.0.1:1" in str(caught.value)
    told = f"{caught.value} {caught.value.__cause__!r} {events}"
    assert "s3cret" not in told
    assert password not in told


def test_S7_every_driver_error_is_mapped() -> None:
    """Each error class of the driver and its encoder becomes StoreUnavailable."""
    classes = {
        value
        for module in (pymongo_errors, bson_errors)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert len(classes) > 20
    assert all(issubclass(error_class, FAILURES) for error_class in classes)
    for code in (None, 13, 18, 14031, 9001):
        error = pymongo.errors.OperationFailure("text", code)
        assert isinstance(server_error("host", error), StoreUnavailable)


async def test_a_repeated_append_mends_what_a_dead_process_left(
    store: MongoConversationStore, server: MongodbProcess, database: str
) -> None:
    """A turn stored by a process that died before the conversation's line was told is listed
    once it is appended or restored again."""
    turn = await store.append(KEY, new_turn("t"))
    expected = await store.list_conversations("office", "test_user")
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(server.url)
    for repeat in (lambda: store.append(KEY, new_turn("t")), lambda: store.restore(KEY, turn)):
        await client[database]["conversations"].update_one(
            {}, {"$set": {"next_index": 0, "updated_at": 0.0}, "$unset": {"first_index": ""}}
        )
        assert await store.list_conversations("office", "test_user") == []
        await repeat()
        assert await store.list_conversations("office", "test_user") == expected
    await client.close()


class Died(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["delete_many", "shorten", "nothing"])
async def test_S16_an_edit_that_died_half_way_is_finished_by_whoever_comes(
    store: MongoConversationStore,
    server: MongodbProcess,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """After the deciding write, the old turns behind it are gone for every reader and writer."""
    for number in range(5):
        await store.append(KEY, new_turn(f"t{number}"))

    async def die(*arguments: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        if step == "delete_many":
            patched.setattr(AsyncCollection, "delete_many", die)
        elif step == "shorten":
            patched.setattr(mongodb_turns, "shorten", die)
        else:
            patched.setattr(mongodb_edits, "_finish", die)
        with pytest.raises(Died):
            await store.replace_from(KEY, 1, new_turn("edit", 9.0))
    other = MongoConversationStore(server.url, database, timeout_s=60)
    await other.open()
    if step == "nothing":
        behind = await other.append(KEY, new_turn("behind", 10.0))
        assert behind.index == 2
    names = ["t0", "edit", *(["behind"] if step == "nothing" else [])]
    summary = await other.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.updated_at) == (len(names), 8.0 + len(names) - 1)
    assert [turn.turn_id for turn in await other.recent_turns(KEY, 9)] == names
    assert [turn.turn_id async for _, turn in store.scan()] == names
    line = await all_documents(server, database, "conversations")
    turns = await all_documents(server, database, "turns")
    assert "cut" not in line[0]
    assert not any("has_tail" in turn for turn in turns)
    await other.close()


async def test_S16_an_edit_that_died_before_it_decided_changes_nothing(
    store: MongoConversationStore, server: MongodbProcess, database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The old turns are all there, and appending goes on behind them."""
    for number in range(3):
        await store.append(KEY, new_turn(f"t{number}"))

    def die(*arguments: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(mongodb_edits, "turn_to_document", die)
        with pytest.raises(Died):
            await store.replace_from(KEY, 1, new_turn("edit"))
    assert (await store.append(KEY, new_turn("t3"))).index == 3
    assert [turn.turn_id for turn in await store.turns(KEY)] == ["t0", "t1", "t2", "t3"]
    assert "cut" not in (await all_documents(server, database, "conversations"))[0]


async def test_S12_a_turn_appended_while_its_conversation_is_deleted_can_be_found(
    store: MongoConversationStore,
    other: MongoConversationStore,
    server: MongodbProcess,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process deletes between the look at the conversation and the insertion: the turn
    is the first of a new conversation, listed and scanned as any."""
    await store.append(KEY, new_turn("t0"))
    look = mongodb_turns.find_next_index

    async def look_late(*arguments: Any) -> int:
        await other.delete_conversation(KEY)
        return await look(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(mongodb_turns, "find_next_index", look_late)
        turn = await store.append(KEY, new_turn("t1"))
    assert turn.index == 0
    assert [found async for _, found in other.scan()] == [turn]
    summary = await other.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.preview) == (1, "질문 t1")
    assert await other.delete_user(KEY.user_id) == 1
    assert await all_documents(server, database, "turns") == []


async def test_S12_nothing_is_left_when_the_turn_goes_after_its_line(
    store: MongoConversationStore,
    other: MongoConversationStore,
    server: MongodbProcess,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process deletes between the insertion and the line: neither turn nor line stays."""
    tell = mongodb_turns.update_conversation

    async def tell_late(*arguments: Any, **options: Any) -> None:
        await other.delete_conversation(KEY)
        await tell(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(mongodb_turns, "update_conversation", tell_late)
        await store.append(KEY, new_turn("t0"))
    assert await store.summary(KEY) is None
    assert await all_documents(server, database, "conversations") == []


async def test_S2_a_truncation_may_overtake_another_one(
    store: MongoConversationStore,
    server: MongodbProcess,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process removes the last turn while the line is told about it: the line says so."""
    for number in range(5):
        await store.append(KEY, new_turn(f"t{number}"))
    look = mongodb_turns.find_next_index
    left = [2, 1, 0]

    async def overtaken(*arguments: Any) -> int:
        index = await look(*arguments)
        if left:
            turns = (await store.recent_turns(KEY, 9))[left.pop(0) :]
            await remove_turns(server, database, [turn.turn_id for turn in turns])
        return index

    with monkeypatch.context() as patched:
        patched.setattr(mongodb_turns, "find_next_index", overtaken)
        await store.truncate(KEY, 4)
    assert await store.recent_turns(KEY, 9) == []
    (line,) = await all_documents(server, database, "conversations")
    assert line["next_index"] == 0
    assert (await store.append(KEY, new_turn("again"))).index == 0


async def make_old(server: MongodbProcess, database: str) -> None:
    """Take from a database what version 0003 added."""

    def change() -> None:
        with MongoClient[dict[str, Any]](server.url) as client:
            client[database]["usage"].delete_many({})
            client[database]["turns"].update_many({}, {"$unset": {"bytes": ""}})
            named = {"$pull": {"names": "0003_bytes_of_each_user"}}
            client[database]["schema"].update_one({"_id": "migrations"}, named)
            client[database]["schema"].delete_one({"_id": "bytes_of_old_turns"})

    await asyncio.to_thread(change)


async def test_S17_turns_of_an_earlier_version_are_counted(
    store: MongoConversationStore, server: MongodbProcess, database: str
) -> None:
    """What was stored before there was a count is in it, from the next opening on."""
    for number in range(3):
        await store.append(KEY, new_turn(f"t{number}", sent="가나"))
    count = await store.count_bytes(KEY.user_id)

    await make_old(server, database)
    again = MongoConversationStore(server.url, database, timeout_s=60)
    await again.open()
    assert await again.count_bytes(KEY.user_id) == count > 3 * 512
    await again.append(KEY, new_turn("t3", sent="가나"))
    assert await again.count_bytes(KEY.user_id) == count // 3 * 4
    await again.close()


async def test_S17_a_large_database_is_served_while_it_is_counted(
    store: MongoConversationStore,
    server: MongodbProcess,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turn by turn here, from where an earlier process was stopped; each is read once."""
    for number in range(4):
        await store.append(KEY, new_turn(f"t{number}"))
    count = await store.count_bytes(KEY.user_id)
    await make_old(server, database)
    monkeypatch.setattr(mongodb_connection, "_COUNTED", 1)
    monkeypatch.setattr(mongodb_connection, "_COUNT_WAIT_S", 0.05)
    count_next, let, steps = mongodb_connection.count_old_turns, asyncio.Semaphore(2), []

    async def counted(database: mongodb_connection.Database) -> bool:
        await let.acquire()
        steps.append(1)
        return await count_next(database)

    monkeypatch.setattr(mongodb_connection, "count_old_turns", counted)
    first = MongoConversationStore(server.url, database, timeout_s=60)
    await first.open()
    await until(lambda: len(steps) == 2 and let.locked())
    await first.append(KEY, new_turn("t4"))
    assert await first.count_bytes(KEY.user_id) < count
    await first.close()
    second = MongoConversationStore(server.url, database, timeout_s=60)
    await second.open()
    for _ in range(9):
        let.release()
    while await second.count_bytes(KEY.user_id) != count // 4 * 5:  # noqa: ASYNC110 - a server's
        await asyncio.sleep(0.01)
    await second.close()
    assert len(steps) <= 7


async def test_S17_first_changes_at_once_are_all_counted(
    store: MongoConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a server that refuses an upsert which met another one."""
    update = AsyncCollection.update_one
    refused: list[Any] = []

    async def refuse(self: Any, query: Any, *rest: Any, **options: Any) -> Any:
        if self.name == "usage" and options.get("upsert") and len(refused) < 3:
            refused.append(query)
            raise pymongo_errors.DuplicateKeyError("E11000", 11000)
        return await update(self, query, *rest, **options)

    monkeypatch.setattr(AsyncCollection, "update_one", refuse)
    await store.append(KEY, new_turn("t"))
    assert len(refused) == 3
    assert await store.count_bytes(KEY.user_id) > 512


async def test_S17_a_users_last_turn_takes_the_line_of_its_count_along(
    store: MongoConversationStore, server: MongodbProcess, database: str
) -> None:
    """Nothing of a deleted user stays, not the name either."""
    await store.append(KEY, new_turn("t"))
    await store.delete_user(KEY.user_id)
    assert await all_documents(server, database, "usage") == []


async def remove_turns(server: MongodbProcess, database: str, turn_ids: list[str]) -> None:
    def remove() -> None:
        with MongoClient[dict[str, Any]](server.url) as client:
            client[database]["turns"].delete_many({"turn_id": {"$in": turn_ids}})

    await asyncio.to_thread(remove)


async def all_documents(server: MongodbProcess, database: str, name: str) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        with MongoClient[dict[str, Any]](server.url) as client:
            return list(client[database][name].find())

    return await asyncio.to_thread(read)

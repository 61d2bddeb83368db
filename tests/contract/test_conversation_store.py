"""The rules S1 to S17 of ConversationStore, on every store, with nothing replaced."""
# ruff: noqa: N802 - tests are named after the rules

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot_ai.domain.conversation import ConversationKey, NewTurn, Turn, TurnAnswer
from chatbot_ai.domain.errors import InvalidRequest, NotFound, StoreUnavailable
from chatbot_ai.domain.grounding import Source
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage import mongodb_usage
from chatbot_ai.storage.records import answer_to_dict, count_turn_bytes
from support.conversation_stores import KEY, Address, build_turn, new_turn
from support.mongodb_process import MongodbProcess

OTHER_KEYS = [
    ConversationKey("character", "test_user", "test-uuid"),
    ConversationKey("office", "test_user2", "test-uuid"),
    ConversationKey("office", "Test_user", "test-uuid"),
    ConversationKey("office", "test_user", "test-uuid2"),
    ConversationKey("office", "test_user\0", "test-uuid"),
    ConversationKey("office", "test_user ", "test-uuid"),
]


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongodbProcess]:
    server = MongodbProcess(tmp_path_factory.mktemp("mongodb"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "mongodb", "outbox"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param == "mongodb":
        server: MongodbProcess = request.getfixturevalue("mongodb")
        return Address("mongodb", server.url, f"test_{uuid4().hex}")
    return Address(request.param, str(tmp_path / "folder" / "conversations.db"))


@pytest.fixture
async def store(address: Address) -> AsyncIterator[ConversationStore]:
    opened = address.store()
    await opened.open()
    yield opened
    await opened.close()


async def fill(store: ConversationStore, key: ConversationKey, count: int) -> list[Turn]:
    return [await store.append(key, new_turn(f"t{i}", created_at=float(i))) for i in range(count)]


async def all_turns(store: ConversationStore, key: ConversationKey = KEY) -> list[Turn]:
    return await store.turns(key, limit=100_000)


async def test_S1_every_reported_turn_survives_kill_9(address: Address) -> None:
    """Of a process killed while appending, each reported turn is stored once, in order."""
    child = address.start_appender("killed", count=1_000_000)
    assert child.stdout is not None
    reported = [child.stdout.readline().strip() for _ in range(25)]
    child.send_signal(signal.SIGKILL)
    reported += child.stdout.read().split()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL

    store = address.store()
    await store.open()
    stored = await all_turns(store)
    await store.append(KEY, new_turn("after"))
    after = await all_turns(store)
    await store.close()
    ids = [turn.turn_id for turn in stored]
    assert ids[: len(reported)] == reported
    assert len(ids) <= len(reported) + 1
    assert [turn.index for turn in after] == list(range(len(ids) + 1))


async def test_S1_turns_are_there_after_closing_and_opening(address: Address) -> None:
    """A store opened anew returns what its predecessor stored."""
    for expected in range(3):
        store = address.store()
        await store.open()
        assert len(await all_turns(store)) == expected
        await store.append(KEY, new_turn(f"t{expected}"))
        await store.close()


async def test_S2_indices_count_from_zero(store: ConversationStore) -> None:
    """The n-th turn of a conversation has index n, whatever other conversations do."""
    for index in range(3):
        for key in (KEY, *OTHER_KEYS):
            assert (await store.append(key, new_turn(f"t{index}"))).index == index


async def test_S2_processes_appending_at_once_leave_no_gap(address: Address) -> None:
    """Four processes that create and fill one conversation together share 0 to n-1."""
    children = [address.start_appender(f"p{n}", count=10, tasks=2) for n in range(4)]
    reported = [(await asyncio.to_thread(child.communicate))[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * 4
    store = address.store()
    await store.open()
    turns = await all_turns(store)
    await store.close()
    assert [turn.index for turn in turns] == list(range(80))
    assert {turn.turn_id for turn in turns} == {name for names in reported for name in names}
    for names in reported:
        places = {turn.turn_id: turn.index for turn in turns}
        for task in (0, 1):
            own = [places[name] for name in names if f"-{task}-" in name]
            assert own == sorted(own)


async def test_S2_no_gap_when_truncated_meanwhile(store: ConversationStore) -> None:
    """Appends racing with truncations leave a conversation that counts from 0 without gaps."""
    await fill(store, KEY, 5)

    async def append(task: int) -> None:
        for number in range(12):
            await store.append(KEY, new_turn(f"r{task}-{number}"))

    async def truncate() -> None:
        for _ in range(8):
            await store.truncate(KEY, random.randint(0, 4))
            await asyncio.sleep(0.002)

    await asyncio.gather(append(0), append(1), truncate())
    turns = await all_turns(store)
    assert [turn.index for turn in turns] == list(range(len(turns)))
    newest = await store.append(KEY, new_turn("last"))
    assert newest.index == len(turns)
    assert (await store.recent_turns(KEY, 1))[0] == newest


async def test_S2_a_cancelled_caller_leaves_the_store_in_order(address: Address) -> None:
    """Calls cancelled at any moment happened whole or not at all, and later calls work."""
    store = address.store()
    await store.open()
    chance = random.Random(7)
    for number in range(60):
        call = asyncio.create_task(store.append(KEY, new_turn(f"c{number}")))
        await asyncio.sleep(chance.random() * 0.003)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    last = await store.append(KEY, new_turn("last"))
    await store.close()
    store = address.store()
    await store.open()
    turns = await all_turns(store)
    await store.close()
    assert turns[last.index] == last
    assert [turn.index for turn in turns] == list(range(len(turns)))
    assert len({turn.turn_id for turn in turns}) == len(turns)


async def test_S3_the_same_turn_id_is_stored_once(store: ConversationStore) -> None:
    """A repeated append returns the stored turn, not the repeated one, and changes nothing."""
    await store.append(KEY, new_turn("before"))
    first = await store.append(KEY, new_turn("same", text="first"))
    await store.append(KEY, new_turn("behind"))
    again = await store.append(KEY, new_turn("same", text="second", created_at=99.0))
    assert again == first
    assert again.output == "first"
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.updated_at) == (3, 1.0)


async def test_S3_the_same_turn_id_at_once_is_stored_once(store: ConversationStore) -> None:
    """Eight simultaneous appends of one turn_id all return the one stored turn."""
    turns = await asyncio.gather(*(store.append(KEY, new_turn("same")) for _ in range(8)))
    assert set(turns) == {turns[0]}
    assert await all_turns(store) == [turns[0]]


async def test_S3_another_conversation_may_use_the_same_turn_id(store: ConversationStore) -> None:
    """turn_id is unique within its conversation only."""
    for key in (KEY, *OTHER_KEYS):
        assert (await store.append(key, new_turn("same"))).index == 0


@pytest.mark.parametrize("limit", [-1, 0, 1, 3, 8, 9, 2**31])
async def test_S4_recent_turns_are_the_newest_oldest_first(
    store: ConversationStore, limit: int
) -> None:
    """recent_turns returns the last `limit` turns in the order of append."""
    stored = await fill(store, KEY, 8)
    assert await store.recent_turns(KEY, limit) == (stored[-limit:] if limit > 0 else [])


async def test_S4_turns_returns_a_page_from_an_index_on(store: ConversationStore) -> None:
    """turns pages through a conversation, oldest first."""
    stored = await fill(store, KEY, 7)
    assert await store.turns(KEY, first=2, limit=3) == stored[2:5]
    assert await store.turns(KEY, first=5) == stored[5:]
    assert await store.turns(KEY, first=7) == []
    assert await store.turns(KEY, limit=0) == []


async def test_S5_conversations_are_apart(store: ConversationStore) -> None:
    """Keys that differ in one part, in case, in a space or in a NUL do not share turns."""
    for number, key in enumerate((KEY, *OTHER_KEYS)):
        await store.append(key, new_turn("t", text=f"answer {number}"))
    await store.truncate(OTHER_KEYS[0], 0)
    await store.delete_conversation(OTHER_KEYS[1])
    assert [turn.output for turn in await store.recent_turns(KEY, 9)] == ["answer 0"]
    assert await store.recent_turns(OTHER_KEYS[0], 9) == []
    assert await store.recent_turns(OTHER_KEYS[1], 9) == []
    for number, key in enumerate(OTHER_KEYS[2:], start=3):
        assert [turn.output for turn in await all_turns(store, key)] == [f"answer {number}"]


async def test_S5_canonically_equal_names_are_two_users(store: ConversationStore) -> None:
    """Composed and decomposed Hangul name different users: nothing is normalised."""
    composed = ConversationKey("office", "\uac00", "d")
    decomposed = ConversationKey("office", "\u1100\u1161", "d")
    await store.append(composed, new_turn("t"))
    assert await store.recent_turns(decomposed, 5) == []


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    user_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    turn=st.builds(
        NewTurn,
        turn_id=st.uuids().map(str),
        input=text,
        answer=st.builds(
            TurnAnswer,
            text=text,
            model=text,
            created_at=st.floats(0, 2**40),
            status=st.sampled_from(["complete", "interrupted"]),
            finish_reason=st.sampled_from(["stop", "length", None]),
            sources=st.lists(st.builds(Source, st.integers(1, 99), text, text), max_size=3).map(
                tuple
            ),
        ),
        sent=st.none() | text,
        window_start=st.integers(0, 2**31),
    ),
)
async def test_S6_any_text_comes_back(
    store: ConversationStore, user_id: str, turn: NewTurn
) -> None:
    """Every field of a turn is read as it was written."""
    key = ConversationKey("character", user_id, str(uuid4()))
    stored = await store.append(key, turn)
    assert await store.find_turn(key, turn.turn_id) == stored
    assert (await store.recent_turns(key, 1))[0] == stored
    assert [found_key async for found_key, _ in store.scan(user_id=user_id)].count(key) == 1
    assert (stored.input, stored.answers, stored.selected) == (turn.input, (turn.answer,), 0)
    names = ("turn_id", "sent", "window_start")
    assert all(getattr(stored, name) == getattr(turn, name) for name in names)


async def test_S6_half_a_character_does_not_lose_the_turn(store: ConversationStore) -> None:
    """Surrogate pairs are joined and lone surrogates replaced; in a name they are refused."""
    turn = await store.append(KEY, new_turn("t", text="a\ud83d\ude00b\ud800c"))
    assert (await store.find_turn(KEY, "t")) == turn
    assert turn.output == "a😀b\ufffdc"
    with pytest.raises(InvalidRequest):
        await store.append(ConversationKey("office", "\ud800", "d"), new_turn("t"))


CALLS: dict[str, Callable[[ConversationStore], Awaitable[object]]] = {
    "check": lambda s: s.check(),
    "append": lambda s: s.append(KEY, new_turn("t")),
    "recent_turns": lambda s: s.recent_turns(KEY, 3),
    "turns": lambda s: s.turns(KEY),
    "find_turn": lambda s: s.find_turn(KEY, "t"),
    "replace_from": lambda s: s.replace_from(KEY, 0, new_turn("t")),
    "add_answer": lambda s: s.add_answer(KEY, build_turn(0, "t"), OTHER),
    "replace_answer": lambda s: s.replace_answer(KEY, build_turn(0, "t"), OTHER),
    "select_output": lambda s: s.select_output(KEY, 0, 0),
    "truncate": lambda s: s.truncate(KEY, 0),
    "set_title": lambda s: s.set_title(KEY, "title"),
    "summary": lambda s: s.summary(KEY),
    "list_conversations": lambda s: s.list_conversations("office", "test_user"),
    "delete_conversation": lambda s: s.delete_conversation(KEY),
    "delete_user": lambda s: s.delete_user("test_user"),
    "scan": lambda s: anext(s.scan()),
    "restore": lambda s: s.restore(KEY, build_turn(0, "t")),
}


@pytest.mark.parametrize("name", CALLS)
async def test_S7_a_closed_store_is_unavailable(address: Address, name: str) -> None:
    """Every call on a store that is not open raises StoreUnavailable."""
    store = address.store()
    with pytest.raises(StoreUnavailable):
        await CALLS[name](store)
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await CALLS[name](store)


async def test_S8_check_leaves_no_trace_in_conversations(store: ConversationStore) -> None:
    """check succeeds on a good store, repeatedly, and stores no turn."""
    await store.check()
    await store.check()
    assert [item async for item in store.scan()] == []


OTHER: TurnAnswer = TurnAnswer(
    "둘째",
    "other",
    9.0,
    "interrupted",
    sources=(Source(1, "쪽", "https://a.b/"),),
    claim_ids=("k:0:2",),
)


async def test_S9_alternatives_are_added_and_selected(store: ConversationStore) -> None:
    """An added answer is selected; each keeps its own model, status, end, sources and time."""
    turn = (await fill(store, KEY, 2))[1]
    added = await store.add_answer(KEY, turn, OTHER)
    assert (added.answers, added.selected) == ((*turn.answers, OTHER), 1)
    first = await store.select_output(KEY, 1, 0)
    assert (first.answer, first.answers) == (turn.answer, added.answers)
    chosen = await store.select_output(KEY, 1, 1)
    whole = replace(OTHER, text="둘째, 계속", status="complete", finish_reason="length")
    continued = await store.replace_answer(KEY, chosen, whole)
    assert (continued.answers, continued.selected) == ((turn.answer, whole), 1)
    assert (await store.recent_turns(KEY, 1))[0] == continued
    assert await store.find_turn(KEY, turn.turn_id) == continued
    assert [found async for _, found in store.scan()][1] == continued


async def test_S9_the_same_answer_is_there_once(store: ConversationStore) -> None:
    """Adding or replacing once more, as after a lost reply, changes nothing but the selection."""
    (turn,) = await fill(store, KEY, 1)
    added = await store.add_answer(KEY, turn, OTHER)
    await store.select_output(KEY, 0, 0)
    assert await store.add_answer(KEY, turn, OTHER) == added
    whole = replace(OTHER, text="둘째, 계속")
    replaced = await store.replace_answer(KEY, added, whole)
    assert await store.replace_answer(KEY, added, whole) == replaced
    assert await all_turns(store) == [replaced]


async def test_S9_answers_added_at_once_are_all_kept(store: ConversationStore) -> None:
    """Five simultaneous regenerations of a turn leave six answers."""
    (first,) = await fill(store, KEY, 1)
    calls = (store.add_answer(KEY, first, replace(OTHER, text=f"a{n}")) for n in range(5))
    turns = await asyncio.gather(*calls)
    assert sorted(turn.selected for turn in turns) == [1, 2, 3, 4, 5]
    (turn,) = await all_turns(store)
    assert {answer.text for answer in turn.answers} == {"답 t0", "a0", "a1", "a2", "a3", "a4"}


async def test_S9_refuses_what_is_not_there(store: ConversationStore) -> None:
    """A missing turn, or another one in its place, is NotFound; a choice, status or end outside
    the valid ones InvalidRequest."""
    (turn,) = await fill(store, KEY, 1)
    for index in (-1, 1):
        with pytest.raises(NotFound):
            await store.select_output(KEY, index, 0)
    for gone in (replace(turn, index=1), replace(turn, turn_id="another")):
        with pytest.raises(NotFound):
            await store.add_answer(KEY, gone, OTHER)
        with pytest.raises(NotFound):
            await store.replace_answer(KEY, gone, OTHER)
    for selected in (-1, 1):
        with pytest.raises(InvalidRequest):
            await store.select_output(KEY, 0, selected)
    for bad in (replace(OTHER, status="half"), replace(OTHER, finish_reason="tired")):  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest):
            await store.add_answer(KEY, turn, bad)
        with pytest.raises(InvalidRequest):
            await store.replace_answer(KEY, turn, bad)
    assert await all_turns(store) == [turn]


async def test_S10_truncate_removes_the_tail(store: ConversationStore) -> None:
    """truncate returns how many turns went; the next append takes the first free index."""
    stored = await fill(store, KEY, 6)
    assert await store.truncate(KEY, 4) == 2
    assert await store.truncate(KEY, 4) == 0
    assert await all_turns(store) == stored[:4]
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.updated_at) == (4, 3.0)
    assert (await store.append(KEY, new_turn("t5"))).index == 4


async def test_S10_truncating_everything_keeps_the_title(store: ConversationStore) -> None:
    """An emptied conversation is not listed; with a new first turn it has its name again."""
    await fill(store, KEY, 2)
    await store.set_title(KEY, "제목")
    assert await store.truncate(KEY, 0) == 2
    assert await store.truncate(OTHER_KEYS[0], 0) == 0
    assert await store.summary(KEY) is None
    assert await store.list_conversations("office", "test_user") == []
    await store.append(KEY, new_turn("new", input="새 질문"))
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.title, summary.preview, summary.turns) == ("제목", "새 질문", 1)


async def test_S11_conversations_are_listed_newest_first(store: ConversationStore) -> None:
    """The list belongs to one user of one assistant and is paged by time."""
    keys = [ConversationKey("office", "lister", f"d{n}") for n in range(5)]
    for number, key in enumerate(keys):
        await store.append(key, new_turn("t", created_at=10.0 + number, input="가" * 100))
    await store.append(keys[1], new_turn("u", created_at=20.0))
    for key in OTHER_KEYS:
        await store.append(key, new_turn("t", created_at=30.0))
    await store.set_title(keys[2], "이름")

    listed = await store.list_conversations("office", "lister")
    assert [item.key.db_id for item in listed] == ["d1", "d4", "d3", "d2", "d0"]
    assert [(item.turns, item.updated_at) for item in listed[:2]] == [(2, 20.0), (1, 14.0)]
    assert [item.title for item in listed] == [None, None, None, "이름", None]
    assert {item.preview for item in listed} == {"가" * 80}
    first = await store.list_conversations("office", "lister", limit=2)
    rest = await store.list_conversations("office", "lister", before=first[-1].updated_at)
    assert first + rest == listed
    assert await store.list_conversations("office", "lister", limit=0) == []
    assert await store.list_conversations("character", "lister") == []
    assert await store.summary(keys[1]) == listed[0]


async def test_S11_a_title_can_be_set_and_taken_away(store: ConversationStore) -> None:
    """set_title names a conversation that has turns, and only such a one."""
    await fill(store, KEY, 1)
    for title in ("하나", "둘", None):
        await store.set_title(KEY, title)
        summary = await store.summary(KEY)
        assert summary is not None
        assert summary.title == title
    with pytest.raises(NotFound):
        await store.set_title(OTHER_KEYS[0], "title")
    assert await store.summary(OTHER_KEYS[0]) is None


async def test_S12_deleting_removes_turns_and_title(store: ConversationStore) -> None:
    """A deleted conversation starts anew; deleting it again removes nothing."""
    await fill(store, KEY, 3)
    await store.set_title(KEY, "제목")
    assert await store.delete_conversation(KEY) == 3
    assert await store.delete_conversation(KEY) == 0
    assert await store.find_turn(KEY, "t0") is None
    assert (await store.append(KEY, new_turn("t0"))).index == 0
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.title, summary.turns) == (None, 1)


async def test_S12_deleting_a_user_removes_only_that_user(store: ConversationStore) -> None:
    """delete_user works on one assistant or on both, and leaves everybody else alone."""
    mine = [
        ConversationKey("office", "gone", "a"),
        ConversationKey("office", "gone", "b"),
        ConversationKey("character", "gone", "a"),
    ]
    for key in (*mine, *OTHER_KEYS):
        await fill(store, key, 2)
    assert await store.delete_user("gone", "character") == 2
    assert await store.delete_user("gone") == 4
    assert await store.delete_user("gone") == 0
    assert await store.list_conversations("office", "gone") == []
    left = [key async for key, _ in store.scan()]
    assert sorted(map(str, left)) == sorted(str(key) for key in OTHER_KEYS for _ in range(2))


async def test_S13_scan_yields_every_turn_by_conversation(store: ConversationStore) -> None:
    """scan goes conversation by conversation, each in order, also beyond one page."""
    long = ConversationKey("office", "middle", "long")
    turns = [build_turn(n, f"t{n}", created_at=float(n)) for n in range(260)]
    await asyncio.gather(*(store.restore(long, turn) for turn in turns))
    keys = [
        ConversationKey("character" if number % 2 else "office", f"u{number % 7}", f"d{number}")
        for number in range(40)
    ]
    filled = await asyncio.gather(*(fill(store, key, 1 + n % 3) for n, key in enumerate(keys)))
    expected = {long: turns} | dict(zip(keys, filled, strict=True))
    scanned: dict[ConversationKey, list[Turn]] = {}
    previous = None
    async for key, turn in store.scan():
        assert key == previous or key not in scanned
        scanned.setdefault(key, []).append(turn)
        previous = key
    assert scanned == expected
    chosen = [key async for key, _ in store.scan("character", "u3")]
    assert set(chosen) == {k for k in expected if (k.assistant, k.user_id) == ("character", "u3")}
    assert {key async for key, _ in store.scan("office")} == {
        key for key in expected if key.assistant == "office"
    }
    assert {key async for key, _ in store.scan(user_id="middle")} == {long}


async def test_S14_find_turn_finds_by_id(store: ConversationStore) -> None:
    """find_turn returns exactly the turn of that id in that conversation."""
    stored = await fill(store, KEY, 3)
    assert await store.find_turn(KEY, "t1") == stored[1]
    assert await store.find_turn(KEY, "t9") is None
    assert await store.find_turn(OTHER_KEYS[0], "t1") is None


async def test_S15_restore_keeps_indices_in_any_order(store: ConversationStore) -> None:
    """Turns restored backwards, twice, form the same conversation once."""
    turns = [
        build_turn(
            n,
            f"t{n}",
            f"i{n}",
            (f"a{n}", f"b{n}"),
            selected=n % 2,
            created_at=float(n),
            sent="s",
            window_start=n,
            status="interrupted",
        )
        for n in range(6)
    ]
    assert [await store.restore(KEY, turn) for turn in reversed(turns)] == [True] * 6
    changed = [replace(turn, input="changed") for turn in turns]
    assert [await store.restore(KEY, turn) for turn in changed] == [False] * 6
    assert await all_turns(store) == turns
    assert await store.recent_turns(KEY, 2) == turns[-2:]
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.preview, summary.updated_at) == (6, "i0", 5.0)
    assert (await store.append(KEY, new_turn("new"))).index == 6


async def test_S15_restore_does_not_overwrite_another_turn(store: ConversationStore) -> None:
    """An index or turn_id that is taken stays with the turn that has it."""
    stored = await fill(store, KEY, 2)
    same_index = build_turn(1, "other")
    same_id = build_turn(7, "t0")
    assert await store.restore(KEY, same_index) is False
    assert await store.restore(KEY, same_id) is False
    assert await all_turns(store) == stored
    summary = await store.summary(KEY)
    assert summary is not None
    assert summary.turns == 2


async def test_S16_a_turn_takes_the_place_of_the_rest(store: ConversationStore) -> None:
    """The conversation ends with the new turn; title and list follow, and it goes on from there."""
    stored = await fill(store, KEY, 5)
    await store.set_title(KEY, "제목")
    placed = await store.replace_from(KEY, 2, new_turn("edit", 9.0))
    assert placed == build_turn(2, "edit", "질문 edit", ("답 edit",), created_at=9.0)
    assert await all_turns(store) == [*stored[:2], placed]
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.updated_at, summary.title) == (3, 9.0, "제목")
    assert (await store.append(KEY, new_turn("behind"))).index == 3
    whole = await store.replace_from(KEY, 0, new_turn("from the start", input="다시"))
    assert await all_turns(store) == [whole]
    assert await store.recent_turns(KEY, 5) == [whole]
    summary = await store.summary(KEY)
    assert summary is not None
    assert (summary.turns, summary.preview) == (1, "다시")


async def test_S16_once_more_changes_nothing(store: ConversationStore) -> None:
    """Repeated after a lost reply it removes nothing of what came behind, answers included."""
    await fill(store, KEY, 3)
    placed = await store.replace_from(KEY, 1, new_turn("edit"))
    again = await store.add_answer(KEY, placed, OTHER)
    behind = await store.append(KEY, new_turn("behind"))
    assert await store.replace_from(KEY, 1, new_turn("edit")) == again
    assert await store.replace_from(KEY, 0, new_turn("edit")) == again
    assert (await all_turns(store))[1:] == [again, behind]


async def test_S16_the_same_turn_id_answered_anew(store: ConversationStore) -> None:
    """An interrupted answer, given again under the same turn_id, gives way to the whole one."""
    await fill(store, KEY, 2)
    await store.append(KEY, new_turn("once", status="interrupted"))
    whole = await store.replace_from(KEY, 2, new_turn("once", 5.0, text="ganz"))
    assert (await all_turns(store))[2:] == [whole]
    assert whole.output == "ganz"


async def test_S16_beyond_the_end_it_is_appended(store: ConversationStore) -> None:
    """Where its place is gone, or the conversation is, an answered turn is stored all the same."""
    placed = await store.replace_from(KEY, 3, new_turn("first"))
    assert placed.index == 0
    later = await store.replace_from(KEY, 7, new_turn("second"))
    assert later.index == 1
    assert await all_turns(store) == [placed, later]


async def count_again(store: ConversationStore, user_id: str = KEY.user_id) -> int:
    """What the user's turns take, added up."""
    return sum(
        [
            count_turn_bytes({**asdict(turn), "answers": [answer_to_dict(a) for a in turn.answers]})
            async for _, turn in store.scan(user_id=user_id)
        ]
    )


async def test_S17_every_kind_of_write_is_counted(store: ConversationStore) -> None:
    """The count is what is there after new turns, further answers, choices, edits and removals;
    of both assistants, and of no other user."""
    others = (OTHER_KEYS[0], OTHER_KEYS[1])
    for key in (KEY, *others):
        stored = await fill(store, key, 4)
    taken = await store.count_bytes(others[1].user_id)

    async def restore() -> None:
        await store.restore(KEY, build_turn(5, "t5", "x" * 1000, ("가" * 1000,), sent="y" * 5000))

    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: store.append(KEY, new_turn("t0")),
        lambda: store.append(KEY, new_turn("t4", sent="보낸 그대로\0" * 100)),
        lambda: store.add_answer(KEY, stored[1], OTHER),
        lambda: store.add_answer(KEY, stored[1], OTHER),
        lambda: store.replace_answer(KEY, stored[2], replace(OTHER, text="긴 답 " * 500)),
        lambda: store.select_output(KEY, 1, 0),
        restore,
        restore,
        lambda: store.replace_from(KEY, 3, new_turn("edit")),
        lambda: store.truncate(KEY, 2),
        lambda: store.delete_conversation(KEY),
        lambda: store.append(KEY, new_turn("anew")),
    ]
    seen = [await store.count_bytes(KEY.user_id)]
    for step in steps:
        await step()
        seen.append(await store.count_bytes(KEY.user_id))
        assert seen[-1] == await count_again(store)
    grown = [after > before for before, after in pairwise(seen)]
    assert grown == [False, True, True, False, True, False, True, *[False] * 4, True]
    assert await store.count_bytes(others[1].user_id) == taken
    await store.delete_user(KEY.user_id)
    assert await store.count_bytes(KEY.user_id) == 0
    assert await store.count_bytes("nobody") == 0


async def test_S17_writers_at_once_are_all_counted(address: Address) -> None:
    """Two processes with two tasks each, while this one appends and removes."""
    children = [address.start_appender(f"p{n}", count=10, tasks=2) for n in range(2)]
    store = address.store()
    await store.open()
    for number in range(10):
        await store.append(KEY, new_turn(f"here{number}"))
        await store.truncate(KEY, 3)
        await store.count_bytes(KEY.user_id)
    for child in children:
        await asyncio.to_thread(child.communicate)
    assert await store.count_bytes(KEY.user_id) == await count_again(store)
    await store.close()


async def test_S17_the_count_is_right_after_kill_9(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between a turn and its count leaves no wrong count behind."""
    child = address.start_appender("killed", count=1_000_000)
    assert child.stdout is not None
    for _ in range(10):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    monkeypatch.setattr(mongodb_usage, "WRITER_DEAD_S", 0.0)
    store = address.store()
    await store.open()
    assert await store.count_bytes(KEY.user_id) == await count_again(store) > 5000
    await store.close()

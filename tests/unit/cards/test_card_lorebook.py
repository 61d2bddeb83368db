"""Lorebooks: what a chat calls up, and where it goes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from chatbot_ai.cards import (
    Activation,
    CardLimits,
    Lorebook,
    LoreScene,
    LoreState,
    MacroScope,
    activate,
)
from chatbot_ai.cards.decorators import Decorators, split_decorators
from chatbot_ai.domain.conversation import Message


def entry(content: str = "text", **fields: Any) -> dict[str, Any]:
    return {"keys": ["열쇠"], "content": content, "enabled": True, "insertion_order": 1} | fields


def chat(*texts: str) -> list[Message]:
    """Turns of user and assistant, oldest first, the user speaking last."""
    roles = ("user", "assistant")
    return [
        Message(roles[(len(texts) - 1 - index) % 2], text)  # type: ignore[arg-type]
        for index, text in enumerate(texts)
    ]


def run(
    entries: list[dict[str, Any]],
    messages: list[Message],
    *,
    state: LoreState | None = None,
    budget: int | None = None,
    scene: LoreScene | None = None,
    limits: CardLimits | None = None,
    **book: Any,
) -> Activation:
    return activate(
        Lorebook.from_json({"entries": entries, **book}),
        messages,
        state=state or LoreState(),
        count=len,
        budget=budget,
        scene=scene,
        limits=limits or CardLimits(),
    )


def texts(found: Activation) -> list[str]:
    return [item.text for item in found.entries]


def test_an_entry_needs_its_keys_in_the_scanned_messages() -> None:
    """Only the newest messages count; the book says how many, an entry may differ."""
    messages = chat("열쇠", "a", "b", "c")
    assert texts(run([entry()], messages)) == ["text"]
    assert texts(run([entry()], messages, scan_depth=3)) == []
    assert texts(run([entry("@@scan_depth 4\ntext")], messages, scan_depth=1)) == ["text"]
    assert texts(run([entry()], messages, scan_depth=0)) == []
    assert texts(run([entry()], [])) == []


def test_disabled_and_empty_entries_never_appear() -> None:
    """Not even constant or forced ones."""
    hostile = [
        entry("@@activate\ntext", enabled=False, constant=True),
        entry("@@activate\n", constant=True),
        entry("  ", constant=True),
    ]
    assert texts(run(hostile, chat("열쇠"))) == []


def test_selective_entries_need_a_secondary_key_as_well() -> None:
    """A list or, as older tools wrote it, a string with commas."""
    for secondary in (["문", "창"], "문, 창"):
        book = [entry(selective=True, secondary_keys=secondary)]
        assert texts(run(book, chat("열쇠"))) == []
        assert texts(run(book, chat("열쇠와 창"))) == ["text"]
    assert texts(run([entry(selective=True, secondary_keys=[])], chat("열쇠"))) == ["text"]


@pytest.mark.parametrize(
    ("key", "text", "fields", "expected"),
    [
        ("열쇠|자물쇠", "자물쇠", {}, True),
        ("TOM", "tom", {}, True),
        ("TOM", "tom", {"case_sensitive": True}, False),
        ("/TOM/", "tom", {}, False),
        ("/TOM/i", "tom", {"case_sensitive": True}, True),
        ("/^b/m", "a\nb", {}, True),
        ("/a.b/s", "a\nb", {}, True),
        ("[가-힣]{3}", "나무꾼", {}, True),
        ("(", "(", {}, False),
        ("(?<!a)b", "b", {}, False),
        ("a" * 1000 + "?", "a" * 1001, {}, False),
        ("열쇠", "열쇠", {"selective": True, "secondary_keys": ["없음"]}, True),
    ],
)
def test_patterns_match_and_invalid_ones_do_not(
    key: str, text: str, fields: dict[str, Any], expected: bool
) -> None:
    """Bare or with slashes and flags; secondary keys are ignored."""
    found = run([entry(keys=[key], use_regex=True, **fields)], chat(text))
    assert bool(found.entries) is expected
    assert not found.is_incomplete


def test_patterns_made_to_hang_only_use_up_their_budget() -> None:
    """The scan ends, and says that it did not see everything."""
    evil = ["(a|b)*a(a|b){400}z" + "c" * n for n in range(100)]
    found = run([entry(keys=evil, use_regex=True)], chat("ab" * 20_000))
    assert found.is_incomplete
    nested = run([entry(keys=["(a+)+$"], use_regex=True)], chat("a" * 30_000 + "b"))
    assert (nested.entries, nested.is_incomplete) == ((), False)


def test_many_keys_only_use_up_their_budget() -> None:
    """Text keys have a budget of steps, too."""
    found = run(
        [entry(keys=[f"k{n}" for n in range(5000)])],
        chat("k " * 15_000),
        limits=CardLimits(scan_steps=10_000_000),
    )
    assert found.is_incomplete


def test_constant_entries_are_always_there() -> None:
    """Without a key, and also where they carry patterns."""
    book = [entry("a", constant=True, keys=[]), entry("b", constant=True, use_regex=True)]
    assert texts(run(book, chat("nothing"))) == ["a", "b"]


def test_recursion_reads_matched_contents_only_where_the_book_says_so() -> None:
    """Over several steps, each entry once, regardless of scan_depth."""
    book = [
        entry("문이 열린다", keys=["열쇠"], insertion_order=3),
        entry("용이 산다 {{hidden_key:보물}}", keys=["문"], insertion_order=2),
        entry("금 열쇠 {{// 비밀}}", keys=["보물"], insertion_order=1),
        entry("never", keys=["비밀"], insertion_order=0),
    ]
    scene = LoreScene(macros=MacroScope(char="서연", user="민수"))
    chained = run(book, chat("열쇠"), recursive_scanning=True, scene=scene)
    assert texts(chained) == ["금 열쇠 ", "용이 산다 ", "문이 열린다"]
    assert texts(run(book, chat("열쇠"), recursive_scanning=False)) == ["문이 열린다"]
    assert texts(run(book, chat("열쇠"))) == ["문이 열린다"]


def test_macros_in_keys_and_messages_are_resolved() -> None:
    """A key can be the character's name; a comment in a message is not read."""
    scene = LoreScene(macros=MacroScope(char="서연", user="민수"))
    book = [entry("{{char}}의 방", keys=["{{char}}"])]
    assert texts(run(book, chat("서연이가"), scene=scene)) == ["서연의 방"]
    assert texts(run(book, chat("{{// 서연}}"), scene=scene)) == []


def test_over_budget_the_least_important_leave_first() -> None:
    """By priority, then by insertion order; the smaller of two budgets counts."""
    book = [
        entry("aaaa", priority=1, insertion_order=30),
        entry("bbbb", priority=5, insertion_order=20),
        entry("cccc", priority=9, insertion_order=10),
    ]
    found = run(book, chat("열쇠"), token_budget=100, budget=8)
    assert texts(found) == ["cccc", "bbbb"]
    assert [item.content for item in found.dropped] == ["aaaa"]
    assert texts(run(book, chat("열쇠"), token_budget=4, budget=8)) == ["cccc"]
    assert texts(run(book, chat("열쇠"), token_budget=-1)) == []
    plain = [entry("aaaa", insertion_order=30), entry("bbbb", insertion_order=20)]
    assert texts(run(plain, chat("열쇠"), budget=4)) == ["aaaa"]
    trimmed = [entry("@@ignore_on_max_context\naaaa", priority=9), entry("bbbb", priority=1)]
    assert texts(run(trimmed, chat("열쇠"), budget=4)) == ["bbbb"]


def test_entries_come_in_insertion_order() -> None:
    """Lower numbers stand earlier; equal ones as in the book."""
    book = [entry(text, insertion_order=n) for text, n in (("c", 5), ("a", -1), ("d", 5))]
    assert texts(run(book, chat("열쇠"))) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("@@activate_only_after 2", True),
        ("@@activate_only_after 3", False),
        ("@@activate_only_every 2", True),
        ("@@activate_only_every 3", False),
        ("@@is_greeting 1", True),
        ("@@is_greeting 0", False),
        ("@@is_user_icon hat", True),
        ("@@is_user_icon cap", False),
        ("@@ignore_on_max_context", False),
        ("@@additional_keys 문, 창", True),
        ("@@additional_keys 문\n@@additional_keys 벽", False),
        ("@@exclude_keys 문", False),
        ("@@exclude_keys 벽", True),
        ("@@dont_activate", False),
        ("@@dont_activate\n@@activate", True),
        ("@@unknown\n@@@dont_activate", False),
        ("@@unknown\n@@@other 1\n@@@is_greeting x\n@@@more\n@@@again\n@@@dont_activate", False),
        ("@@is_greeting 1\n@@@dont_activate", True),
        ("@@@dont_activate", True),
        ("@@is_greeting 1\n@@is_greeting 0", True),
        ("@@activate_only_every 0\n@@@dont_activate", False),
        ("@@instruct_depth 3\n@@@dont_activate", False),
    ],
)
def test_decorators_decide_whether_an_entry_is_used(decorator: str, expected: bool) -> None:
    """With fallbacks tried in order, and the first of duplicates counting."""
    messages = chat("a", "b", "c", "d", "열쇠와 문")
    scene = LoreScene(greeting_index=1, user_icon="hat", is_context_full=True)
    found = run([entry(f"{decorator}\ntext")], messages, scene=scene)
    assert texts(found) == (["text"] if expected else [])


@pytest.mark.parametrize(
    ("decorator", "place"),
    [
        ("", ("before_char", None, "system")),
        ("@@depth 1", ("in_chat", 1, "system")),
        ("@@depth 0\n@@role assistant", ("in_chat", 0, "assistant")),
        ("@@depth -5", ("in_chat", 0, "system")),
        ("@@depth 99", ("in_chat", 3, "system")),
        ("@@reverse_depth 1", ("in_chat", 2, "system")),
        ("@@depth 2\n@@position scenario", ("scenario", None, "system")),
        ("@@position nowhere\n@@@position after_desc", ("after_desc", None, "system")),
        ("@@role user", ("before_char", None, "user")),
        ("@@role king", ("before_char", None, "system")),
    ],
)
def test_decorators_decide_where_the_text_goes(decorator: str, place: tuple[Any, ...]) -> None:
    """Depth is kept within the chat; a position wins over it."""
    found = run([entry(f"{decorator}\ntext".strip())], chat("a", "b", "열쇠")).entries[0]
    assert (found.position, found.depth, found.role) == place
    assert found.text == "text"


def test_the_books_own_position_counts_without_a_decorator() -> None:
    """After the character, as V2 has it."""
    found = run([entry(position="after_char"), entry(position="sideways")], chat("열쇠"))
    assert [item.position for item in found.entries] == ["after_char", "before_char"]


def test_a_chat_remembers_what_has_matched() -> None:
    """Some entries stay from then on, some never come again."""
    book = [
        entry("@@keep_activate_after_match\nkept"),
        entry("@@dont_activate_after_match\nonce"),
        entry("plain"),
    ]
    first = run(book, chat("열쇠"))
    assert texts(first) == ["kept", "once", "plain"]
    second = run(book, chat("nothing"), state=first.state)
    assert texts(second) == ["kept"]
    third = run(book, chat("열쇠"), state=second.state)
    assert texts(third) == ["kept", "plain"]


def test_a_used_entry_may_switch_prompts_of_the_user_off() -> None:
    """Only while it is used."""
    book = [entry("@@disable_ui_prompt system_prompt\ntext")]
    assert run(book, chat("열쇠")).disabled == {"system_prompt"}
    assert run(book, chat("x")).disabled == frozenset()


def test_text_without_decorators_is_left_alone() -> None:
    """An at sign later in the text is no decorator."""
    assert split_decorators("a\n@@depth 3") == (Decorators(), "a\n@@depth 3")
    assert split_decorators("@@depth 3\r\n\r\n text\r\n") == (Decorators(depth=3), " text")
    assert split_decorators("@@depth 3")[1] == ""
    assert split_decorators("") == (Decorators(), "")


def test_match_whole_words_of_the_extension_is_respected() -> None:
    """SillyTavern's switch per entry."""
    book = [entry(keys=["tom"], extensions={"match_whole_words": False})]
    assert texts(run(book, chat("bottom"))) == ["text"]


#: What SillyTavern's exporter writes beside every entry.
SILLYTAVERN = {"selectiveLogic": 0, "useProbability": True, "probability": 100}


def exported(*, extra: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An entry as SillyTavern exports it: `use_regex` of everything."""
    extensions = {"extensions": SILLYTAVERN | (extra or {})}
    return entry(use_regex=True, selective=True) | extensions | fields


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (exported(keys=["lamp"]), "the lamp", True),
        (exported(keys=["A.I."]), "an A.I. here", True),
        (exported(keys=["A.I."]), "an AXIX here", False),
        (exported(keys=["C++"]), "write C++ now", True),
        (exported(keys=["Who?"]), "Who? Me", True),
        (exported(keys=["/LAMP/i"]), "the lamp", True),
        (exported(keys=["{{char}}"]), "hello Mira", True),
        (exported(keys=["{{user}}"]), "Kim came", True),
        (entry(keys=["/LAMP|light/i"]), "a light", True),
        (entry(keys=["lamp"], secondary_keys=["/nig.t/"], selective=True), "lamp at night", True),
        (exported(keys=["Rose"], extra={"case_sensitive": True}), "a rose", False),
        (exported(keys=["Rose"], extra={"case_sensitive": True}), "Rose", True),
        (exported(keys=["lamp"], extra={"probability": 0}), "lamp", False),
        (exported(keys=["lamp"], extra={"probability": 0, "useProbability": False}), "lamp", True),
        (entry(constant=True, extensions={"probability": 0}), "x", False),
        ({"key": ["lamp"], "keysecondary": [], "content": "c", "disable": False}, "lamp", True),
        ({"key": ["lamp"], "content": "c", "disable": True, "constant": True}, "lamp", False),
        ({"key": ["Rose"], "content": "c", "caseSensitive": True}, "rose", False),
        ({"key": ["lamp"], "content": "c", "scanDepth": 0}, "lamp", False),
    ],
)
def test_books_of_other_applications_are_read_as_they_are_meant(
    item: dict[str, Any], text: str, expected: bool
) -> None:
    """A pattern is what is written as one; conditions beside the text count."""
    scene = LoreScene(macros=MacroScope(char="Mira", user="Kim"))
    assert bool(run([item], chat(text), scene=scene).entries) is expected


@pytest.mark.parametrize(
    ("logic", "text", "expected"),
    [
        (0, "lamp night", True), (0, "lamp", False),
        (1, "lamp night", True), (1, "lamp night sea", False), (1, "lamp", True),
        (2, "lamp", True), (2, "lamp night", False),
        (3, "lamp night sea", True), (3, "lamp night", False),
    ],
)  # fmt: skip
def test_secondary_keys_count_as_their_logic_says(logic: int, text: str, expected: bool) -> None:
    """0 any of them, 1 not all, 2 none, 3 all."""
    item = exported(keys=["lamp"], secondary_keys=["night", "sea"], extra={"selectiveLogic": logic})
    assert bool(run([item], chat(text)).entries) is expected


def test_chance_is_the_same_for_the_same_text_and_near_its_share() -> None:
    """The same prompt built twice is the same; over many texts the share is right."""
    item = exported(keys=["lamp"], extra={"probability": 30})
    results = [[bool(run([item], chat(f"lamp {n}")).entries) for n in range(500)] for _ in range(2)]
    assert results[0] == results[1]
    assert 100 < sum(results[0]) < 200


def test_a_pattern_that_the_engine_lacks_is_said() -> None:
    """Look-around is found nowhere; the reader of the card is told which key it was."""
    book = Lorebook.from_json({"entries": [entry(keys=["/(?<=a)b/", "/ok/", "(?!plain"])]})
    assert book.find_unsupported_patterns() == ("/(?<=a)b/",)


def test_many_scan_depths_hold_one_window_at_a_time() -> None:
    """400 depths over 400 long messages once took 490 MB."""
    messages = chat(*[f"m{n} " + "가나 다라 " * 20 for n in range(400)])
    entries = [entry(f"@@scan_depth {n}\nx", keys=["없는말"]) for n in range(1, 401)]
    tracemalloc.start()
    run(entries, messages)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 16 << 20

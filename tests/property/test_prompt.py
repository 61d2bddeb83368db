"""The prompt: never over its limit, in order, and with a prefix that stays."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.core.prompt import Prompt, PromptLengths, build_prompt
from chatbot_ai.domain.control_tokens import neutralize
from chatbot_ai.domain.conversation import Message, Turn, TurnAnswer
from chatbot_ai.domain.errors import ContextTooLong
from chatbot_ai.domain.generation import upper_bound
from chatbot_ai.domain.persona import Character, Persona
from support.scripted_model import ScriptedModel

Result = TypeVar("Result")
PERSONA = Persona(
    "office", "도우미", "당신은 '{{char}}'입니다.", reference="{{input}}\n[{{references}}]"
)
#: What chat templates of the models that people run here take for their own.
MARKERS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|end|>",
    "<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
    "[|endofturn|]", "[|system|]", "<｜User｜>", "<｜end▁of▁sentence｜>", "<<SYS>>", "[TOOL_CALLS]",
)  # fmt: skip
PIECES = st.sampled_from([
    *MARKERS, *(m[: len(m) // 2] for m in MARKERS), *(m[len(m) // 2 :] for m in MARKERS),
    *(m[1:] for m in MARKERS), *(m[:-1] for m in MARKERS), "<", "|", ">", "[", "/", " ", "가", "\n",
])  # fmt: skip
SMUGGLED = st.lists(PIECES, max_size=12).map("".join)
ROLES: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
TEXT = st.text(st.sampled_from("가나 ab👋"), max_size=60)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


async def count(messages: Sequence[Message]) -> int:
    """A tokeniser with one token for two bytes, so that the bound does not settle everything."""
    return sum(3 + (len(m.content.encode()) + 1) // 2 for m in messages)


def turn(index: int, text: str, output: str, prompt: Prompt | None = None) -> Turn:
    return Turn(
        index=index,
        turn_id=str(index),
        input=text,
        answers=(TurnAnswer(output, "m", 0.0),),
        selected=0,
        created_at=0.0,
        sent=prompt.sent if prompt and prompt.sent != text else None,
        window_start=prompt.window_start if prompt else 0,
    )


def built(turns: Sequence[Turn], text: str, limit: int, references: str = "") -> Prompt:
    return run(
        build_prompt(
            persona=PERSONA, character=None, turns=turns, text=text, references=references,
            limit_tokens=limit, count=count,
        )
    )  # fmt: skip


@given(st.lists(st.tuples(TEXT, TEXT), max_size=20), TEXT, st.integers(1, 600), st.integers(0, 25))
def test_within_the_limit_and_in_order(
    talk: list[tuple[str, str]], text: str, limit: int, start: int
) -> None:
    """System prompt and newest input always stay; between them the newest turns, in order."""
    turns = [turn(i, said, answered) for i, (said, answered) in enumerate(talk)]
    if turns:
        last = turns[-1]
        turns[-1] = Turn(
            last.index, "last", last.input, last.answers, 0, 0.0,
            window_start=min(start, last.index),
        )  # fmt: skip
    try:
        prompt = built(turns, text, limit)
    except ContextTooLong as error:
        bare = [Message("system", "당신은 '도우미'입니다."), Message("user", text)]
        assert run(count(bare)) == error.tokens > limit == error.limit
        return
    exact = run(count(prompt.messages))
    assert exact <= limit
    assert prompt.tokens in (None, exact)
    assert [m.role for m in prompt.messages[:1]] == ["system"]
    assert prompt.messages[-1] == Message("user", text)
    kept = turns[prompt.window_start :]
    expected = [m for t in kept for m in (("user", t.input), ("assistant", t.output))]
    assert [(m.role, m.content) for m in prompt.messages[1:-1]] == expected
    assert prompt.left_out == prompt.window_start == len(turns) - len(kept)


@given(
    st.lists(st.tuples(TEXT, TEXT, st.booleans()), min_size=30, max_size=60),
    st.integers(150, 700),
    st.sampled_from([5, 12, 200]),
)
def test_the_prefix_stays(talk: list[tuple[str, str, bool]], limit: int, looked_back: int) -> None:
    """Through a long conversation each prompt begins with the one before it and its answer; only
    now and then a block of the oldest turns is left out, at least half of what was there."""
    turns: list[Turn] = []
    last: Prompt | None = None
    last_answer = ""
    for index, (text, answer, searched) in enumerate(talk):
        prompt = built(turns[-looked_back:], text, limit, "참고" if searched else "")
        if last is not None:
            before = (*last.messages, Message("assistant", last_answer))
            if prompt.window_start == last.window_start:
                assert prompt.messages[: len(before)] == before
            else:
                assert prompt.window_start > last.window_start
                held, kept = index - last.window_start, index - prompt.window_start
                budget = limit - run(count([prompt.messages[0], prompt.messages[-1]]))
                used = run(count(prompt.messages[1:-1]))
                assert used <= budget / 2 + 1 or kept <= (min(held, looked_back) + 1) // 2
        turns.append(turn(index, text, answer, prompt))
        last, last_answer = prompt, answer


def test_blocks_are_left_out_rarely() -> None:
    """Of 400 equal turns in a window for 40, about one in twenty drops a block."""
    turns: list[Turn] = []
    starts: set[int] = set()
    for index in range(400):
        prompt = built(turns[-200:], "x" * 20, 1100)
        turns.append(turn(index, "x" * 20, "y" * 20, prompt))
        starts.add(prompt.window_start)
    assert 10 <= len(starts) <= 22


@pytest.mark.parametrize("length", [0, 3])
def test_tokens_are_not_counted_needlessly(length: int) -> None:
    """Where the cheap bound settles it, the engine is not asked."""

    async def never(_messages: Sequence[Message]) -> int:
        raise AssertionError("asked although the bound settles it")

    turns = [turn(i, "안녕", "네") for i in range(length)]
    prompt = run(
        build_prompt(
            persona=PERSONA, character=None, turns=turns, text="또", references="",
            limit_tokens=1000, count=never,
        )
    )  # fmt: skip
    assert prompt.tokens is None
    assert len(prompt.messages) == 2 * length + 2


@given(st.lists(st.tuples(SMUGGLED, SMUGGLED), max_size=2))
def test_the_bound_is_one(talk: list[tuple[str, str]]) -> None:
    """No tokeniser takes more than the bound."""
    messages = [Message("user", said) for pair in talk for said in pair]
    assert run(count(messages)) <= upper_bound(messages)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=12), st.data())
def test_a_known_beginning_keeps_the_bound_a_bound(
    talk: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Whatever lengths of beginnings are known, the bound is never below the exact count, and it is
    exact for a prompt whose length is known."""
    messages = [
        Message(role, text) for pair in talk for role, text in zip(ROLES, pair, strict=True)
    ]
    lengths = PromptLengths(ScriptedModel())
    ends = data.draw(st.lists(st.integers(0, len(talk) - 1), max_size=5))
    for end in ends:
        prefix = messages[: 2 * end + 1]
        lengths.learn(prefix, run(count(prefix)))
    assert run(count(messages)) <= lengths.bound(messages) <= upper_bound(messages)
    for end in ends:
        prefix = messages[: 2 * end + 1]
        assert lengths.bound(prefix) == run(count(prefix))


def test_lengths_of_other_texts_say_nothing() -> None:
    """Messages that only look alike when joined, or whose roles differ, are not the same prompt."""
    lengths = PromptLengths(ScriptedModel())
    lengths.learn([Message("user", "ab"), Message("user", "c")], 1)
    for other in (
        [Message("user", "a"), Message("user", "bc")],
        [Message("user", "ab"), Message("system", "c")],
        [Message("user", "abc")],
    ):
        assert lengths.bound(other) == upper_bound(other)


def test_a_server_without_counts_teaches_nothing() -> None:
    """Usage of 0 tokens is no length, and what ends with an answer is no whole prompt."""
    lengths = PromptLengths(ScriptedModel())
    asked = [Message("user", "ab")]
    lengths.learn(asked, 0)
    assert lengths.bound(asked) == upper_bound(asked)
    begun = [*asked, Message("assistant", "c")]
    lengths.learn(begun, 1)
    assert lengths.bound(begun) == upper_bound(begun)


@given(TEXT, st.integers(1, 300))
def test_a_begun_answer_counts(begun: str, limit: int) -> None:
    """An answer that goes on is the last message, and is within the limit with the rest."""
    try:
        prompt = run(
            build_prompt(
                persona=PERSONA, character=None, turns=[turn(0, "안녕", "네")], text="또",
                references="", limit_tokens=limit, count=count, begun=begun,
            )
        )  # fmt: skip
    except ContextTooLong as error:
        assert error.tokens > limit
        return
    assert run(count(prompt.messages)) <= limit
    if begun:
        assert prompt.messages[-1] == Message("assistant", begun)


def test_another_models_small_window_does_not_stay() -> None:
    """Turns that a smaller model had to leave out come back for the one that has room."""
    turns = [turn(i, "안녕", "네") for i in range(6)]
    answers = (replace(turns[-1].answer, model="small"),)
    small = replace(turns[-1], answers=answers, window_start=4)

    def start(model: str) -> int:
        return run(
            build_prompt(
                persona=PERSONA, character=None, turns=[*turns[:-1], small], text="또",
                references="", limit_tokens=10_000, count=count, model=model,
            )
        ).window_start  # fmt: skip

    assert start("small") == 4
    assert start("m") == 0


@given(SMUGGLED)
def test_defused_text_holds_no_marker(text: str) -> None:
    """However markers are cut, nested or joined, none is left; other text stays as it is."""
    safe = neutralize(text)
    assert not [marker for marker in MARKERS if marker in safe]
    assert safe.replace(" ", "") == text.replace(" ", "")
    assert neutralize(safe) == safe
    if not any(marker in text for marker in MARKERS) and not re.search(r"<[|｜]|\[\||SYS", text):
        assert safe == text


@given(SMUGGLED, SMUGGLED, SMUGGLED, SMUGGLED, SMUGGLED)
def test_nobody_smuggles_markers_into_a_prompt(
    text: str, references: str, said: str, answered: str, described: str
) -> None:
    """Neither input, references, history nor a character's text brings a marker into a message."""
    persona = Persona("character", "x", "{{char}}{{context}}{{greeting}}",
                      reference="{{input}}{{references}}")  # fmt: skip
    prompt = run(
        build_prompt(
            persona=persona, character=Character(described, said, described),
            turns=[turn(0, said, answered)], text=text, references=references,
            limit_tokens=100_000, count=count,
        )
    )  # fmt: skip
    for message in prompt.messages:
        assert not [marker for marker in MARKERS if marker in message.content]

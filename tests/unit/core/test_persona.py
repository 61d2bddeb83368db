"""What is filled into a persona, and what is not."""

from __future__ import annotations

import pytest

from chatbot_ai.core.prompt import format_user_message
from chatbot_ai.domain.persona import Character, Persona

WHO = Character("레이첼", "안녕, {{user}}! 나는 {{char}}.", "{{char}}는 {{User}}의 친구다.")


def persona(system: str, **fields: str) -> Persona:
    return Persona("character", "기본", system, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["{{char}}", "{{CHAR}}", "{{ Char }}"])
def test_placeholders_in_any_spelling(form: str) -> None:
    """Case and inner spaces do not matter, as character authors write both."""
    assert persona(form).system_prompt(WHO) == "레이첼"
    assert persona(form).system_prompt(None) == "기본"


def test_a_characters_own_placeholders_are_filled() -> None:
    """Greeting and context may name the character and the user."""
    filled = persona("{{context}} {{greeting}}", user_name="민수").system_prompt(WHO)
    assert filled == "레이첼는 민수의 친구다. 안녕, 민수! 나는 레이첼."


@pytest.mark.parametrize("inside", ["{{greeting}}", "{{context}}"])
def test_filled_text_is_not_searched_again(inside: str) -> None:
    """A caller's text cannot pull other text into the prompt, nor itself without end."""
    who = Character("{{context}}", inside, inside)
    filled = persona("{{char}}|{{greeting}}|{{context}}").system_prompt(who)
    assert filled == f"{{{{context}}}}|{inside}|{inside}"


def test_unknown_placeholders_stay() -> None:
    """Only the four names are ours."""
    assert persona("{{time}} {char} {{char").system_prompt(WHO) == "{{time}} {char} {{char"


def test_without_a_character_the_persona_speaks() -> None:
    """Its own name and greeting stand in; there is no context."""
    own = persona("{{char}}:{{greeting}}:{{context}}", greeting="어서 오세요, {{user}}님")
    assert own.system_prompt(None) == "기본:어서 오세요, 사용자님:"


def test_references_stand_beside_the_input_as_the_persona_says() -> None:
    """The template is filled once; without references the input stands alone."""
    told = persona("x", reference="[{{references}}] {{input}}")
    assert format_user_message(told, "질문 {{references}}", "자료 {{input}}") == (
        "[자료 {{input}}] 질문 {{references}}"
    )
    assert format_user_message(told, "질문", "") == "질문"

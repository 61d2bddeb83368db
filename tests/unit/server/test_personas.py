"""The persona files: what is read, and where a mistake is said to be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.persona import Character
from chatbot_ai.server.personas import read_personas

PROMPTS = Path(__file__).resolve().parents[3] / "prompt"
PERSONA: dict[str, Any] = {"name": "이름", "system": "지시", "sampling": {"temperature": 0.5}}


def file(folder: Path, text: str) -> Path:
    path = folder / "config.json"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path) -> int:
    """The line that the error names; it names the file too."""
    with pytest.raises(ConfigurationError) as caught:
        read_personas(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    match = re.search(r", line (\d+):", text)
    assert match
    return int(match.group(1))


@pytest.mark.parametrize("name", ["config-Llama.json", "config-OpenAI.json"])
def test_the_files_of_this_repository(name: str) -> None:
    """Both hold both assistants; a character's prompt carries its name, context and greeting."""
    personas = read_personas(PROMPTS / name)
    assert set(personas) == set(ASSISTANTS)
    who = Character("레이첼", "어서 와!", "빵집 주인")
    filled = personas["character"].system_prompt(who)
    assert all(text in filled for text in ("레이첼", "어서 와!", "빵집 주인"))
    office = personas["office"]
    assert office.name in office.system_prompt(None)
    for persona in personas.values():
        assert "{{" not in persona.system_prompt(who)
        assert persona.sampling.max_tokens


def test_lines_may_be_a_list(tmp_path: Path) -> None:
    """Long prompts are written a line an entry."""
    body = {"office": PERSONA | {"system": ["하나", "둘"]}, "character": PERSONA}
    personas = read_personas(file(tmp_path, json.dumps(body)))
    assert personas["office"].system == "하나\n둘"
    assert personas["character"].sampling.temperature == 0.5


def test_a_missing_file(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigurationError, match="missing"):
        read_personas(tmp_path / "missing.json")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    """A file saved in CP949, as Korean editors offer, is told to be UTF-8."""
    path = tmp_path / "config.json"
    path.write_bytes(json.dumps({"office": "가"}, ensure_ascii=False).encode("cp949"))
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_personas(path)


def test_a_slip_in_the_json(tmp_path: Path) -> None:
    """The line is the parser's."""
    assert line_of(file(tmp_path, '{\n  "office": {\n    "name": "x",,\n  }\n}')) == 3


@pytest.mark.parametrize("text", ["[]", "5", '"x"', "{}", '{"office": {}}'])
def test_a_file_without_the_assistants(tmp_path: Path, text: str) -> None:
    """The whole file is wrong from its first line."""
    assert line_of(file(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("change", "wrong_line"),
    [
        ('"temperature": "hot"', 7),
        ('"temperature": 3', 7),
        ('"top_q": 0.5', 7),
        ('"max_tokens": 0', 7),
        ('"stop": ["x", 5]', 7),
    ],
)
def test_a_wrong_value_is_found(tmp_path: Path, change: str, wrong_line: int) -> None:
    """The line of the very key, in the assistant that is wrong, not in the other one."""
    text = (
        '{\n  "character": {"name": "x", "system": "y", "sampling": {"temperature": 1}},\n'
        '  "office": {\n    "name": "x",\n    "system": "y",\n    "sampling": {\n'
        f"      {change}\n    }}\n  }}\n}}\n"
    )
    assert line_of(file(tmp_path, text)) == wrong_line


@pytest.mark.parametrize(
    ("languages", "language"),
    [
        ((), "ko"),
        (("en",), "en"),
        (("en", "en"), "en"),
        (("en", "de", "fr", "it", "pt", "hi", "es", "th"), "ko"),
        (("ko",), "ko"),
        (("en", "ko"), "ko"),
        (("zh",), "ko"),
    ],
)
def test_the_language_that_a_model_is_addressed_in(
    languages: tuple[str, ...], language: str
) -> None:
    """English where a model speaks nothing else; Korean where nothing better is known."""
    for persona in read_personas(PROMPTS / "config-Llama.json").values():
        chosen = persona.choose_for(languages)
        assert chosen.language == language
        who = Character("Rachel", "Hi!", "A baker")
        is_korean = re.search("[가-힣]", chosen.system_prompt(who) + chosen.texts.prefix_tag)
        assert bool(is_korean) == (language == "ko")
        if language == "en":
            assert chosen.sampling.max_tokens == 128
            assert "{{" not in chosen.system_prompt(who)


def test_a_persona_in_one_language_serves_every_model(tmp_path: Path) -> None:
    """A team's own file needs no English persona."""
    body = {"office": PERSONA, "character": PERSONA}
    office = read_personas(file(tmp_path, json.dumps(body)))["office"]
    assert office.choose_for(("en",)) is office


def test_a_slip_in_the_english_persona_is_found(tmp_path: Path) -> None:
    """Its line too is named."""
    english = PERSONA | {"reference": "{{input}}"}
    body = {"office": PERSONA | {"english": english}, "character": PERSONA}
    text = json.dumps(body, indent=1)
    wrong = next(n for n, line in enumerate(text.split("\n"), 1) if "reference" in line)
    assert line_of(file(tmp_path, text)) == wrong


@pytest.mark.parametrize("reference", ["{{input}}", "{{references}}", ""])
def test_a_reference_without_its_places(tmp_path: Path, reference: str) -> None:
    """Input and references both must have a place."""
    body = {"office": PERSONA | {"reference": reference}, "character": PERSONA}
    text = json.dumps(body, indent=1)
    wrong = next(n for n, line in enumerate(text.split("\n"), 1) if "reference" in line)
    assert line_of(file(tmp_path, text)) == wrong

"""Reading personas from prompt/config-*.json, with errors that name the file and the line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.generation import Sampling
from chatbot_ai.domain.persona import Persona
from chatbot_ai.domain.prompt_texts import USER_NAMES, PromptLanguage

#: The two persona files of PROMPT_DIR: for the team's own model and for OpenAI's.
LLAMA_FILE, OPENAI_FILE = "config-Llama.json", "config-OpenAI.json"


def _join(value: Any) -> Any:
    return "\n".join(value) if isinstance(value, list) else value


Lines = Annotated[str, BeforeValidator(_join)]


class _Sampling(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    stop: list[str] = []


class _Persona(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    system: Lines = Field(min_length=1)
    greeting: Lines = ""
    reference: Lines = "{{input}}\n\n{{references}}"
    user_name: str | None = Field(None, min_length=1)
    sampling: _Sampling = _Sampling()


class _PersonaInFile(_Persona):
    """`english` is the whole persona once more, for a model that speaks no Korean."""

    english: _Persona | None = None


def read_personas(path: Path) -> dict[Assistant, Persona]:
    """The personas of both assistants.

    `system` may be a list of lines. Raises ConfigurationError with file, line and what is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({type(error).__name__}); it must exist and be UTF-8"
        ) from error
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: {error.msg}") from error
    if not isinstance(body, dict):
        raise ConfigurationError(f"{path}, line 1: an object with {' and '.join(ASSISTANTS)}")
    found: dict[Assistant, Persona] = {}
    for assistant in ASSISTANTS:
        if assistant not in body:
            raise ConfigurationError(f"{path}, line 1: '{assistant}' is missing")
        found[assistant] = _persona(path, text, assistant, body[assistant])
    return found


def _persona(path: Path, text: str, assistant: Assistant, body: Any) -> Persona:
    try:
        read = _PersonaInFile.model_validate(body)
    except ValidationError as error:
        problem = error.errors()[0]
        where = [assistant, *(str(part) for part in problem["loc"])]
        line = _find_line(text, where)
        raise ConfigurationError(
            f"{path}, line {line}: {'.'.join(where)}: {problem['msg']}"
        ) from None
    for where, reference in (
        ([assistant, "reference"], read.reference),
        ([assistant, "english", "reference"], read.english.reference if read.english else None),
    ):
        for required in ("{{input}}", "{{references}}"):
            if reference is not None and required not in reference:
                line = _find_line(text, where)
                raise ConfigurationError(
                    f"{path}, line {line}: {'.'.join(where)} must contain {required}"
                )
    english = _build_persona(assistant, read.english, "en") if read.english else None
    return replace(_build_persona(assistant, read, "ko"), english=english)


def _build_persona(assistant: Assistant, read: _Persona, language: PromptLanguage) -> Persona:
    sampling = read.sampling.model_dump() | {"stop": tuple(read.sampling.stop)}
    return Persona(
        assistant=assistant,
        name=read.name,
        system=read.system,
        greeting=read.greeting,
        reference=read.reference,
        user_name=read.user_name or USER_NAMES[language],
        sampling=Sampling(**sampling),
        language=language,
    )


def _find_line(text: str, keys: list[str]) -> int:
    """The line of the innermost of nested `keys` that is in the text, counted from 1."""
    at = 0
    for key in keys:
        match = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:").search(
            text, at
        )
        if match is None:
            break
        at = match.start()
    return text.count("\n", 0, at) + 1

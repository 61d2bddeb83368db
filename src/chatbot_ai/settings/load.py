"""Reading the environment and the `.env` file, and nowhere else."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings.assistant import AssistantSettings, CharacterSettings, OfficeSettings
from chatbot_ai.settings.env_file import SECRET_ENDINGS, read_env_file
from chatbot_ai.settings.shared import Settings

#: Prefixes that are this project's alone: such a variable that is no setting is a mistake.
OWN_PREFIXES = ("CHATBOT_", "GATEWAY_")
ASSISTANT_PREFIXES = ("OFFICE_", "CHARACTER_")
#: What `chatbot-ai chat` sends; no setting of the services.
CLIENT_KEY = "CHATBOT_AI_KEY"

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration of this process: shared settings and one per assistant.

    env_file  the file that it was read from, besides the environment
    """

    shared: Settings
    office: OfficeSettings
    character: CharacterSettings
    env_file: Path | None = None

    def assistant(self, name: Assistant) -> AssistantSettings:
        return self.office if name == "office" else self.character


def list_setting_names(cls: type[BaseSettings]) -> list[str]:
    """Environment names of a settings class, without prefix."""
    return [name.upper() for name in cls.model_fields]


def load_config(env_file: Path | None = Path(".env"), **flags: Any) -> Config:
    """Read the environment and the `.env` file.

    flags override shared settings by field name. Raises ConfigurationError with one line per
    wrong setting: its name, what it is, what is allowed.
    """
    in_file = read_env_file(env_file)
    _refuse_unknown(in_file)
    written: list[Mapping[str, str]] = [dict(os.environ), in_file]
    return Config(
        shared=_read_settings(Settings, env_file, written, flags),
        office=_read_settings(OfficeSettings, env_file, written, {}),
        character=_read_settings(CharacterSettings, env_file, written, {}),
        env_file=env_file,
    )


def _read_settings(
    cls: type[AnySettings],
    env_file: Path | None,
    written: Sequence[Mapping[str, str]],
    flags: dict[str, Any],
) -> AnySettings:
    try:
        return cls(_env_file=env_file, **flags)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = _find_variable(cls, str(problem["loc"][0]).upper(), written)
            secret = name.endswith(SECRET_ENDINGS) or "@" in str(problem["input"])
            shown = "" if secret else f" (it is {problem['input']!r})"
            lines.append(f"{name}: {problem['msg']}{shown}")
        raise ConfigurationError("; ".join(lines)) from None


def _find_variable(
    cls: type[BaseSettings], setting: str, written: Sequence[Mapping[str, str]]
) -> str:
    """The variable that a value came from: `written` and prefixes in the order of precedence."""
    names = [prefix + setting for prefix in getattr(cls, "prefixes", ("",))]
    found = (name for values in written for name in names if values.get(name))
    return next(found, names[0])


def _refuse_unknown(in_file: Mapping[str, str]) -> None:
    known = known_names()
    for name in sorted({*os.environ, *in_file} - known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        ours = name.startswith(OWN_PREFIXES) or (
            # other programs use these words too (OFFICE_HOME): only what looks like a slip, and
            # whatever stands in our own file
            name.startswith(ASSISTANT_PREFIXES) and (near or name in in_file)
        )
        if ours:
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"{name}: no such setting{hint}")


def known_names() -> set[str]:
    """Environment names of all that counts in a service."""
    return {CLIENT_KEY, *list_setting_names(Settings)} | {
        prefix + name
        for prefix in (*ASSISTANT_PREFIXES, "CHATBOT_")
        for name in list_setting_names(AssistantSettings)
    }


def process_environment() -> dict[str, str]:
    """What a child process inherits that has this configuration's secrets to know."""
    return dict(os.environ)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without our secrets, and without whatever else is named like one: for
    children that need none, the engine and the gateway."""
    ours = secret_names()
    return {
        name: value
        for name, value in environment.items()
        if name not in ours and not name.upper().endswith(SECRET_ENDINGS)
    }


def secret_names() -> set[str]:
    """Environment names of every setting that is a secret."""
    assistants = {
        prefix + name
        for prefix in (*ASSISTANT_PREFIXES, "CHATBOT_")
        for name in _find_secrets(AssistantSettings)
    }
    return {*_find_secrets(Settings), *assistants, CLIENT_KEY}


def _find_secrets(cls: type[BaseSettings]) -> set[str]:
    return {name.upper() for name, field in cls.model_fields.items() if "SecretStr" in repr(field)}


def redact(config: Config) -> dict[str, dict[str, Any]]:
    """The effective values for display; secrets show only whether they are set."""
    return {
        "shared": config.shared.model_dump(mode="json"),
        "office": config.office.model_dump(mode="json"),
        "character": config.character.model_dump(mode="json"),
    }

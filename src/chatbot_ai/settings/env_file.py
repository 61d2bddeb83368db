"""The `.env` file, read as it is written: nothing is expanded, no line is passed over."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path
from typing import ClassVar

from dotenv.parser import parse_stream
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.messages import Language, get_message

#: How programs name their secrets.
SECRET_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS")
#: As YAML has it, and the usual slip.
_UNQUOTED_HASH = re.compile(r"""=\s*[^'"\s#][^\n]*?\s#""")
_WITH_COLON = re.compile(r"(?:export\s+)?(\w+)\s*:\s*(.*)")


def start_language() -> Language:
    """The language of messages while there are no settings yet to say it."""
    lang = os.environ.get("LANG", "").lower()
    return "en" if lang.startswith("en") or os.environ.get("DEFAULT_LANGUAGE") == "en" else "ko"


def read_env_file(path: Path | None) -> dict[str, str]:
    """The values of a file by upper-case name; empty where there is no file.

    A value may be in quotes: in double ones with escapes such as `\\n`, in single ones literally.
    Raises ConfigurationError with one line per line that cannot be read: its number, and what to
    write.
    """
    language = start_language()
    try:
        text = path.read_text("utf-8-sig") if path is not None else ""
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigurationError(get_message("settings.encoding", language, file=path)) from error
    except OSError as error:
        reason = {"file": path, "reason": error.strerror}
        raise ConfigurationError(get_message("settings.no_file", language, **reason)) from error
    values: dict[str, str] = {}
    wrong = []
    for binding in parse_stream(StringIO(text)):
        written = binding.original.string
        if binding.key is not None and binding.value is not None:
            values[binding.key.upper()] = binding.value
        elif binding.error or binding.key is not None:
            number = binding.original.line + written[: -len(written.lstrip())].count("\n")
            wrong.append(_explain(number, written.strip().partition("\n")[0], language))
    if wrong:
        raise ConfigurationError("\n".join(f"{path}: {sentence}" for sentence in wrong))
    return values


def find_cut_secrets(path: Path | None) -> list[str]:
    """Secrets in the file that end before a # which may have been meant to belong to them."""
    if path is None or not path.exists():
        return []
    bindings = parse_stream(StringIO(path.read_text("utf-8-sig")))
    return [
        binding.key
        for binding in bindings
        if binding.key is not None
        and binding.key.upper().endswith(SECRET_ENDINGS)
        and _UNQUOTED_HASH.search(binding.original.string)
    ]


def _explain(number: int, line: str, language: Language) -> str:
    found = _WITH_COLON.fullmatch(line)
    if found is None:
        return get_message("settings.wrong_line", language, line=number)
    name, value = found.groups()
    # an address may hold a name and a password
    is_secret = name.upper().endswith(SECRET_ENDINGS) or "@" in value
    shown = "…" if is_secret else value
    return get_message("settings.colon", language, line=number, right=f"{name}={shown}")


class EnvFileSource(InitSettingsSource):
    """The values of a `.env` file for pydantic: those of `prefix` and a field's name."""

    def __init__(
        self, settings_cls: type[BaseSettings], file: Path | str | None, prefix: str
    ) -> None:
        found = read_env_file(Path(file) if file else None)
        names = {name: f"{prefix}{name}".upper() for name in settings_cls.model_fields}
        super().__init__(
            settings_cls, {name: found[full] for name, full in names.items() if found.get(full)}
        )


class FileSettings(BaseSettings):
    """Settings of the environment and of a `.env` file, by their names after each of `prefixes`:
    the first prefix goes before the next, the environment before the file."""

    prefixes: ClassVar[tuple[str, ...]] = ("",)
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = getattr(dotenv_settings, "env_file", None)
        env = [EnvSettingsSource(settings_cls, env_prefix=p) for p in cls.prefixes]
        dot = [EnvFileSource(settings_cls, file, p) for p in cls.prefixes]
        return (init_settings, *env, *dot)

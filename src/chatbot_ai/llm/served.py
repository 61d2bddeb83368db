"""What a model server says that it serves, read from its own answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.llm.chat_protocol import UNREADABLE


@dataclass(frozen=True, slots=True)
class Served:
    """None stands for what the server does not tell.

    model           its identifier, to be sent in requests
    context_tokens  of one conversation, prompt and answer together
    slots           conversations that it answers at once
    listed          whether the model that was wished for is among those it lists
    """

    model: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    listed: bool = True


def read_served(models: Any, properties: Any, wished: str | None) -> Served:
    """From the bodies of /v1/models and, where the server has it, llama.cpp's /props.

    vLLM and SGLang tell `max_model_len` with each model, llama.cpp `n_ctx` of a slot and
    `total_slots`. Raises BackendProtocolError where a body has another shape.
    """
    try:
        cards = list(models["data"])
        named = [card for card in cards if wished in (card["id"], *(card.get("aliases") or ()))]
        card = named[0] if named else cards[0] if cards and wished is None else {}
        generation = (properties or {}).get("default_generation_settings") or {}
        return Served(
            model=wished or (str(card["id"]) if card else None),
            context_tokens=_count(generation.get("n_ctx") or card.get("max_model_len")),
            slots=_count((properties or {}).get("total_slots")),
            listed=wished is None or bool(named),
        )
    except UNREADABLE as error:
        raise BackendProtocolError("the model's server lists its models unreadably") from error


def display_name(model: str) -> str:
    """What callers are shown: llama.cpp and vLLM name a model that is a file by its whole path,
    which is nobody's business; a repository's `owner/name` stays."""
    if model.endswith(".gguf") or model.startswith(("/", ".", "~")):
        return PurePosixPath(model).name.removesuffix(".gguf") or model
    return model


def _count(value: Any) -> int | None:
    return int(value) if value and int(value) > 0 else None

"""A model server that is not ours: what it serves is asked, not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import structlog

from chatbot_ai.domain.errors import BackendProtocolError
from chatbot_ai.domain.thoughts import opens_thoughts
from chatbot_ai.llm.chat_protocol import UNREADABLE, Chunk, ThoughtHabit
from chatbot_ai.llm.llama import ABSENT, LlamaModel, raise_for_status

log = structlog.get_logger()

#: Seconds that one question about the models may take.
ASK_TIMEOUT_S = 3.0


class RemoteModel(LlamaModel):
    """A LlamaModel at an address that somebody else looks after.

    model           the model to ask for; None asks for whatever the server lists first
    context_tokens  until the server tells; afterwards the server's own, or with `at_most` the
                    smaller of the two

    `Finished.model` is what the server said of that very answer, so that a server which was
    restarted with another model is reported correctly at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None,
        context_tokens: int,
        at_most: bool = False,
        api_key: str | None = None,
        unnamed: str = "remote",
    ) -> None:
        super().__init__(
            base_url,
            name=display_name(model) if model else unnamed,
            context_tokens=context_tokens,
            api_key=api_key,
            remote_model=model,
            thinks=None,
        )
        self._wished = model
        self._limit_tokens = context_tokens if at_most else None
        self.served: ServedModel | None = None

    async def learn(self) -> ServedModel:
        """Read what is served and use it. Raises BackendUnavailable if nothing answers."""
        async with self._translate_errors():
            models = await self._http.get("/v1/models", timeout=ASK_TIMEOUT_S)
            await raise_for_status(models)
            props = await self._http.get("/props", timeout=ASK_TIMEOUT_S)
        if props.status_code not in (200, *ABSENT):
            # a key that /props refuses, a proxy's error: the rest is known all the same
            log.debug("engine.properties_untold", status=props.status_code)
        served = read_served_model(
            _json(models), _json(props) if props.status_code == 200 else None, self._wished
        )
        if served != self.served:
            self._go_by(served)
        return served

    def _go_by(self, served: ServedModel) -> None:
        self.served = served
        self._remote_model = served.model
        self._habit = ThoughtHabit(served.thinks)
        if served.model:
            self.name = display_name(served.model)
        if served.context_tokens:
            limit = self._limit_tokens or served.context_tokens
            self.context_tokens = min(limit, served.context_tokens)
        if not served.listed:
            log.warning("engine.model_not_served", model=self._wished)
        log.info(
            "engine.serves",
            model=self.name,
            context_tokens=self.context_tokens,
            slots=served.slots,
        )

    def _name_model(self, last: Chunk) -> str:
        return display_name(last.model) if last.model else self.name


def _json(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """None stands for what the server does not tell.

    model           its identifier, to be sent in requests
    context_tokens  of one conversation, prompt and answer together
    slots           conversations that it answers at once
    thinks          whether its chat template opens the thoughts, so that answers begin inside them
    listed          whether the model that was wished for is among those it lists
    """

    model: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    thinks: bool | None = None
    listed: bool = True


def read_served_model(models: Any, properties: Any, wished: str | None) -> ServedModel:
    """From the bodies of /v1/models and, where the server has it, llama.cpp's /props.

    vLLM and SGLang tell `max_model_len` with each model, llama.cpp `n_ctx` of a slot and
    `total_slots`. Raises BackendProtocolError where a body has another shape.
    """
    try:
        cards = list(models["data"])
        named = [card for card in cards if wished in (card["id"], *(card.get("aliases") or ()))]
        card = named[0] if named else cards[0] if cards and wished is None else {}
        generation = (properties or {}).get("default_generation_settings") or {}
        template = (properties or {}).get("chat_template")
        return ServedModel(
            model=wished or (str(card["id"]) if card else None),
            context_tokens=_count(generation.get("n_ctx") or card.get("max_model_len")),
            slots=_count((properties or {}).get("total_slots")),
            thinks=opens_thoughts(template) if template else None,
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

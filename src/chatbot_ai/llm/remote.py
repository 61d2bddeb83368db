"""A model server that is not ours: what it serves is asked, not assumed."""

from __future__ import annotations

from typing import Any

import structlog

from chatbot_ai.llm.chat_protocol import Chunk
from chatbot_ai.llm.llama import ABSENT, LlamaModel, raise_for_status
from chatbot_ai.llm.served import Served, display_name, read_served

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
        )
        self._wished = model
        self._limit_tokens = context_tokens if at_most else None
        self.served: Served | None = None

    async def learn(self) -> Served:
        """Read what is served and use it. Raises BackendUnavailable if nothing answers."""
        async with self._translated():
            models = await self._http.get("/v1/models", timeout=ASK_TIMEOUT_S)
            await raise_for_status(models)
            props = await self._http.get("/props", timeout=ASK_TIMEOUT_S)
        if props.status_code not in (200, *ABSENT):
            # a key that /props refuses, a proxy's error: the rest is known all the same
            log.debug("engine.properties_untold", status=props.status_code)
        served = read_served(
            _json(models), _json(props) if props.status_code == 200 else None, self._wished
        )
        if served != self.served:
            self._go_by(served)
        return served

    def _go_by(self, served: Served) -> None:
        self.served = served
        self._remote_model = served.model
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

    def _reported(self, last: Chunk) -> str:
        return display_name(last.model) if last.model else self.name


def _json(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None

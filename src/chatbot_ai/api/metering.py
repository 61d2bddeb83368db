"""The tokens of answers, counted towards the limit of the key that asked for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from chatbot_ai.core.exchange import ChatEvent, Delta, Done
from chatbot_ai.domain.access import Access, Principal
from chatbot_ai.domain.errors import ChatbotError


class Meter:
    """What one answer has cost so far.

    The prompt is charged by an estimate when the model begins to read it, so that calls that are
    given up or run beside each other cost what they take; the end puts it right.
    """

    def __init__(self, access: Access, principal: Principal) -> None:
        self._access, self._principal = access, principal
        self._prompt = self._answer = self._charged = 0
        self._told: Done | None = None

    def began(self, prompt_tokens: int) -> None:
        """The model reads a prompt of about so many tokens."""
        self._prompt += prompt_tokens
        self._charge(self._charged + prompt_tokens)

    async def passing(
        self, events: AsyncGenerator[ChatEvent, None]
    ) -> AsyncGenerator[ChatEvent, None]:
        """Pass events on and count them, also those of an answer that nobody waited for."""
        try:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case Delta():
                            self._answer += 1
                        case Done():
                            self._told = event
                        case _:
                            pass
                    yield event
        except ChatbotError:
            if not self._answer:
                self._prompt = 0  # it was refused or broken: nothing was read
            raise
        finally:
            self._charge(self._total())

    def _total(self) -> int:
        """What the model's server told, at least what was seen: some tell nothing."""
        if self._told is None:
            return self._prompt + self._answer
        if self._told.replayed:
            return 0
        usage = self._told.usage
        return (usage.prompt_tokens or self._prompt) + max(usage.completion_tokens, self._answer)

    def _charge(self, total: int) -> None:
        if total != self._charged:
            self._access.spent(self._principal, total - self._charged)
            self._charged = total

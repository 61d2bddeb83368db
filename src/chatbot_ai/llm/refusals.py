"""What it means that a model's server refuses a request: whose fault it is, in one table."""

from __future__ import annotations

import re
from typing import Any

from chatbot_ai.domain.errors import (
    BackendNotConfigured,
    BackendProtocolError,
    BackendRateLimited,
    BackendUnavailable,
    ChatbotError,
    ContextTooLong,
    InvalidRequest,
)
from chatbot_ai.domain.generation import GenerationRequest, likely_tokens

#: Seconds after which a caller may try again where the server tells none.
RETRY_AFTER_S = 5.0
#: The operator must change something: a key, an address, a model's name.
SET_UP_WRONG = (401, 402, 403)
#: The same request may succeed later.
LATER = (408, 409, 423, 425)
#: The caller can change something, if anybody can: it is told what.
CALLERS = (400, 413, 422)
#: `type` of llama.cpp, `code` of OpenAI and of those that follow it, for a prompt that is too long.
TOO_LONG = ("exceed_context_size_error", "context_length_exceeded")
_JINJA = "Jinja Exception:"


def read_refusal(
    status: int, body: Any, request: GenerationRequest | None, limit_tokens: int, wait_s: float
) -> ChatbotError:
    """The error that a refusal with `status` means; `body` is its JSON, if it has any.

    A request of llama.cpp or OpenAI's kind that is refused without a reason is nobody's fault but
    ours: BackendProtocolError.
    """
    error = body.get("error", body) if isinstance(body, dict) else None
    told = error if isinstance(error, dict) else {}
    if status == 429:
        return BackendRateLimited("the model's server limits the rate", wait_s)
    if status in SET_UP_WRONG:
        return BackendNotConfigured(f"the model's server refuses us with status {status}", 60)
    if status == 503 or status in LATER:
        return BackendUnavailable("the model's server is loading or busy", wait_s)
    if request is not None and status in CALLERS:
        if told.get("type") in TOO_LONG or told.get("code") in TOO_LONG:
            return _too_long(told, request, limit_tokens)
        if request.response_format:
            return InvalidRequest("response_format", "response_format_refused")
    return BackendProtocolError(f"the model's server answered with status {status}", wait_s)


def _too_long(
    told: dict[str, Any], request: GenerationRequest, limit_tokens: int
) -> ContextTooLong:
    tokens, limit = told.get("n_prompt_tokens"), told.get("n_ctx")
    guess = sum(likely_tokens(message.content) for message in request.messages)
    if not isinstance(limit, int):
        limit = limit_tokens
    return ContextTooLong(tokens if isinstance(tokens, int) else max(guess, limit + 1), limit)


def read_template_reason(body: Any) -> str:
    """What a chat template said when it refused the messages: one short line."""
    error = body.get("error") if isinstance(body, dict) else None
    text = error.get("message") if isinstance(error, dict) else None
    lines = (text if isinstance(text, str) else "").strip().splitlines() or [""]
    return re.sub(r"\s+", " ", lines[-1].rpartition(_JINJA)[2]).strip()[:200]

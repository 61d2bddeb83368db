"""How a refused card is answered: the card library's own sentences in our error shape."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from chatbot_ai.api.errors import language_for, request_id_of, shaped
from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.sentences import CARD_ERRORS


def install(app: FastAPI) -> None:
    """Answer CardError with 422, a file that is too large with 413; `reason` is for programs."""

    @app.exception_handler(CardError)
    async def _refused(request: Request, error: CardError) -> JSONResponse:
        sentence = getattr(CARD_ERRORS[error.card_reason], language_for(request))
        text = sentence.format(**error.params)
        body: dict[str, Any] = {
            "code": error.code,
            "reason": error.reason,
            "message": text,
            "fields": [{"field": error.field, "message": text}],
            "request_id": request_id_of(request),
        }
        status = 413 if error.reason == "file_too_large" else 422
        return shaped(request, status, {"error": body})

"""The one table from errors to HTTP: status, code, message, Retry-After."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from chatbot_ai.api.messages import Language, language_of, message
from chatbot_ai.domain.errors import (
    CallerLimited,
    ChatbotError,
    ConfigurationError,
    ContextTooLong,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unauthorized,
    Unavailable,
    UnknownModel,
)

log = structlog.get_logger()

#: The most specific class of an error's ancestors decides.
STATUS: dict[type[ChatbotError], int] = {
    InvalidRequest: 422,
    UnknownModel: 400,
    ContextTooLong: 422,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    CallerLimited: 429,
    Unavailable: 503,
    ConfigurationError: 500,
    ChatbotError: 500,
}

#: pydantic's error types -> keys of the message catalogue; others read "not valid".
FIELD_MESSAGES = {
    "missing": "field_missing",
    "string_type": "field_string",
    "string_unicode": "field_surrogate",
    "bool_type": "field_boolean",
    "bool_parsing": "field_boolean",
    "string_too_short": "field_too_short",
    "string_too_long": "field_too_long",
    "too_short": "field_too_short",
    "too_long": "field_too_long",
    "string_pattern_mismatch": "field_db_id",
    "surrogate": "field_surrogate",
    "model_attributes_type": "field_object",
    "dict_type": "field_object",
    "int_type": "field_number",
    "int_parsing": "field_number",
    "float_type": "field_number",
    "float_parsing": "field_number",
    "greater_than_equal": "field_range",
    "less_than_equal": "field_range",
    "greater_than": "field_range",
    "less_than": "field_range",
}

HTTP_CODES = {
    400: "malformed_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
}


def status_of(error: ChatbotError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def retry_after_s(error: ChatbotError) -> int | None:
    """Whole seconds for the Retry-After header, at least 1; None where retrying does not help."""
    wait = getattr(error, "retry_after_s", None)
    return max(1, math.ceil(wait)) if isinstance(wait, int | float) else None


def error_body(
    error: ChatbotError, language: Language, request_id: str | None
) -> dict[str, dict[str, Any]]:
    """The body of every error: code, message, request_id, and fields or retry_after_s."""
    wait = retry_after_s(error)
    params: dict[str, object] = {"retry_after": wait or 1}
    if isinstance(error, InvalidRequest):
        params |= error.params
        key = error.reason
        fields = [{"field": error.field, "message": message(key, language, **params)}]
    else:
        params["limit"] = getattr(error, "limit", "")
        key, fields = error.code, []
    body: dict[str, Any] = {"code": error.code, "message": message(key, language, **params)}
    if fields:
        body["fields"] = fields
    if wait is not None:
        body["retry_after_s"] = wait
    body["request_id"] = request_id
    return {"error": body}


def plain_error(
    status: int,
    code: str,
    request: Request,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> JSONResponse:
    text = message(code, language_for(request), **params)
    body = {"error": {"code": code, "message": text, "request_id": request_id_of(request)}}
    return JSONResponse(body, status, dict(headers or {}))


def language_for(request: Request) -> Language:
    return language_of(request.headers.get("accept-language"), request.app.state.language)


def request_id_of(request: Request) -> str | None:
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found


def validation_fields(errors: Sequence[Any], language: Language) -> list[dict[str, str]]:
    """One entry per wrong field, with what is wrong and how to mend it."""
    fields = []
    for problem in errors:
        name = ".".join(str(part) for part in problem["loc"] if part != "body") or "body"
        key = FIELD_MESSAGES.get(problem["type"], "field_invalid")
        params = problem.get("ctx") or {}
        fields.append({"field": name, "message": message(key, language, **params)})
    return fields


def _says_json(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "").lower()


def _is_alias(request: Request) -> bool:
    """Whether the path is one that exists: a model's alias or a fixed route."""
    path = request.scope["path"].strip("/")
    aliases = request.app.state.services.chat.models
    return path.lower() in {alias.lower() for alias in aliases} or bool(_other_methods(request))


def _other_methods(request: Request) -> str:
    """The methods of a path such as /performance, which POST /{model} takes for a model's name."""
    operations = request.app.openapi()["paths"].get(request.scope["path"], {})
    return ", ".join(sorted(method.upper() for method in operations))


def install(app: FastAPI) -> None:
    """Give every error of this application its answer."""

    @app.exception_handler(ChatbotError)
    async def _known(request: Request, error: ChatbotError) -> JSONResponse:
        if isinstance(error, UnknownModel) and (allowed := _other_methods(request)):
            return plain_error(405, HTTP_CODES[405], request, {"Allow": allowed})
        wait = retry_after_s(error)
        headers = {"Retry-After": str(wait)} if wait is not None else {}
        body = error_body(error, language_for(request), request_id_of(request))
        status = status_of(error)
        if status >= 500:
            log.warning("request.unavailable", code=error.code, detail=str(error))
        return JSONResponse(body, status, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        whole = any(tuple(p["loc"]) == ("body",) for p in problems)
        unread = whole and not (_says_json(request) and await request.body())
        if unread or any(p["type"] == "json_invalid" for p in problems):
            return plain_error(400, "malformed_json", request)
        language = language_for(request)
        body = {
            "code": "validation_failed",
            "message": message("validation_failed", language),
            "fields": validation_fields(problems, language),
            "request_id": request_id_of(request),
        }
        return JSONResponse({"error": body}, 422)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code
        if status == 405 and not _is_alias(request):
            status = 404  # POST /{model} matches every name; only real ones exist
        code = HTTP_CODES.get(status, "bad_request" if status < 500 else "internal_error")
        headers = error.headers if status == error.status_code else None
        return plain_error(status, code, request, headers)

    @app.exception_handler(Exception)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("request.crashed", exc_info=error)
        return plain_error(500, "internal_error", request)

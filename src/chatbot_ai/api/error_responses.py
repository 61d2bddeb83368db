"""Turns every error into its HTTP response: status, code, message, Retry-After."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from chatbot_ai.api.middleware import note
from chatbot_ai.api.openai_errors import speaks_openai, to_openai
from chatbot_ai.cards.errors import CardError
from chatbot_ai.domain.errors import (
    CallerLimited,
    ChatbotError,
    ConfigurationError,
    ContextTooLong,
    Forbidden,
    InvalidRequest,
    NotFound,
    RequestTooLarge,
    RequestTooSlow,
    StorageFull,
    StreamCancelled,
    StreamExpired,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnreadableRequest,
)
from chatbot_ai.domain.text import guess_encoding
from chatbot_ai.messages import Language, get_message, has_message, parse_accept_language

log = structlog.get_logger()

#: The most specific class of an error's ancestors decides.
STATUS: dict[type[ChatbotError], int] = {
    InvalidRequest: 422,
    UnreadableRequest: 400,
    UnknownModel: 400,
    ContextTooLong: 422,
    StorageFull: 413,
    RequestTooLarge: 413,
    RequestTooSlow: 408,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    StreamExpired: 410,
    StreamCancelled: 410,
    CallerLimited: 429,
    Unavailable: 503,
    ConfigurationError: 500,
    ChatbotError: 500,
}

#: pydantic's error types -> keys of messages/api.toml; others read "not valid".
FIELD_MESSAGES = {
    "missing": "field_missing",
    "string_type": "field_string",
    "string_unicode": "field_surrogate",
    "bool_type": "field_boolean",
    "bool_parsing": "field_boolean",
    "string_too_short": "field_too_short",
    "string_too_long": "field_too_long",
    "too_many": "field_too_many",
    "too_short": "field_too_few",
    "too_long": "field_too_many",
    "list_type": "field_list",
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
    "finite_number": "field_number",
    "unsupported": "field_text_only",
    "unsupported_parameter": "field_unsupported",
    "text_missing": "field_text_missing",
    "nobody_speaks": "field_nobody_speaks",
    "literal_error": "field_choice",
    "response_format": "field_response_format",
    "schema_too_large": "schema_too_large",
    "schema_ambiguous": "schema_ambiguous",
}

#: Wrong fields that one answer names.
WRONG_FIELDS = 50
#: Where FastAPI says that a field was; the field's own name is enough.
PLACES = ("body", "query", "path", "header")

HTTP_CODES = {
    400: "malformed_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
}


def status_of(error: ChatbotError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, CardError) and error.card_reason == "file_too_large":
        return 413
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def retry_after_s(error: ChatbotError) -> int | None:
    """Whole seconds for the Retry-After header, at least 1; None where retrying does not help."""
    wait = getattr(error, "retry_after_s", None)
    return max(1, math.ceil(wait)) if isinstance(wait, int | float) else None


def message(code: str, language: Language, **values: object) -> str:
    """The text of `code`; one that nobody wrote is our mistake and reads as the internal error."""
    key = f"api.{code}"
    return get_message(key if has_message(key) else "api.internal_error", language, **values)


def error_body(
    error: ChatbotError, language: Language, request_id: str | None
) -> dict[str, dict[str, Any]]:
    """The body of every error: code, message, request_id, and fields or retry_after_s."""
    wait = retry_after_s(error)
    params: dict[str, object] = {"retry_after": wait or 1, "limit": getattr(error, "limit", "")}
    body: dict[str, Any] = {"code": error.code}
    if isinstance(error, CardError):
        text = get_message(f"cards.error.{error.reason}", language, **error.params)
        body["reason"] = error.reason
    elif isinstance(error, Unauthorized):
        text = message(error.reason, language)
    elif isinstance(error, InvalidRequest):
        text = message(error.reason, language, **(params | error.params))
    else:
        text = message(error.code, language, **params)
    body["message"] = text
    if isinstance(error, InvalidRequest):
        body["fields"] = [{"field": error.field, "message": text}]
    if wait is not None:
        body["retry_after_s"] = wait
    if isinstance(error, CallerLimited):
        body["limit"] = error.limit
    body["request_id"] = request_id
    return {"error": body}


def build_error_response(error: ChatbotError, request: Request) -> JSONResponse:
    """The response to one of our errors; notes it for the request's log line."""
    wait, status = retry_after_s(error), status_of(error)
    headers = {"Retry-After": str(wait)} if wait is not None else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RequestTooLarge | RequestTooSlow):  # its rest is not read
        headers["Connection"] = "close"
    note(error=error.code)
    if status >= 500:
        note(detail=str(error))
    body = error_body(error, language_for(request), request_id_of(request))
    return to_json_response(request, status, body, headers)


def build_plain_response(
    status: int,
    code: str,
    request: Request,
    headers: Mapping[str, str] | None = None,
    words: str | None = None,
    **params: Any,
) -> JSONResponse:
    """The response to a failure that no error of ours stands for; `words` names another sentence
    than the code's own."""
    note(error=code)
    text = message(words or code, language_for(request), **params)
    body = {"error": {"code": code, "message": text, "request_id": request_id_of(request)}}
    return to_json_response(request, status, body, headers)


def to_json_response(
    request: Request, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The body as JSON; under /v1 in OpenAI's shape."""
    if speaks_openai(request):
        status, body = to_openai(status, body)
    return JSONResponse(body, status, dict(headers or {}))


def language_for(request: Request) -> Language:
    header = request.headers.get("accept-language")
    return parse_accept_language(header, request.app.state.options.language)


def request_id_of(request: Request) -> str | None:
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found


def list_wrong_fields(errors: Sequence[Any], language: Language) -> list[dict[str, str]]:
    """One entry per wrong field, with what is wrong and how to correct it; of many the first."""
    fields = []
    for problem in errors[:WRONG_FIELDS]:
        params = problem.get("ctx") or {}
        where = problem["loc"][1:] if problem["loc"][0] in PLACES else problem["loc"]
        name = ".".join(str(part) for part in where) or params.get("parameter", "body")
        key = FIELD_MESSAGES.get(problem["type"], "field_invalid")
        fields.append({"field": name, "message": message(key, language, **params)})
    return fields


def _has_json_type(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "").lower()


def find_allowed_methods(request: Request) -> set[str]:
    """The methods that this path takes; none where there is no such path.

    POST /{model} matches every name, but only the aliases of real models are paths.
    """
    alias = request.scope["path"].strip("/").lower()
    aliases = {name.lower() for name in request.app.state.services.chat.models}
    found: set[str] = set()
    for route in request.app.state.api_routes:
        if route.matches(request.scope)[0] == Match.NONE:
            continue
        if route.path != "/{model}" or alias in aliases:
            found |= route.methods
    return found


def _build_405(request: Request) -> JSONResponse | None:
    """The 405 of POST /performance, which POST /{model} took: the address is there, POST is not."""
    allowed = find_allowed_methods(request)
    if not allowed or request.method in allowed:
        return None
    return build_plain_response(
        405, HTTP_CODES[405], request, {"Allow": ", ".join(sorted(allowed))}
    )


async def _handle_error(request: Request, error: ChatbotError) -> Response:
    other: Response | None = None
    if isinstance(error, UnknownModel):
        other = _build_405(request)
    elif isinstance(error, NotFound):
        other = _build_redirect(request)
    return other or build_error_response(error, request)


async def _handle_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    if (wrong := _build_405(request)) is not None:
        return wrong
    problems = error.errors()
    whole = any(tuple(p["loc"]) == ("body",) for p in problems)
    unread = whole and not (_has_json_type(request) and await request.body())
    if unread or any(p["type"] == "json_invalid" for p in problems):
        return await _build_malformed(request)
    note(error="validation_failed")
    language = language_for(request)
    body = {
        "code": "validation_failed",
        "message": message("validation_failed", language),
        "fields": list_wrong_fields(problems, language),
        "request_id": request_id_of(request),
    }
    return to_json_response(request, 422, {"error": body})


async def _build_malformed(request: Request) -> JSONResponse:
    """The 400 of a body that is not JSON, with what it is instead where that can be told."""
    try:
        body = await request.body()
    except RuntimeError:  # it was read as a form, piece by piece
        body = b""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        key = "body_encoding" if (found := guess_encoding(body)) else "body_not_utf8"
        return build_plain_response(400, "malformed_json", request, words=key, found=found)
    return build_plain_response(400, "malformed_json", request)


def _build_redirect(request: Request) -> Response | None:
    """To the same address without its last slash, where there is something: a path alone, so that
    it is right behind any proxy."""
    scope = request.scope
    path = scope["path"].rstrip("/")
    if path == scope["path"] or not find_allowed_methods(Request({**scope, "path": path})):
        return None
    raw: bytes = scope.get("raw_path") or quote(path).encode()
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    return RedirectResponse(f"{scope['root_path']}{raw.decode('latin-1').rstrip('/')}{query}")


async def _handle_http_exception(request: Request, error: HTTPException) -> Response:
    status, headers = error.status_code, error.headers
    if status == 404 and (elsewhere := _build_redirect(request)) is not None:
        return elsewhere
    if status == 400:
        return await _build_malformed(request)
    if status == 405:
        allowed = find_allowed_methods(request)
        status, headers = (405, {"Allow": ", ".join(sorted(allowed))}) if allowed else (404, {})
    code = HTTP_CODES.get(status, "bad_request" if status < 500 else "internal_error")
    return build_plain_response(status, code, request, headers)


async def _handle_crash(request: Request, error: Exception) -> JSONResponse:
    log.error("request.crashed", exc_info=error)
    return build_plain_response(500, "internal_error", request)


def install_error_handlers(app: FastAPI) -> None:
    """Give every error of this application its response."""
    app.exception_handler(ChatbotError)(_handle_error)
    app.exception_handler(RequestValidationError)(_handle_validation_error)
    app.exception_handler(HTTPException)(_handle_http_exception)
    app.exception_handler(Exception)(_handle_crash)

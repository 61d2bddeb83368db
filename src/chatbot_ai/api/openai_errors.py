"""Errors under /v1 in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

from fastapi import Request

#: Our codes that OpenAI's clients know by another name; others keep their own.
CODES = {
    "unknown_model": "model_not_found",
    "context_too_long": "context_length_exceeded",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "validation_failed": "invalid_value",
}
#: Statuses that OpenAI's API has otherwise.
STATUSES = {"unknown_model": 404, "context_too_long": 400, "validation_failed": 400}
PARAMS = {"unknown_model": "model", "context_too_long": "messages"}


def speaks_openai(request: Request) -> bool:
    """Whether the caller expects OpenAI's shape: it called something under /v1."""
    path: str = request.scope["path"]
    return path == "/v1" or path.startswith("/v1/")


def to_openai(status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and body that say in OpenAI's way what ours say."""
    error = body["error"]
    ours = error["code"]
    text, param = error["message"], PARAMS.get(ours)
    if fields := error.get("fields"):
        param = param or _param(fields[0]["field"])
        text = f"{param}: {fields[0]['message']}"
    if ours == "invalid_request" and status == 422:
        status = 400
    found = {
        "message": text,
        "type": _type(status),
        "param": param,
        "code": CODES.get(ours, ours),
    }
    if limit := error.get("limit"):
        found["limit"] = limit  # ours: which of this caller's limits is used up
    return STATUSES.get(ours, status), {"error": found}


def _type(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"


def _param(field: str) -> str:
    """`messages.0.content` as OpenAI writes it: `messages[0].content`."""
    head, *rest = field.split(".")
    return head + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)

"""What of our interface the framework cannot see for itself: keys, and headers read by hand."""

from __future__ import annotations

from typing import Any

from chatbot_ai.domain.limits import IDEMPOTENCY_KEY_CHARS

#: Ways of sending a key. Optional in the document, as without any key this machine is served.
SECURITY_SCHEMES = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer cbk_…`"},
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_SECURITY: list[dict[str, list[str]]] = [{}, {"Bearer": []}, {"ApiKey": []}]

_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "A fresh text for each wish; the same one again gives the first answer.",
        "schema": {"type": "string", "pattern": f"^[\\x21-\\x7e]{{1,{IDEMPOTENCY_KEY_CHARS}}}$"},
    },
    "X-Resumable": {
        "description": "Whether a stream outlives its connection; see GET /streams/{stream_id}.",
        "schema": {"type": "boolean"},
    },
    "X-Include-Sources": {
        "description": "Whether a JSON answer ends with the list of its sources.",
        "schema": {"type": "boolean"},
    },
}


def headers(*names: str) -> dict[str, Any]:
    """`openapi_extra` of a route that reads these headers."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": False, **_HEADERS[name]} for name in names
        ]
    }


#: Of routes that make something, that answer, and that answer in this project's own form.
MAKING = headers("Idempotency-Key")
ANSWERING = headers("Idempotency-Key", "X-Resumable")
SPEAKING = headers("Idempotency-Key", "X-Resumable", "X-Include-Sources")


_ERROR = {"$ref": "#/components/schemas/Error"}


def document_error(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    """An error answer for the OpenAPI document."""
    return {status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}}


#: What the dependency of every route may answer.
CALLER_RESPONSES: dict[int | str, dict[str, Any]] = {
    **document_error(401, "No valid key, where one is needed."),
    **document_error(429, "Over this caller's own limit; see Retry-After."),
    **document_error(503, "The keys cannot be read now; see Retry-After."),
}
#: What every call that answers with text may answer.
ANSWER_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as one JSON string; with `Accept: text/event-stream` the events "
        "`queued`, `sources`, `delta`, `done`, `error`.",
        "content": {
            "application/json": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    },
    **CALLER_RESPONSES,
    **document_error(400, "Not JSON, or no such model."),
    **document_error(403, "A user key that names another user."),
    **document_error(413, "The body is too large."),
    **document_error(422, "A field is wrong; `fields` names it."),
    **document_error(503, "Busy, or something it needs is down; see Retry-After."),
}


def secure(schema: dict[str, Any]) -> None:
    """Say how keys are sent, on every operation that may answer 401."""
    schema.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
    for path in schema["paths"].values():
        for operation in path.values():
            if "401" in operation["responses"]:
                operation["security"] = _SECURITY

"""The document of our interface: what the framework cannot see for itself (keys, headers read by
hand, errors), and the routes /openapi.json and /docs, which need nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from importlib.resources import files
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

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
ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "For people; Korean or English."},
                "request_id": {"type": ["string", "null"]},
                "retry_after_s": {"type": "integer", "minimum": 1},
                "limit": {
                    "type": "string",
                    "enum": ["requests_per_minute", "tokens_per_day", "concurrent_requests"],
                    "description": "With 429: the limit of this caller that is used up.",
                },
                "fields": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "message"],
                        "properties": {
                            "field": {"type": "string"},
                            "message": {"type": "string"},
                        },
                    },
                },
            },
        }
    },
}
OPENAI_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_ERROR = {"$ref": "#/components/schemas/Error"}


def document_error(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    """An error answer for the OpenAPI document."""
    return {status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}}


#: What the dependency of every route may answer.
CALLER_RESPONSES: dict[int | str, dict[str, Any]] = {
    **document_error(401, "No valid key, where one is needed."),
    **document_error(408, "The body did not come in time."),
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

#: It shares its origin with the chat page. Swagger UI sets styles of its own.
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: Swagger UI comes from the package that `fastapi-offline` carries.
_ASSETS = StaticFiles(directory=str(files(fastapi_offline) / "static"))

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def read_document(request: Request) -> JSONResponse:
    """The document, with the prefix under which the caller sees us."""
    app: FastAPI = request.app
    prefix = request.scope.get("root_path", "")
    return JSONResponse({**app.openapi(), "servers": [{"url": prefix or "/"}]})


# a route and no mount: a mount looks for the gateway's prefix in a path that has lost it
@router.get("/docs-static/{file}")
async def read_asset(file: str, request: Request) -> Response:
    """A file of the interactive reference."""
    return await _ASSETS.get_response(file, request.scope)


@router.get("/docs")
async def read_docs(request: Request) -> HTMLResponse:
    """The interactive reference."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url="docs-static/swagger-ui-bundle.js",
        swagger_css_url="docs-static/swagger-ui.css",
        swagger_favicon_url="docs-static/favicon.png",
    )
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    page.headers["Content-Security-Policy"] = _POLICY.format(scripts=allowed)
    return page


@router.get("/status/page")
async def check_page_access() -> dict[str, str]:
    """Whether the caller may see pages, which the gate has decided by now; the gateway asks for
    what came through a proxy."""
    return {"status": "ok"}


def complete_document(app: FastAPI) -> None:
    """Have the application's document tell what the framework does not see."""
    mimetypes.init()  # reads the system's list now, not within the first answer
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make_schema()
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components |= {"Error": ERROR_SCHEMA, "OpenAIError": OPENAI_ERROR_SCHEMA}
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            _drop_framework_errors(schema)
            _add_security(schema)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _drop_framework_errors(schema: dict[str, Any]) -> None:
    """Take away the 422 that FastAPI adds where a route does not document its own."""
    for path in schema["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("422", {}).get("content", {})
            found = content.get("application/json", {}).get("schema", {})
            if found.get("$ref", "").endswith("/HTTPValidationError"):
                del operation["responses"]["422"]


def _add_security(schema: dict[str, Any]) -> None:
    """Say how keys are sent, on every operation that may answer 401."""
    schema.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
    for path in schema["paths"].values():
        for operation in path.values():
            if "401" in operation["responses"]:
                operation["security"] = _SECURITY

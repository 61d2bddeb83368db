"""/docs and /openapi.json: interactive, without any outside resource, correct behind a prefix."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from chatbot_ai.api.openapi import secure

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


def _drop_framework_errors(schema: dict[str, Any]) -> None:
    """Take away the 422 that FastAPI adds where a route does not document its own."""
    for path in schema["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("422", {}).get("content", {})
            found = content.get("application/json", {}).get("schema", {})
            if found.get("$ref", "").endswith("/HTTPValidationError"):
                del operation["responses"]["422"]


def install(app: FastAPI, *, title: str) -> None:
    """Add the documentation routes. Assets come from the package `fastapi-offline` carries."""
    static = StaticFiles(directory=str(files(fastapi_offline) / "static"))
    mimetypes.init()  # reads the system's list now, not within the first answer
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make_schema()
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components["Error"] = ERROR_SCHEMA
            components["OpenAIError"] = OPENAI_ERROR_SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            _drop_framework_errors(schema)
            secure(schema)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/openapi.json", include_in_schema=False)
    async def schema(request: Request) -> JSONResponse:
        prefix = request.scope.get("root_path", "")
        return JSONResponse({**app.openapi(), "servers": [{"url": prefix or "/"}]})

    # a route and no mount: a mount looks for the gateway's prefix in a path that has lost it
    @app.get("/docs-static/{file}", include_in_schema=False)
    async def asset(file: str, request: Request) -> Response:
        return await static.get_response(file, request.scope)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        prefix = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{prefix}/openapi.json",
            title=title,
            swagger_js_url=f"{prefix}/docs-static/swagger-ui-bundle.js",
            swagger_css_url=f"{prefix}/docs-static/swagger-ui.css",
            swagger_favicon_url=f"{prefix}/docs-static/favicon.png",
        )

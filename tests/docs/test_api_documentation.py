"""docs/api.md says what the code does: every route, every error code."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatbot_ai.api.app import create_app
from chatbot_ai.api.error_responses import HTTP_CODES, STATUS, status_of
from chatbot_ai.api.metrics import Metrics
from chatbot_ai.api.services import ApiOptions
from chatbot_ai.cards.errors import CardError
from chatbot_ai.domain import errors
from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.messages import read_table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text("utf-8")
ROW = re.compile(r"^\| (\d{3}) \| `([a-z_]+)` \|", re.MULTILINE)


def every_error() -> set[type[ChatbotError]]:
    found = vars(errors).values()
    return {one for one in found if isinstance(one, type) and issubclass(one, ChatbotError)}


def schema_of(assistant: Assistant) -> dict[str, Any]:
    @asynccontextmanager
    async def nothing() -> Any:
        yield None

    app = create_app(
        ApiOptions(assistant, "ko", 60, 1000, cors_origins=(), lists_sources=False, ai_notice=True),
        nothing,
        Metrics(assistant),
    )
    return app.openapi()


def test_every_error_code_is_in_the_table() -> None:
    """The table has every code with its status, and no other."""
    expected = {(status_of_class(error), error.code) for error in every_error()}
    expected |= {(status, code) for status, code in HTTP_CODES.items()}
    expected |= {
        (422, CardError.code),
        (400, "bad_request"),
        (422, "validation_failed"),
        (429, "rate_limited"),
    }
    assert {(int(status), code) for status, code in ROW.findall(PAGE)} == expected


def status_of_class(error: type[ChatbotError]) -> int:
    return next(STATUS[cls] for cls in error.__mro__ if cls in STATUS)


def test_every_code_has_a_message() -> None:
    """Nobody reads "internal error" for want of a text."""
    for error in every_error():
        assert error.code in read_table("api")
    assert set(HTTP_CODES.values()) <= set(read_table("api"))
    assert status_of(ChatbotError()) == 500


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_every_route_is_on_the_page(assistant: Assistant) -> None:
    """Each path of the OpenAPI document stands on the page, with its methods."""
    for path, operations in schema_of(assistant)["paths"].items():
        for method in operations:
            mentioned = [line for line in PAGE.splitlines() if path in line]
            assert any(method.upper() in line for line in mentioned), f"{method} {path}"


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_openapi_document_has_no_loose_ends(assistant: Assistant) -> None:
    """Every reference leads somewhere, and every operation documents who may call it."""
    schema = schema_of(assistant)
    text = repr(schema)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in schema["components"]["schemas"], name
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            open_path = path in ("/healthz", "/readyz", "/metrics")
            assert ("401" in operation["responses"]) != open_path, path


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_openapi_document_says_how_keys_are_sent(assistant: Assistant) -> None:
    """The page has its Authorize button; what asks for no key says nothing of one."""
    schema = schema_of(assistant)
    schemes = schema["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            named = {name for way in operation.get("security", []) for name in way}
            expected = set(schemes) if "401" in operation["responses"] else set()
            assert named == expected, path


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_openapi_document_has_the_headers_that_calls_may_send(assistant: Assistant) -> None:
    """Whatever answers or makes something declares the headers that it reads."""
    answering = {"Idempotency-Key", "X-Resumable"}
    for path, operations in schema_of(assistant)["paths"].items():
        for method, operation in operations.items():
            answer = operation["responses"].get("200", {}).get("content", {})
            expected: set[str] = set()
            if method == "post" and "text/event-stream" in answer:
                expected = answering | (set() if "/v1/" in path else {"X-Include-Sources"})
            elif path in ("/characters", "/characters/import", "/conversations/{db_id}/branch"):
                expected = {"Idempotency-Key"} if method == "post" else set()
            found = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
            assert found - {"last-event-id"} == expected, f"{method} {path}"

"""The one table from errors to HTTP, and the words for each."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from chatbot_ai.api.error_responses import (
    FIELD_MESSAGES,
    HTTP_CODES,
    error_body,
    message,
    retry_after_s,
    status_of,
)
from chatbot_ai.domain import errors as domain_errors
from chatbot_ai.domain.errors import (
    AdmissionRejected,
    BackendNotConfigured,
    CallerLimited,
    ChatbotError,
    ContextTooLong,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    RequestTooLarge,
    RequestTooSlow,
    Unavailable,
    UnknownModel,
)
from chatbot_ai.messages import read_table

SOURCE = Path(domain_errors.__file__).parents[1]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def all_errors(root: type[ChatbotError] = ChatbotError) -> list[type[ChatbotError]]:
    """The error tree of the domain."""
    below = [c for sub in root.__subclasses__() for c in all_errors(sub)]
    return [c for c in (root, *below) if c.__module__ == domain_errors.__name__]


def refusals() -> list[tuple[str, str, set[str]]]:
    """Every `InvalidRequest(field, reason, name=…)` of the source: file, reason and names."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InvalidRequest"
            if named and isinstance(node, ast.Call):
                reason = node.args[1]
                assert isinstance(reason, ast.Constant), path
                names = {keyword.arg or "**" for keyword in node.keywords}
                found.append((path.name, str(reason.value), names))
    return found


@pytest.mark.parametrize("cls", all_errors(), ids=lambda c: c.__name__)
def test_every_error_of_the_domain_has_words_and_a_status(cls: type[ChatbotError]) -> None:
    """Each code has a message that the table can fill, and each class a status."""
    assert cls.code in read_table("api")
    if not issubclass(cls, InvalidRequest):
        assert placeholders(read_table("api")[cls.code]["ko"]) <= {"retry_after", "limit"}
    error = cls.__new__(cls)
    expected = {InvalidRequest: (400, 413, 422), Unavailable: (503,), CallerLimited: (429,)}
    allowed = next((v for k, v in expected.items() if issubclass(cls, k)), None)
    assert status_of(error) in (allowed or (401, 403, 404, 408, 410, 413, 500))


def test_codes_are_unique() -> None:
    """A code names one class, and those below it that have none of their own."""
    codes = [cls.code for cls in all_errors() if "code" in vars(cls)]
    assert len(codes) == len(set(codes))


def test_every_refusal_has_its_words() -> None:
    """Whatever reason the source gives for an InvalidRequest, the catalogue knows, with the values
    that its sentence needs."""
    found = refusals()
    assert found
    for file, reason, names in found:
        assert reason in read_table("api"), (file, reason)
        needed = placeholders(read_table("api")[reason]["ko"]) - {"retry_after"}
        assert needed <= names or "**" in names, (file, reason)


def test_every_field_message_exists() -> None:
    """The keys that pydantic's errors and HTTP statuses are mapped to are in the catalogue."""
    assert {*FIELD_MESSAGES.values(), *HTTP_CODES.values(), "field_invalid"} <= set(
        read_table("api")
    )


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (InvalidRequest("x", "field_invalid"), 422, None),
        (UnknownModel("x", ("a", "b")), 400, None),
        (ContextTooLong(20, 10), 422, None),
        (NotFound("x"), 404, None),
        (RequestTooLarge(9), 413, None),
        (RequestTooSlow(60.0), 408, None),
        (CallerLimited("tokens_per_day", 2.2), 429, 3),
        (AdmissionRejected("x", 0.0), 503, 1),
        (DeadlineExceeded("x", 7.0), 503, 7),
        (BackendNotConfigured("x", 60), 503, 60),
        (ChatbotError("x"), 500, None),
    ],
)
def test_status_and_retry_after(error: ChatbotError, status: int, wait: int | None) -> None:
    """429 and 503 always say when to come back, in whole seconds, never 0; others never do."""
    assert (status_of(error), retry_after_s(error)) == (status, wait)
    body = error_body(error, "en", "id-1")["error"]
    assert body.get("retry_after_s") == wait
    assert (body["code"], body["request_id"]) == (error.code, "id-1")


def test_internals_are_not_told() -> None:
    """What an error says to operators is not in the body."""
    assert "10.0.0.7" not in str(error_body(Unavailable("no route to 10.0.0.7"), "en", None))


def test_an_unknown_model_is_told_the_valid_ones() -> None:
    """In the message and as the field it is about."""
    body = error_body(UnknownModel("gpt9", ("Llama", "gpt4.1")), "ko", None)["error"]
    assert "Llama, gpt4.1" in body["message"]
    assert body["fields"][0]["field"] == "model"


def test_an_unknown_key_reads_as_our_mistake() -> None:
    """A missing text is no reason for a second failure."""
    assert message("no such key", "en") == read_table("api")["internal_error"]["en"]

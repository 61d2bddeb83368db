"""Bad input gets a clear answer: its own status, JSON in two languages, never a 500 or a hang."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from support.bad_bytes import MALFORMED, NOT_JSON
from support.http_calls import body, error_of, raw

ASSISTANTS = ("office", "character")
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_400(client: httpx2.Client, assistant: str, name: str) -> None:
    """A body that cannot be read as JSON is 400 malformed_json, however it is malformed."""
    response = client.post(f"/{assistant}/Llama", content=NOT_JSON[name], headers=JSON)
    assert response.status_code == 400
    assert error_of(response)["code"] == "malformed_json"


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "number": ("input_data", {"input_data": 5}),
    "null": ("input_data", {"input_data": None}),
    "list": ("input_data", {"input_data": ["hello"]}),
    "object": ("input_data", {"input_data": {"text": "hello"}}),
    "boolean": ("input_data", {"input_data": True}),
    "empty": ("input_data", {"input_data": ""}),
    "only blanks": ("input_data", {"input_data": " \n\t\u3000"}),
    "only control characters": ("input_data", {"input_data": "\x00\x07\x1b\x7f\x85"}),
    "501 characters": ("input_data", {"input_data": "가" * 501}),
    "501 emoji": ("input_data", {"input_data": "😀" * 501}),
    "lone high surrogate": ("input_data", {"input_data": "a\ud800b"}),
    "lone low surrogate": ("input_data", {"input_data": "\udfff"}),
    "surrogates in wrong order": ("input_data", {"input_data": "\ude00\ud83d"}),
    "user number": ("user_id", {"user_id": 7}),
    "user empty": ("user_id", {"user_id": ""}),
    "user too long": ("user_id", {"user_id": "u" * 51}),
    "user surrogate": ("user_id", {"user_id": "\ud800"}),
    "db number": ("db_id", {"db_id": 7}),
    "db empty": ("db_id", {"db_id": ""}),
    "db too long": ("db_id", {"db_id": "a" * 65}),
    "db blank": ("db_id", {"db_id": "a b"}),
    "db path": ("db_id", {"db_id": "../../etc/passwd"}),
    "db line end": ("db_id", {"db_id": "abc\n"}),
    "db dash first": ("db_id", {"db_id": "-a"}),
    "db Hangul": ("db_id", {"db_id": "가나다"}),
    "db surrogate": ("db_id", {"db_id": "a\udc00"}),
    "db operator": ("db_id", {"db_id": {"$ne": None}}),
}


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_422_and_named(client: httpx2.Client, assistant: str, name: str) -> None:
    """A field that breaks its rule is 422, and `fields` names it with a reason."""
    field, change = WRONG[name]
    text = json.dumps(body(assistant, **change))  # escapes what UTF-8 has no form for
    response = client.post(f"/{assistant}/Llama", content=text.encode(), headers=JSON)
    assert response.status_code == 422
    error = error_of(response)
    assert error["code"] == "validation_failed"
    assert [entry["field"] for entry in error["fields"]] == [field]
    assert error["fields"][0]["message"]


@pytest.mark.parametrize("google_access", ["yes", "true", 1, None, []])
def test_a_search_wish_that_is_no_boolean_is_422(
    client: httpx2.Client, google_access: object
) -> None:
    """google_access takes true and false and nothing that resembles them."""
    response = client.post("/office/Llama", json=body("office", google_access=google_access))
    assert response.status_code == 422
    assert [entry["field"] for entry in error_of(response)["fields"]] == ["google_access"]


@pytest.mark.parametrize("field", ["character_name", "greeting", "context", "input_data"])
@pytest.mark.parametrize("value", ["", "  ", 3, None, "missing"])
def test_a_character_needs_all_of_its_card(
    client: httpx2.Client, field: str, value: object
) -> None:
    """Name, greeting and context are strings that are not empty; each one missing is named."""
    request = body("character", **{field: value})
    if value == "missing":
        del request[field]
    response = client.post("/character/Llama", json=request)
    assert response.status_code == 422
    assert [entry["field"] for entry in error_of(response)["fields"]] == [field]


@pytest.mark.parametrize("whole", ["[]", '"hello"', "5", "null", "true"])
def test_json_that_is_no_object_is_422(client: httpx2.Client, whole: str) -> None:
    """Proper JSON of another kind is a wrong value, not a malformed body."""
    response = client.post("/office/Llama", content=whole, headers=JSON)
    assert response.status_code == 422
    assert error_of(response)["code"] == "validation_failed"


@pytest.mark.parametrize(
    "text",
    [
        "가" * 20 + "a" * 480,
        "e\u0301" * 20 + "a" * 480,
        "a\x00b\x1bc",
        "\u202eabc\u200b",
        "😀👨‍👩‍👧",
        "' OR 1=1 --",
        "{{input}}",
    ],
)
def test_odd_but_allowed_text_is_answered(client: httpx2.Client, text: str) -> None:
    """500 characters as a reader counts them, control characters, emoji and quotes are answered."""
    response = client.post("/office/Llama", json=body("office", input_data=text))
    assert response.status_code == 200
    assert isinstance(response.json(), str)


def test_a_surrogate_pair_is_one_character(client: httpx2.Client) -> None:
    """An emoji that a client escapes as two halves is whole again."""
    content = b'{"input_data": "Hi \\ud83d\\ude00"}'
    response = client.post("/office/Llama", content=content, headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "image/png"]
)
def test_another_content_type_is_400(client: httpx2.Client, kind: str) -> None:
    """A body that is not called JSON is not read as JSON."""
    content = json.dumps(body("office"))
    response = client.post("/office/Llama", content=content, headers={"Content-Type": kind})
    assert response.status_code == 400
    assert error_of(response)["code"] == "malformed_json"


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize("path", ["Llama", "characters-of-no-size"])
def test_ten_megabytes_are_413(client: httpx2.Client, assistant: str, path: str) -> None:
    """A body of 10 MB is refused as too large, in JSON, before anyone reads it."""
    content = json.dumps(body(assistant, input_data="x" * 10_000_000)).encode()
    response = client.post(f"/{assistant}/{path}", content=content, headers=JSON)
    assert response.status_code == 413
    assert error_of(response)["code"] == "payload_too_large"


def test_ten_megabytes_without_a_length_are_413(client: httpx2.Client) -> None:
    """A chunked body is counted as it comes."""
    response = client.post(
        "/office/Llama", content=(b"x" * 100_000 for _ in range(100)), headers=JSON
    )
    assert response.status_code == 413
    assert error_of(response)["code"] == "payload_too_large"


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Llama"), ("PUT", "Llama"), ("DELETE", "Llama"), ("PATCH", "Llama"),
        ("GET", "gpt4.1"), ("POST", "performance"), ("DELETE", "healthz"), ("TRACE", "Llama"),
    ],
)  # fmt: skip
def test_a_wrong_method_is_405(
    client: httpx2.Client, assistant: str, method: str, path: str
) -> None:
    """An address that exists says that it does not take this method."""
    content = None if method == "TRACE" else json.dumps(body(assistant))
    response = client.request(method, f"/{assistant}/{path}", content=content, headers=JSON)
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/office/%00", "/office/%ff%fe", "/office/%ED%A0%80", "/office/" + "a" * 500]
)
def test_an_odd_model_name_is_refused(client: httpx2.Client, path: str) -> None:
    """A model's name that is no text, or endless, is a caller's mistake."""
    response = client.post(path, json=body("office"))
    assert response.status_code in (400, 404, 422)
    error_of(response)


@pytest.mark.parametrize("path", ["/../etc/passwd", "/office/../../etc/passwd", "/office/..%2fx"])
def test_no_path_leaves_the_site(base_url: str, path: str) -> None:
    """Dots in a path lead nowhere."""
    request = f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
    status, answer = raw(base_url, request)
    assert status in (400, 404)
    assert b"root:" not in answer


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_is_refused(base_url: str, name: str) -> None:
    """What is no proper HTTP request is refused as the caller's mistake, or as an unknown HTTP."""
    status, _ = raw(base_url, MALFORMED[name])
    assert 400 <= status < 500 or status == 505


def test_a_huge_header_is_431(client: httpx2.Client) -> None:
    """Headers beyond any use are refused, in JSON."""
    response = client.get("/office/healthz", headers={"X-Large": "x" * 40_000})
    assert response.status_code == 431
    error_of(response)


def test_all_of_this_did_no_harm(client: httpx2.Client) -> None:
    """After bad input the services are as ready as before, and none of it counts as a crash."""
    client.post("/office/Llama", content=b"[" * 30_000, headers=JSON)
    for assistant in ASSISTANTS:
        assert client.get(f"/{assistant}/readyz").status_code == 200
        assert client.post(f"/{assistant}/Llama", json=body(assistant)).status_code == 200

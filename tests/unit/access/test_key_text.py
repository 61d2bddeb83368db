"""What a key looks like, which header it comes in, and what its limits say."""

from __future__ import annotations

import pytest

from chatbot_ai.access.key import (
    ID_LENGTH,
    KEY_PATTERN,
    PREFIX,
    RANDOM_BYTES,
    Key,
    Limits,
    hash_key,
    is_key,
    new_secret,
    read_credential,
    read_id,
)
from chatbot_ai.access.usage import Standing
from chatbot_ai.api.middleware import LIMIT_HEADERS, build_limit_headers
from chatbot_ai.domain.errors import CallerLimited, Unauthorized


def stored(secret: str, revoked_at: float | None = None) -> Key:
    return Key(
        read_id(secret), hash_key(secret), "k", "backend", None, Limits(), 1.0, None, revoked_at
    )


def test_a_key_has_160_unseen_random_bits() -> None:
    """Keys differ, carry 200 random bits, and show no more than 40 of them in lists."""
    keys = {new_secret() for _ in range(200)}
    assert len(keys) == 200
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
    assert RANDOM_BYTES * 8 - (ID_LENGTH - len(PREFIX)) * 5 == 160


def test_only_the_key_itself_is_the_key() -> None:
    """Another text with the same id, a revoked key and no stored key are all refused."""
    secret = new_secret()
    other = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    assert is_key(secret, stored(secret))
    assert not is_key(other, stored(secret))
    assert not is_key(secret, stored(secret, revoked_at=2.0))
    assert not is_key(secret, None)
    assert secret not in repr(stored(secret))
    assert hash_key(secret).hex() not in repr(stored(secret))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer   abc "}, "abc"),
        ({"x-api-key": " abc"}, "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer ", "x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer 열쇠"}, "열쇠"),
    ],
)
def test_both_headers_are_alike(headers: dict[str, str], found: str | None) -> None:
    """A key counts the same in either header, or in both."""
    assert read_credential(headers) == found


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer abc", "x-api-key": "abd"},
        {"authorization": "Basic YWJj"},
        {"authorization": "abc"},
    ],
)
def test_contradictions_are_refused(headers: dict[str, str]) -> None:
    """Two different keys, or a scheme nobody knows, are no key."""
    with pytest.raises(Unauthorized):
        read_credential(headers)


@pytest.mark.parametrize(
    ("limits", "used", "name"),
    [
        (Limits(requests_per_minute=2), Standing, "requests_per_minute"),
        (Limits(tokens_per_day=2), Standing, "tokens_per_day"),
        (Limits(concurrent=2), Standing, "concurrent_requests"),
    ],
)
def test_each_limit_names_itself(limits: Limits, used: type[Standing], name: str) -> None:
    """Below a limit nothing happens; at it the error names it and carries its headers."""
    used(limits, requests=1, tokens=1, running=1).check()
    at_limit = used(
        limits, requests=2, requests_reset_s=7.2, tokens=2, tokens_reset_s=7.2, running=2
    )
    with pytest.raises(CallerLimited) as caught:
        at_limit.check()
    assert caught.value.limit == name
    assert caught.value.retry_after_s > 0
    headers = build_limit_headers(caught.value.limits)
    assert len(headers) == 3
    assert set(headers) <= set(LIMIT_HEADERS)
    assert [v for k, v in headers.items() if "Remaining" in k] == ["0"]


def test_a_key_without_limits_has_no_headers() -> None:
    """Nothing is told about limits that are not there."""
    assert Standing(Limits(), requests=9).states() == ()
    assert not Limits().any
    every = Limits(1, 1, 1)
    assert set(build_limit_headers(Standing(every).states())) == set(LIMIT_HEADERS)

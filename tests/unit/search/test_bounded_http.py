"""The one exchange: every error of the HTTP library is ours, and bodies are bounded."""

from __future__ import annotations

import gzip
import inspect
import zlib

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.errors import ExchangeFailed, SearchUnavailable
from chatbot_ai.search.bounded_http import BoundedBody, translate_errors
from chatbot_ai.search.providers.json_api import is_web_url

ERRORS = [
    error
    for _, error in inspect.getmembers(httpcore2, inspect.isclass)
    if issubclass(error, Exception)
]


@pytest.mark.parametrize("error", [*ERRORS, OSError, TimeoutError, ConnectionResetError])
def test_every_error_of_the_library_is_mapped(error: type[Exception]) -> None:
    """Nothing that httpcore2 or a socket raises gets through as it is."""
    with pytest.raises(ExchangeFailed) as failed, translate_errors():
        raise error
    assert isinstance(failed.value, SearchUnavailable)
    assert isinstance(failed.value.__cause__, error)


def test_the_library_has_errors() -> None:
    """The list above is not empty because the library moved its names."""
    assert httpcore2.ReadTimeout in ERRORS
    assert len(ERRORS) >= 15


@given(st.binary(max_size=3000), st.sampled_from(["", "gzip", "deflate"]), st.integers(1, 500))
def test_a_body_comes_back_however_it_is_cut(body: bytes, encoding: str, size: int) -> None:
    """Any chunking of an encoded body gives the body."""
    packed = {"": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[encoding]
    bounded = BoundedBody(encoding, 10_000)
    for start in range(0, len(packed), size):
        bounded.feed(packed[start : start + size])
    assert bounded.finish() == body


@given(st.binary(min_size=1, max_size=500), st.integers(0, 600), st.sampled_from(["", "gzip"]))
def test_a_body_never_exceeds_its_limit(body: bytes, limit: int, encoding: str) -> None:
    """Within the limit a body is whole; beyond it, on the wire or unpacked, it fails."""
    packed = gzip.compress(body) if encoding else body
    bounded = BoundedBody(encoding, limit)
    if len(packed) <= limit and len(body) <= limit:
        bounded.feed(packed)
        assert bounded.finish() == body
    else:
        with pytest.raises(ExchangeFailed) as failed:
            bounded.feed(packed)
        assert failed.value.reason == "too_large"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_an_encoding_that_was_not_offered_fails(encoding: str) -> None:
    """Only identity, gzip and deflate are undone."""
    with pytest.raises(ExchangeFailed):
        BoundedBody(encoding, 100)


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://a.example/글?q=1", True),
        ("http://127.0.0.1:1/", True),
        ("https://user@a.example/", False),
        ("https://user:secret@a.example/", False),
        ("https://a.example@b.example/", False),
        ("ftp://a.example/", False),
        ("https:///x", False),
        ("https://a.example/ x", False),
        ("javascript:alert(1)", False),
    ],
)
def test_a_results_address_is_plain(url: str, is_one: bool) -> None:
    """What is shown as a source and linked is an http(s) URL that names nobody."""
    assert is_web_url(url) is is_one

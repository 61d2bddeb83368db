"""HTTP as downloads need it: whom to trust, what to try again, and what a refusal means."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx2
import structlog
import tenacity

from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.models.manifest import ModelFileError

_LOG = structlog.get_logger(__name__)
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REASONS = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 410: "not_found"}
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """How patient a download is.

    A connection that brings fewer than `min_bytes_per_s` over `stall_s` is dropped and taken up
    again. `attempts` counts those in a row that brought nothing; the pause after the n-th is
    `first_pause_s` * 2**(n-1), or what the server's Retry-After says, but at most `max_pause_s`.
    `spare_disk_bytes` stay free on the disk.
    """

    attempts: int = 6
    first_pause_s: float = 1.0
    max_pause_s: float = 60.0
    connect_s: float = 20.0
    stall_s: float = 30.0
    min_bytes_per_s: int = 1024
    spare_disk_bytes: int = 256 << 20


class Interrupted(ChatbotError):
    """This attempt ended early and another may succeed."""

    def __init__(self, cause: str, retry_after_s: float = 0.0) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s


def build_client(policy: DownloadPolicy, headers: Mapping[str, str]) -> httpx2.Client:
    """A client that trusts what this machine's OpenSSL trusts (SSL_CERT_FILE counts).

    Raises ModelFileError where the environment names a proxy that cannot be used.
    """
    try:
        return httpx2.Client(
            headers={"Accept-Encoding": "identity", **headers},
            timeout=httpx2.Timeout(policy.stall_s, connect=policy.connect_s),
            verify=ssl.create_default_context(),
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise ModelFileError("proxy") from error


def raise_for_status(response: httpx2.Response, name: str) -> None:
    """Turn passing trouble into Interrupted, and a refusal into what the operator can do."""
    status = response.status_code
    if status in _RETRIED_STATUSES:
        asked = response.headers.get("Retry-After", "")
        raise Interrupted(f"HTTP {status}", float(asked) if asked.isdecimal() else 0.0)
    if status >= 400:
        reason = _REASONS.get(status, "refused")
        raise ModelFileError(reason, host=response.url.host, name=name, status=status)


@contextmanager
def translate_errors(url: str, name: str) -> Iterator[None]:
    """Map the HTTP library's errors: a broken connection is Interrupted, the rest is final."""
    try:
        yield
    except httpx2.UnsupportedProtocol as error:
        raise ModelFileError("bad_address", url=url) from error
    except httpx2.TransportError as error:
        if _is_untrusted(error):
            host = httpx2.URL(url).host
            raise ModelFileError("untrusted", host=host, name=name) from error
        raise Interrupted(f"{type(error).__name__}: {error}".rstrip(": ")) from error
    except httpx2.TooManyRedirects as error:
        raise ModelFileError("refused", host=error.request.url.host, name=name, status=310) from (
            error
        )
    except httpx2.InvalidURL as error:
        raise ModelFileError("bad_address", url=url) from error


def _is_untrusted(error: BaseException) -> bool:
    """Tell whether a certificate that this machine does not trust is behind the error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return True
        below = below.__cause__ or below.__context__
    return False


def retry(
    attempt: Callable[[], _Result],
    *,
    name: str,
    policy: DownloadPolicy,
    count_gained: Callable[[], int],
) -> _Result:
    """Call `attempt` until it ends without Interrupted.

    `gained` counts what has arrived so far; ModelFileError `interrupted` comes after
    `policy.attempts` calls in a row that did not raise it.
    """
    best, fruitless = count_gained(), 0

    def count(_: tenacity.RetryCallState) -> None:
        nonlocal best, fruitless
        now = count_gained()
        fruitless = 1 if now > best else fruitless + 1
        best = max(best, now)

    def pause_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, Interrupted) else 0.0
        grown_s = policy.first_pause_s * 2.0 ** (fruitless - 1)
        return min(max(grown_s, asked_s), policy.max_pause_s)

    def report(state: tenacity.RetryCallState) -> None:
        cause = state.outcome.exception() if state.outcome else None
        _LOG.warning(
            "model.download_interrupted", file=name, cause=str(cause), pause_s=state.upcoming_sleep
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Interrupted),
        after=count,
        stop=lambda _: fruitless >= policy.attempts,
        wait=pause_s,
        before_sleep=report,
        reraise=True,
    )
    try:
        return retrying(attempt)
    except Interrupted as error:
        raise ModelFileError(
            "interrupted", name=name, attempts=policy.attempts, cause=error
        ) from error

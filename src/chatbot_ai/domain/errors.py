"""Every error this system raises on purpose, drawn as a tree.

    ChatbotError
    ├── ConfigurationError          the operator's settings or files are wrong
    │   └── LoadRunFailed           tools/loadtest: Locust did not run to its end
    ├── ModelFileError              models: a model file is missing, wrong, or cannot be had
    ├── BrokenHeader                models: the beginning of a GGUF file cannot be read
    ├── Interrupted                 models: a download that may be tried again
    ├── InvalidRequest              the caller can correct it
    │   ├── UnreadableRequest       it cannot be told what is meant
    │   ├── UnknownModel
    │   ├── ContextTooLong
    │   ├── IdempotencyKeyReused
    │   ├── StorageFull             what this user keeps would take more than it may
    │   └── CardError               cards: a character card is refused
    ├── RequestTooLarge             more bytes than are taken
    ├── RequestTooSlow              not there after the time that is given
    ├── Unauthorized                no key, or one that is not valid
    ├── Forbidden                   a valid key, but not for this
    ├── NotFound
    ├── StreamExpired               the wanted events of a stream are no longer kept
    ├── StreamCancelled             the stream was ended before its answer was whole
    ├── CallerLimited               this caller's own limit
    └── Unavailable                 try again later
        ├── AdmissionRejected       the queue is full, or the wait would exceed the deadline
        ├── DeadlineExceeded
        ├── BackendUnavailable      the engine or the remote model does not serve now
        │   ├── BackendNotConfigured
        │   ├── BackendRateLimited
        │   └── BackendProtocolError
        │       ├── EmptyAnswer     the model ended its answer without a word of text
        │       └── EventTooLong    llm: an event of a stream is larger than is read
        ├── StoreUnavailable
        └── SearchUnavailable       never fails an answer
            ├── SearchQuotaExceeded the provider's own limit; ask it again after `retry_after_s`
            ├── ExchangeFailed      the network, the protocol, the time or the size of one exchange
            ├── FetchRefused        this side does not fetch the page
            └── ReadingFailed       the page arrived, but no text could be made of it
    CallerLeft                      the caller closed the connection

`code` is stable and machine-readable; how an error is answered is decided in `api` alone. A class
without a code of its own never reaches a caller.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from chatbot_ai.domain.limits import LimitName, LimitState

ExchangeReason = Literal["timeout", "network", "protocol", "too_large", "status"]
RefusalReason = Literal[
    "url", "scheme", "userinfo", "host", "port", "address", "redirects", "robots", "content_type"
]

#: The exit code of a process whose set-up is wrong, so that restarting it does not help.
#: Source: EX_CONFIG of sysexits.h.
EXIT_CONFIGURATION = 78


class ChatbotError(Exception):
    """The root. `str(error)` is for logs and operators, never for a caller."""

    code: ClassVar[str] = "internal_error"


class ConfigurationError(ChatbotError):
    """A setting, persona or model file is wrong; the text says what to change."""

    code = "configuration_error"


class InvalidRequest(ChatbotError):
    """The request itself is wrong in `field`; `reason` is a key of messages/api.toml."""

    code = "invalid_request"

    def __init__(self, field: str, reason: str, **params: object) -> None:
        super().__init__(f"{field}: {reason} {params or ''}".rstrip())
        self.field, self.reason, self.params = field, reason, params


class UnreadableRequest(InvalidRequest):
    """What is asked, and of whom, cannot be read."""

    code = "bad_request"


class UnknownModel(InvalidRequest):
    """The model alias is not configured; `valid` lists those that are."""

    code = "unknown_model"

    def __init__(self, alias: str, valid: tuple[str, ...]) -> None:
        super().__init__("model", "unknown_model", alias=alias, valid=", ".join(valid))
        self.alias, self.valid = alias, valid


class ContextTooLong(InvalidRequest):
    """System prompt and newest input alone do not fit: `tokens` needed, `limit` available."""

    code = "context_too_long"

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__("input_data", "context_too_long", tokens=tokens, limit=limit)
        self.tokens, self.limit = tokens, limit


class IdempotencyKeyReused(InvalidRequest):
    """The Idempotency-Key belongs to another request of this caller."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key", "idempotency_key_reused")


class StorageFull(InvalidRequest):
    """What the user keeps takes `used` bytes and may take `limit`: deleting some of it helps."""

    code = "storage_full"

    def __init__(
        self, reason: Literal["characters_full", "conversations_full"], used: int, limit: int
    ) -> None:
        sizes = {"used_mib": f"{used / 2**20:.3g}", "limit_mib": f"{limit / 2**20:.3g}"}
        super().__init__("user_id", reason, **sizes)


class RequestTooLarge(ChatbotError):
    """The request has more than `limit` bytes."""

    code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


class RequestTooSlow(ChatbotError):
    """The request was not there after `limit` seconds."""

    code = "request_timeout"

    def __init__(self, limit: float) -> None:
        super().__init__(f"not complete after {limit:g} s")
        self.limit = f"{limit:g}"


class Unauthorized(ChatbotError):
    """No key was sent where one is needed, or it is not valid; `reason` names the sentence."""

    code = "unauthorized"

    def __init__(
        self,
        detail: str,
        reason: Literal[
            "unauthorized", "unkeyed_elsewhere", "unkeyed_forwarded", "unkeyed_host", "unkeyed_page"
        ] = "unauthorized",
    ) -> None:
        super().__init__(detail)
        self.reason = reason


class Forbidden(ChatbotError):
    """The key is valid but may not do this."""

    code = "forbidden"


class NotFound(ChatbotError):
    """There is no such thing, or it is not this caller's; the two look the same on purpose."""

    code = "not_found"


class StreamExpired(ChatbotError):
    """The stream is there, but not the events behind the one that the caller saw last."""

    code = "stream_expired"


class StreamCancelled(ChatbotError):
    """The stream was cancelled, or had no reader for too long."""

    code = "stream_cancelled"


class CallerLimited(ChatbotError):
    """This caller is over a limit of its own, named by `limit`; `limits` are all that it has."""

    code = "rate_limited"

    def __init__(
        self, limit: LimitName, retry_after_s: float, limits: tuple[LimitState, ...] = ()
    ) -> None:
        super().__init__(f"limit {limit}, retry after {retry_after_s:.1f} s")
        self.limit, self.retry_after_s, self.limits = limit, retry_after_s, limits


class Unavailable(ChatbotError):
    """Cannot be served now; `retry_after_s` is an honest guess when it can."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after_s: float = 5.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class AdmissionRejected(Unavailable):
    """Not queued: the queue is full, or the expected wait exceeds the deadline."""

    code = "busy"


class DeadlineExceeded(Unavailable):
    """The request's deadline passed at `stage`."""

    code = "deadline_exceeded"

    def __init__(self, stage: str, retry_after_s: float = 5.0) -> None:
        super().__init__(f"deadline passed during {stage}", retry_after_s)
        self.stage = stage


class BackendUnavailable(Unavailable):
    """The model does not answer: not started, restarting, loading or gone."""

    code = "model_unavailable"


class BackendNotConfigured(BackendUnavailable):
    """The model needs a key or an address that the operator has not set."""

    code = "model_not_configured"


class BackendRateLimited(BackendUnavailable):
    """The remote model refused because of its own rate limit."""

    code = "model_rate_limited"


class BackendProtocolError(BackendUnavailable):
    """The model's server answered something that its protocol does not allow."""

    code = "model_protocol_error"


class EmptyAnswer(BackendProtocolError):
    """The model ended its answer without a word of text."""

    code = "model_empty_answer"


class StoreUnavailable(Unavailable):
    """The conversation store does not answer or refuses to write."""

    code = "store_unavailable"


class SearchUnavailable(Unavailable):
    """A web search failed; never fails an answer."""

    code = "search_unavailable"


class SearchQuotaExceeded(SearchUnavailable):
    """The provider refuses because of its rate or quota limit, for `retry_after_s` seconds."""


class ExchangeFailed(SearchUnavailable):
    """One exchange with a server on the web did not come to a usable end, for `reason`."""

    def __init__(self, reason: ExchangeReason) -> None:
        super().__init__(f"exchange failed: {reason}")
        self.reason = reason


class FetchRefused(SearchUnavailable):
    """A page is not fetched, for `reason`; nothing was sent to the address in question."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(f"fetch refused: {reason}")
        self.reason = reason


class ReadingFailed(SearchUnavailable):
    """A page could not be reduced to text in the time and memory given."""


class CallerLeft(Exception):
    """The caller has closed the connection. Not a ChatbotError: there is no one to respond to."""


def trace_places(error: BaseException, most: int = 5) -> str:
    """The innermost files and lines that an error came through, the place of its raising first:
    without its text, and without reading a file as a traceback does, so that an event loop may
    log it."""
    places: list[str] = []
    place = error.__traceback__
    while place is not None:
        places.append(f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}")
        place = place.tb_next
    return " < ".join(places[: -most - 1 : -1])

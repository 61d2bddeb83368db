"""What can go wrong on the way to a web page; every kind is a SearchUnavailable.

SearchUnavailable (domain)
├── SearchQuotaExceeded   the provider's own limit; ask it again after `retry_after_s`
├── ExchangeFailed        the network, the protocol, the time or the size of one exchange
├── FetchRefused          this side refused to fetch the page
└── ReadingFailed         the page arrived but no text could be made of it
"""

from __future__ import annotations

from typing import ClassVar, Literal

from chatbot_ai.domain.errors import SearchUnavailable

ExchangeReason = Literal["timeout", "network", "protocol", "too_large", "status"]
RefusalReason = Literal[
    "url", "scheme", "userinfo", "host", "port", "address", "redirects", "robots", "content_type"
]


class SearchQuotaExceeded(SearchUnavailable):
    """The provider refuses because of its rate or quota limit, for `retry_after_s` seconds."""

    code: ClassVar[str] = "search_quota_exceeded"


class ExchangeFailed(SearchUnavailable):
    """One HTTP exchange did not come to a usable end, for `reason`."""

    code: ClassVar[str] = "search_exchange_failed"

    def __init__(self, reason: ExchangeReason) -> None:
        super().__init__(f"exchange failed: {reason}")
        self.reason = reason


class FetchRefused(SearchUnavailable):
    """A page is not fetched, for `reason`; nothing was sent to the address in question."""

    code: ClassVar[str] = "search_fetch_refused"

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(f"fetch refused: {reason}")
        self.reason = reason


class ReadingFailed(SearchUnavailable):
    """A page could not be reduced to text in the time and memory given."""

    code: ClassVar[str] = "search_reading_failed"

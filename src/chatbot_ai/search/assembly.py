"""Builds the whole of grounding from plain parameters, as the operator's settings give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog
from ddgs.engines import ENGINES

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.ports import WebSearch
from chatbot_ai.search.address import AddressPolicy
from chatbot_ai.search.chain import SearchChain
from chatbot_ai.search.duckduckgo import DuckDuckGoSearch
from chatbot_ai.search.fetch import DEFAULT_USER_AGENT, PageFetch
from chatbot_ai.search.google import GoogleSearch
from chatbot_ai.search.grounding import Grounding
from chatbot_ai.search.json_api import is_web_url
from chatbot_ai.search.naver import NaverSearch
from chatbot_ai.search.reader import PageReader
from chatbot_ai.search.searxng import SearxngSearch

_log = structlog.get_logger(__name__)

DEFAULT_PROVIDERS = ("naver", "google", "searxng", "duckduckgo")


def build_grounding(
    providers: Sequence[str] = DEFAULT_PROVIDERS,
    *,
    google_api_key: str = "",
    search_engine_id: str = "",
    naver_client_id: str = "",
    naver_client_secret: str = "",
    searxng_url: str = "",
    results: int = 8,
    pages: int = 4,
    cache_entries: int = 512,
    cache_ttl_s: float = 900.0,
    page_limit_bytes: int = 2 * 1024 * 1024,
    readers: int = 2,
    user_agent: str = DEFAULT_USER_AGENT,
    denied_networks: Sequence[str] = (),
) -> Grounding:
    """Build the grounding of a service.

    providers        names in the order in which they are asked: google, naver, searxng, duckduckgo,
                     or another text engine of ddgs; those without their keys are left out
    denied_networks  further networks (CIDR) that no page is fetched from

    Raises ConfigurationError for an unknown provider, a wrong URL or a wrong network.
    """
    if searxng_url and not is_web_url(searxng_url):
        raise ConfigurationError("SEARXNG_URL must be an http or https URL without a user name")
    try:
        policy = AddressPolicy(denied=denied_networks)
    except ValueError as error:
        raise ConfigurationError(
            "SEARCH_DENIED_NETWORKS must hold networks like 10.0.0.0/8"
        ) from error
    known: dict[str, Callable[[], WebSearch] | None] = {
        name: partial(DuckDuckGoSearch, engine=name) for name in ENGINES["text"]
    }
    known["google"] = (
        partial(GoogleSearch, google_api_key, search_engine_id)
        if google_api_key and search_engine_id
        else None
    )
    known["naver"] = (
        partial(NaverSearch, naver_client_id, naver_client_secret)
        if naver_client_id and naver_client_secret
        else None
    )
    known["searxng"] = partial(SearxngSearch, searxng_url) if searxng_url else None
    chosen: list[WebSearch] = []
    for name in dict.fromkeys(providers):
        if name not in known:
            raise ConfigurationError(
                f"SEARCH_PROVIDERS: unknown provider {name!r}; valid are {', '.join(sorted(known))}"
            )
        make = known[name]
        if make is None:
            _log.info("search.provider_not_configured", provider=name)
        else:
            chosen.append(make())
    chain = SearchChain(chosen, cache_entries=cache_entries, cache_ttl_s=cache_ttl_s)
    return Grounding(
        chain if chosen else None,
        PageFetch(policy, user_agent=user_agent, max_bytes=page_limit_bytes),
        PageReader(workers=readers),
        results=results,
        pages=pages,
    )

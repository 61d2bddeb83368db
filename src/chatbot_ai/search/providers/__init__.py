"""The search providers that an operator can name, each in a file of its own.

A further one is a class with the rules of WebSearch (domain/ports.py), built from the values of
its settings, and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from ddgs.engines import ENGINES

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.ports import WebSearch
from chatbot_ai.search.providers.duckduckgo import DuckDuckGoSearch
from chatbot_ai.search.providers.google import GoogleSearch
from chatbot_ai.search.providers.naver import NaverSearch
from chatbot_ai.search.providers.searxng import SearxngSearch

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """`build` takes the values of `settings` in their order; all of them must be set."""

    build: Callable[..., WebSearch]
    settings: tuple[str, ...] = ()


#: By the names that SEARCH_PROVIDERS has; `duckduckgo` and others are text engines of ddgs.
PROVIDERS: dict[str, Provider] = {
    **{name: Provider(partial(DuckDuckGoSearch, engine=name)) for name in ENGINES["text"]},
    "google": Provider(GoogleSearch, ("google_api_key", "search_engine_id")),
    "naver": Provider(NaverSearch, ("naver_client_id", "naver_client_secret")),
    "searxng": Provider(SearxngSearch, ("searxng_url",)),
}
#: Every setting that a provider is built from.
PROVIDER_SETTINGS = tuple(name for known in PROVIDERS.values() for name in known.settings)


def build_providers(names: Sequence[str], settings: Mapping[str, str]) -> list[WebSearch]:
    """Build the named providers in their order, without those whose settings are not all there.

    Raises ConfigurationError for an unknown name or a setting that cannot be right.
    """
    providers = []
    for name in dict.fromkeys(names):
        known = PROVIDERS.get(name)
        if known is None:
            raise ConfigurationError(
                f"SEARCH_PROVIDERS: unknown provider {name!r};"
                f" valid are {', '.join(sorted(PROVIDERS))}"
            )
        values = [settings.get(setting, "") for setting in known.settings]
        if all(values):
            providers.append(known.build(*values))
        else:
            _log.info("search.provider_not_configured", provider=name)
    return providers

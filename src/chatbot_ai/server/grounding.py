"""Web search from the settings."""

from __future__ import annotations

from chatbot_ai.core.references import References
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.settings import Settings
from chatbot_ai.settings.kinds import listed, plain


def references(assistant: Assistant, shared: Settings) -> References:
    """What stands beside the newest input: for office the time, and web passages on request."""
    if assistant == "character":
        return References(zone=shared.zone, with_time=False)
    # the providers and the page reader are loaded where they are used
    from chatbot_ai.search.assembly import build_grounding  # noqa: PLC0415

    return References(
        zone=shared.zone,
        with_time=True,
        grounder=build_grounding(
            listed(shared.search_providers),
            google_api_key=plain(shared.google_api_key) or "",
            search_engine_id=shared.search_engine_id or "",
            naver_client_id=shared.naver_client_id or "",
            naver_client_secret=plain(shared.naver_client_secret) or "",
            searxng_url=shared.searxng_url or "",
            max_tokens=shared.search_tokens,
            denied_networks=listed(shared.search_denied_networks),
        ),
        search_s=shared.search_budget_s,
        rewrite=shared.search_rewrite,
    )

"""Who may call this installation: keys, or this machine only, and nothing between the two."""

from __future__ import annotations

from pathlib import Path

from chatbot_ai.access.keyed import KeyedAccess
from chatbot_ai.access.ledger import FILE, has_keys
from chatbot_ai.access.loopback import LoopbackAccess
from chatbot_ai.domain.access import is_loopback
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.domain.ports import Clock
from chatbot_ai.settings import Settings


def keys_file(shared: Settings) -> Path:
    """The file of keys that both services and the command line share."""
    return shared.data_dir / FILE


def is_published(shared: Settings) -> bool:
    """Whether other machines can reach the gateway."""
    return shared.gateway_host != "localhost" and not is_loopback(shared.gateway_host)


def build_access(shared: Settings, clock: Clock) -> KeyedAccess:
    """The access rules of these settings; not open yet."""
    # who comes through a trusted proxy may be anybody: then the address decides
    local = not is_published(shared) and not shared.trusted_proxies
    unkeyed = LoopbackAccess(
        anywhere=shared.trust_unkeyed_callers and local,
        origins=shared.allowed_origins,
        hosts=shared.trusted_names,
    )
    return KeyedAccess(keys_file(shared), unkeyed=unkeyed, clock=clock, zone=shared.zone)


def refuse_unguarded(shared: Settings) -> None:
    """Raise ConfigurationError where other machines could reach the gateway and no key exists."""
    if not is_published(shared) or has_keys(keys_file(shared)):
        return
    raise ConfigurationError(
        f"GATEWAY_HOST={shared.gateway_host} lets other machines reach the gateway, but there is "
        "no API key yet: create one with `chatbot-ai keys create`, or set "
        "GATEWAY_HOST=127.0.0.1 to serve this machine only"
    )

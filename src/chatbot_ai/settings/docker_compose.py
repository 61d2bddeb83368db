"""Settings that docker-compose.yml reads: of containers, not of what runs in them."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatbot_ai.settings.env_file import FileSettings
from chatbot_ai.settings.kinds import OptionalSecret, OptionalStr


class ComposeSettings(FileSettings):
    """Docker Compose itself replaces these in its files; `doctor --compose` reads them here."""

    model_config = SettingsConfigDict(env_file=".env")

    compose_file: str = Field(
        "docker-compose.yml",
        description="Compose files, separated by colons; with GPUs "
        "docker-compose.yml:docker-compose.gpu.yml.",
    )
    compose_profiles: OptionalStr = Field(
        None, description="monitoring: with Prometheus and Grafana, if their file is one of them."
    )
    compose_project_name: str = Field(
        "chatbot-ai", description="Name that containers, networks and volumes begin with."
    )
    run_uid: int = Field(1000, description="User of the services; `id -u` shows yours.")
    run_gid: int = Field(1000, description="Group of the services; `id -g` shows yours.")
    service_memory_limit: str = Field(
        "12g", description="Memory limit of office and of character, each."
    )
    mongo_containers: int = Field(
        1,
        ge=0,
        le=1,
        description="0: no MongoDB container; with MONGO_HOST= (SQLite) or MONGODB_URL.",
    )
    xllamacpp_index: OptionalStr = Field(
        None, description="Index of another build of the engine (CUDA)."
    )
    xllamacpp_sha256: OptionalStr = Field(
        None, description="Hash that the file from XLLAMACPP_INDEX must have."
    )
    grafana_admin_password: OptionalSecret = Field(
        None, description="Password of Grafana's user admin; needed with the monitoring file."
    )
    prometheus_port: int = Field(
        9090, description="Port of Prometheus on this machine, with the monitoring file."
    )
    grafana_port: int = Field(
        3000, description="Port of Grafana on this machine, with the monitoring file."
    )

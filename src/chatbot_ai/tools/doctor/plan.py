"""Which checks a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chatbot_ai.models.library import FileState, ModelLibrary
from chatbot_ai.tools.doctor import machine, services
from chatbot_ai.tools.doctor.check import Check, Finding, ok

#: RAM of one service beside its model: SPEC, section 8.
SERVICE_BYTES = 2_000_000_000
#: Checks of what containers bring along; the GPU file lifts the limit on locked memory.
IN_CONTAINERS = frozenset({"python", "nginx", "database", "folder", "memlock"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run here, as plain values.

    `models` maps a service to its model file (a name or path that the library knows), and has no
    entry for a service whose engine is elsewhere. `gpus` maps a service to its GPU's number, and is
    empty for a machine that is meant to run without; `wanted_gpus` are those that the settings
    name, there or not, and `spread` the services whose model lies on all. `sharers` use another
    service's engine and so its copy of the model. `cache_bytes` is the KV cache of one service.
    `mongodb_version` is the version that the deployment pins, None where MongoDB runs elsewhere or
    not at all. With `compose` all runs in containers, which bring Python, nginx, a database and
    their folders: only what they need of this machine is looked at. Secrets come as facts
    (`has_…`), but for `mongodb_url`. `is_published`: other machines reach the gateway.
    """

    library: ModelLibrary
    data_dir: Path
    log_dir: Path
    ports: Mapping[str, int]
    host: str = "127.0.0.1"
    gateway_hosts: Sequence[str] = ()
    slips: Sequence[Finding] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    gpus: Mapping[str, int] = field(default_factory=dict)
    wanted_gpus: frozenset[int] = frozenset()
    sharers: frozenset[str] = frozenset()
    spread: frozenset[str] = frozenset()
    cache_bytes: Mapping[str, int] = field(default_factory=dict)
    services: int = 2
    compose: bool = False
    wants_mlock: bool = True
    nginx_binary: str | None = None
    mongodb_url: str | None = field(default=None, repr=False)
    mongodb_version: str | None = None
    has_google_key: bool = False
    has_search_engine_id: bool = False
    has_openai_key: bool = False
    is_published: bool = False
    has_ai_notice: bool = True

    def checks(self) -> list[Check]:
        """Return every check of this configuration, in the order to read them."""
        sizes = {service: self._model_bytes(name) for service, name in self.models.items()}
        needs = {
            service: (0 if service in self.sharers else size) + self.cache_bytes.get(service, 0)
            for service, size in sizes.items()
        }
        on_gpu: dict[int, int] = {}
        for service, number in self.gpus.items():
            if service in self.spread:
                continue
            on_gpu[number] = on_gpu.get(number, 0) + needs.get(service, 0)
        on_all = sum(needs.get(service, 0) for service in self.spread)
        in_ram = sum(need for service, need in needs.items() if service not in self.gpus)
        largest = max((sizes[s] for s in sizes if s not in self.gpus), default=0)
        looks: dict[str, Callable[[], list[Finding]]] = {
            "python": machine.check_python,
            "cpu": partial(
                machine.check_cpu,
                runs_engine=bool(self.models),
                runs_mongodb=self.mongodb_version is not None,
            ),
            "kernel": partial(machine.check_kernel, mongodb_version=self.mongodb_version),
            "memory": partial(machine.check_memory, self.services * SERVICE_BYTES + in_ram),
            "disk": partial(machine.check_disk, self.library.folder, self._count_missing_bytes()),
            "gpu": partial(machine.check_gpu, on_gpu, self.wanted_gpus, spread_bytes=on_all),
            "docker": partial(services.check_docker, required=self.compose),
            "model": partial(services.check_models, self.library, tuple(self.models.values())),
            "port": partial(services.check_ports, self.ports, self.host, self.gateway_hosts),
            "nginx": partial(services.check_nginx, self.nginx_binary),
            "database": partial(services.check_database, self.mongodb_url, self.data_dir),
            "keys": partial(
                services.check_keys,
                has_google_key=self.has_google_key,
                has_search_engine_id=self.has_search_engine_id,
                has_openai_key=self.has_openai_key,
            ),
            "settings": lambda: list(self.slips) or [ok("settings", "settings_ok")],
            "notice": partial(
                services.check_ai_notice,
                is_published=self.is_published,
                ai_notice=self.has_ai_notice,
            ),
            "folder": partial(
                services.check_folders, {"data": self.data_dir, "logs": self.log_dir}
            ),
        }
        if self.wants_mlock and largest:
            looks["memlock"] = partial(machine.check_memlock, largest)
        brought = IN_CONTAINERS if self.compose else frozenset()
        return [Check(name, look) for name, look in looks.items() if name not in brought]

    def _model_bytes(self, name: str) -> int:
        status = self.library.look(name)
        if status is None:
            return 0
        here = status.size_bytes if status.state is FileState.PRESENT else 0
        return here or status.file.planned_bytes

    def _count_missing_bytes(self) -> int:
        """What is still to be downloaded, each file once."""
        statuses = {self.library.look(name) for name in self.models.values()}
        return sum(
            max(0, status.file.planned_bytes - status.size_bytes)
            for status in statuses
            if status is not None and status.state in (FileState.MISSING, FileState.PARTIAL)
        )

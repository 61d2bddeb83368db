"""The whole topology on one machine: engine, office, character and nginx as one group."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.server import engines
from chatbot_ai.server.engine_plan import EnginePlan, plan_engines
from chatbot_ai.server.engines import ModelChoice
from chatbot_ai.server.gateway_spec import gateway_spec
from chatbot_ai.server.guard import refuse_unguarded
from chatbot_ai.server.listeners import Listeners
from chatbot_ai.server.logs import DailyFile
from chatbot_ai.server.personas import LLAMA_FILE, OPENAI_FILE, read_personas
from chatbot_ai.server.probe import answers, fetch_body
from chatbot_ai.server.supervisor import ProcessSpec, Supervisor
from chatbot_ai.settings import Config, process_environment

#: Each of them ends the group in order.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Free space below which nothing is started: logs and conversations need some.
MIN_FREE_BYTES = 200 * 1024 * 1024
#: In the run folder; nginx.conf serves it to operators.
PROCESSES_FILE = "processes.json"
#: Seconds between two looks at the processes.
LOOK_EVERY_S = 0.5
#: Seconds between two questions; each costs the service a small write.
ASK_EVERY_S = 0.2
#: Seconds after which a model that still does not answer is no longer waited for.
MODEL_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """A local service's socket file; `has_engine` where its model belongs to the same group."""

    file: Path
    has_engine: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Everything that was planned, ready to be started; `models` of those with an engine here,
    `services` where the assistants are asked how they are."""

    specs: list[ProcessSpec]
    log_files: list[DailyFile]
    models: dict[Assistant, ModelChoice]
    gateway_url: str
    run_folder: Path
    services: list[Place]


def check(config: Config) -> None:
    """Raise ConfigurationError where something is in the way: a folder, a persona, no key."""
    shared = config.shared
    refuse_unguarded(shared)
    _check_folder(shared.log_dir, 0o700)
    # root's gateway has workers of another user, who must pass through to the run folder
    _check_folder(shared.data_dir, 0o711 if os.geteuid() == 0 else 0o700)
    _check_folder(shared.run_dir, 0o755)
    for file in (LLAMA_FILE, OPENAI_FILE):
        read_personas(shared.prompt_dir / file)


def plan(config: Config, listeners: Listeners) -> Group:
    """Decide what is to run and write the gateway's configuration, after `check`.

    Raises ConfigurationError where a model file or the gateway's configuration is wrong. The model
    files should be there: without one nothing is known of the memory that it takes.
    """
    shared = config.shared
    plans = plan_engines(config)
    log_files: list[DailyFile] = []

    def log_file(name: str) -> DailyFile:
        file = DailyFile(
            shared.log_dir, name, keep_days=shared.log_retention_days, zone=shared.zone
        )
        log_files.append(file)
        return file

    specs, environments = _engines(config, plans, listeners, log_file)
    gateway, user = gateway_spec(config, listeners, log_file("gateway").write)
    for name in ASSISTANTS:
        specs.append(
            _service(config, name, listeners, environments[name], log_file, gateway_user=user)
        )
    specs.append(gateway)
    models = {name: plan.model for plan in plans for name in plan.assistants}
    places = [Place(listeners.file(name), name in models) for name in ASSISTANTS]
    return Group(specs, log_files, models, shared.gateway_url, shared.run_dir, places)


async def run(group: Group, on_ready: Callable[[bool], None], on_stop: Callable[[], None]) -> None:
    """Start the group, call `on_ready` once all of it serves, and keep it until SIGINT or SIGTERM.

    `on_ready` is told whether the conversation store is down: the services serve what needs no
    memory meanwhile, and take the store up when it comes. `on_stop` is called when the end begins;
    everything has ended when this returns. Raises ConfigurationError if a part cannot start.
    """
    supervisor = Supervisor(group.specs, process_environment())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    supervisor.start()
    telling = asyncio.create_task(publish_states(supervisor, group.run_folder))
    stopped = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(_ready(supervisor, group))
    try:
        await asyncio.wait({stopped, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            on_ready(ready.result())
            watch = asyncio.create_task(supervisor.watch())
            await asyncio.wait({stopped, watch}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            watch.cancel()
    finally:
        for task in (stopped, ready, telling):
            task.cancel()
        on_stop()
        await supervisor.stop()
        for number in END_SIGNALS:
            # a Ctrl-C that is pressed again must not break the last steps off
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        for file in group.log_files:
            file.close()


async def _ready(supervisor: Supervisor, group: Group) -> bool:
    """Wait until everything serves; return whether the store is down."""
    await supervisor.wait_ready()
    return await is_store_away(group.services)


def _engines(
    config: Config,
    plans: list[EnginePlan],
    listeners: Listeners,
    log_file: Callable[[str], DailyFile],
) -> tuple[list[ProcessSpec], dict[Assistant, dict[str, str]]]:
    """The engines' processes, and what each assistant is told of its own."""
    specs: list[ProcessSpec] = []
    environments: dict[Assistant, dict[str, str]] = {name: {} for name in ASSISTANTS}
    for plan in plans:
        options = replace(plan.options, socket=str(listeners.file(plan.name)))
        first = config.assistant(plan.assistants[0])
        write = log_file(plan.name).write
        specs.append(engines.engine_spec(plan.name, options, first, plan.gpu, write))
        for assistant in plan.assistants:
            prefix = assistant.upper()
            environments[assistant] = {
                f"{prefix}_ENGINE_URL": options.url,
                f"{prefix}_ENGINE_API_KEY": options.api_key,
                f"{prefix}_ENGINE_MODEL": plan.model.name,
                f"{prefix}_CONTEXT_TOKENS": str(options.context_tokens),
                f"{prefix}_MAX_CONCURRENT": str(plan.slots[assistant]),
            }
    return specs, environments


def _service(
    config: Config,
    assistant: Assistant,
    listeners: Listeners,
    environment: dict[str, str],
    log_file: Callable[[str], DailyFile],
    *,
    gateway_user: int,
) -> ProcessSpec:
    settings = config.assistant(assistant)
    held, file = listeners.services[assistant], listeners.file(assistant)
    return ProcessSpec(
        name=assistant,
        command=[
            *(sys.executable, "-m", "chatbot_ai.cli.main", "serve", assistant),
            *("--port-fd", str(held.fileno())),
            *("--socket", str(file), "--socket-user", str(gateway_user)),
        ],
        # not /readyz: it speaks of store and model, and a service that waits for them is no
        # service that failed to start
        ready=lambda: answers(file, "/healthz"),
        sockets=[held],
        environment={**environment, "LOG_FORMAT": "none"},
        with_secrets=True,
        on_line=log_file(f"{assistant}-console").write,
        start_timeout_s=settings.engine_start_timeout_s + 30,
    )


def _check_folder(folder: Path, mode: int) -> None:
    """Make it, with `mode`, where it is not there; it must take files."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the folder {folder} cannot be written ({os.strerror(error.errno or 0)}); "
            "free some space or give this user the right to write there"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise ConfigurationError(
            f"the disk of {folder} has only {free // 1_000_000} MB left; free at least "
            f"{MIN_FREE_BYTES // 1_000_000} MB"
        )


async def publish_states(supervisor: Supervisor, folder: Path) -> None:
    """Write `folder`/processes.json again whenever a state or a count of restarts changes.

    Runs until cancelled. The file holds names, states, restarts and stalls, nothing else.
    """
    told = ""
    while True:
        states = [{"name": name, **child.to_dict()} for name, child in supervisor.children.items()]
        text = json.dumps({"processes": states}) + "\n"
        if text != told:
            with contextlib.suppress(OSError):  # a full disk: written as soon as there is room
                await asyncio.to_thread(_replace, folder / PROCESSES_FILE, text)
                told = text
        await asyncio.sleep(LOOK_EVERY_S)


async def read_state(folder: Path, name: str) -> dict[str, Any] | None:
    """The state of one process of the group that runs here; None where there is no such one."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        text = await asyncio.to_thread((folder / PROCESSES_FILE).read_text, encoding="utf-8")
        for found in json.loads(text)["processes"]:
            if found.pop("name") == name:
                return dict(found)
    return None


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


async def is_store_away(places: Sequence[Place]) -> bool:
    """Wait until every service's model answers, where it is the group's own, and return whether
    a store is down. A store is not waited for: the services recover by themselves."""
    states = await asyncio.gather(*(_wait_for_state(place) for place in places))
    return any(state.get("store", "ok") != "ok" for state in states)


async def _wait_for_state(place: Place) -> dict[str, Any]:
    state: dict[str, Any] = {}
    try:
        async with asyncio.timeout(MODEL_WAIT_S):
            while True:
                state = await _state(place.file) or state
                if state and (state.get("model") == "ok" or not place.has_engine):
                    return state
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        return state


async def _state(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(await fetch_body(file, "/readyz"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Which engines this machine is to run: who shares one, on which GPU, with how many slots."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from chatbot_ai.domain.conversation import ASSISTANTS, Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.llm.engine import EngineOptions
from chatbot_ai.models.gguf import ModelFacts, read_facts
from chatbot_ai.server.engines import ModelChoice, choose_model, engine_options
from chatbot_ai.server.sizing import EngineNeed, Wish, available_memory_bytes, share_out
from chatbot_ai.settings import AssistantSettings, Config

log = structlog.get_logger()

_QUERY = ("--query-gpu=index,memory.total", "--format=csv,noheader,nounits")
#: Seconds that nvidia-smi may take; it starts the driver where nothing else has.
SMI_TIMEOUT_S = 10
#: All GPUs taken together, as a number that no GPU has.
POOL = -1


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One engine: `slots` by assistant, `gpu` None where the processor does the work."""

    name: str
    assistants: tuple[Assistant, ...]
    model: ModelChoice
    gpu: int | None
    slots: dict[Assistant, int]
    options: EngineOptions
    need: EngineNeed


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What one assistant asks of an engine."""

    settings: AssistantSettings
    model: ModelChoice
    gpu: int | None
    facts: ModelFacts | None
    options: EngineOptions

    @property
    def terms(self) -> dict[str, Any]:
        """What two assistants must agree on to share an engine, by the setting's name."""
        terms = asdict(self.options) | {"gpu": self.gpu}
        for own in ("api_key", "slots", "socket"):
            del terms[own]
        layers = self.options.gpu_layers
        if self.gpu is None:
            terms["gpu_layers"] = 0
        elif self.facts is not None and layers > self.facts.layers:
            terms["gpu_layers"] = -1  # the output layer counts too: more than all is all
        return terms


def plan_engines(
    config: Config, names: Sequence[Assistant] = ASSISTANTS, *, say: bool = True
) -> list[EnginePlan]:
    """The engines of those of `names` that have none elsewhere.

    Assistants share one where model file, GPU and every engine setting agree; where only the file
    does, that is logged, as is whatever differs from the settings; not without `say`. Slots are
    sized over all these engines. Takes the time of an nvidia-smi.
    """
    found = gpu_memory_bytes()
    candidates = [
        _candidate(config, config.assistant(name), found)
        for name in names
        if not config.assistant(name).engine_url
    ]
    groups: list[list[_Candidate]] = []
    for candidate in candidates:
        match = next((g for g in groups if g[0].terms == candidate.terms), None)
        if match is None:
            if say:
                _log_why_not_shared(candidate, groups)
            groups.append([candidate])
        else:
            match.append(candidate)
    needs = _pool_gpus([_need(group) for group in groups], [group[0] for group in groups])
    given = share_out(needs, found | {POOL: sum(found.values())}, available_memory_bytes())
    plans = [
        _plan(*one, whole=len(groups) == 1 and len(names) > 1)
        for one in zip(groups, needs, given, strict=True)
    ]
    if say:
        for candidate in candidates:
            log_gpu_choice(candidate.settings, candidate.gpu, found)
        for plan in plans:
            _log_fewer_slots(plan)
    return plans


def _candidate(config: Config, settings: AssistantSettings, found: dict[int, int]) -> _Candidate:
    model = choose_model(settings, config)
    gpu = choose_gpu(settings, found)
    options = engine_options(settings, model, slots=1)
    try:
        facts = read_facts(model.path) if model.path.is_file() else None
    except ConfigurationError:
        # the engine will say what is wrong with the file; only `auto` cannot do without it
        if settings.slots == "auto":
            raise
        facts = None
    return _Candidate(settings, model, gpu, facts, options)


def _need(group: Sequence[_Candidate]) -> EngineNeed:
    first = group[0]
    facts, options = first.facts, first.options
    per_token = facts.cache_bytes_per_token(options.kv_cache_type) if facts else 0
    return EngineNeed(
        gpu=first.gpu,
        model_bytes=facts.file_bytes if facts else 0,
        slot_bytes=options.context_tokens * per_token,
        host_cache_mib=options.host_cache_mib,
        wishes=tuple(_wish(one.settings) for one in group),
    )


def _pool_gpus(needs: list[EngineNeed], candidates: Sequence[_Candidate]) -> list[EngineNeed]:
    """The same needs; where a model is spread over the GPUs, all on GPUs count as on one."""
    if all(one.gpu is None or one.options.split_mode == "none" for one in candidates):
        return needs
    return [need if need.gpu is None else replace(need, gpu=POOL) for need in needs]


def _wish(settings: AssistantSettings) -> Wish:
    wished = settings.max_concurrent
    if isinstance(wished, int):
        return Wish(settings.name, wished, "set")
    return Wish(settings.name, settings.default_slots, "auto" if wished else "default")


def _plan(
    group: Sequence[_Candidate], need: EngineNeed, slots: dict[Assistant, int], *, whole: bool
) -> EnginePlan:
    first = group[0]
    return EnginePlan(
        name="engine" if whole and len(group) > 1 else f"engine-{first.settings.name}",
        assistants=tuple(one.settings.name for one in group),
        model=first.model,
        gpu=first.gpu,
        slots=slots,
        options=replace(first.options, slots=sum(slots.values())),
        need=need,
    )


def _log_why_not_shared(candidate: _Candidate, groups: Sequence[Sequence[_Candidate]]) -> None:
    for group in groups:
        first = group[0]
        if first.model.path == candidate.model.path:
            theirs, own = first.terms, candidate.terms
            log.info(
                "engine.not_shared",
                model=candidate.model.name,
                assistants=[first.settings.name, candidate.settings.name],
                differ=sorted(name for name in own if own[name] != theirs[name]),
            )


def _log_fewer_slots(plan: EnginePlan) -> None:
    for wish in plan.need.wishes:
        if wish.kind == "default" and plan.slots[wish.assistant] < wish.number:
            log.warning(
                "engine.fewer_slots",
                assistant=wish.assistant,
                gpu=plan.gpu,
                slots=plan.slots[wish.assistant],
                default=wish.number,
            )


def gpu_memory_bytes() -> dict[int, int]:
    """Memory of every GPU by its number in PCI order, 0 where the driver does not tell; empty on
    a machine without nvidia-smi or with a broken driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        done = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split(",") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == len(("index", "memory"))]
    return {
        int(index): int(mib) << 20 if mib.isdecimal() else 0
        for index, mib in cells
        if index.isdecimal()
    }


def choose_gpu(settings: AssistantSettings, found: Mapping[int, int]) -> int | None:
    """The GPU that holds the assistant's model; None where the processor does.

    The wished one; the only one where there is one only, since a machine with one GPU is meant to
    use it. Of several none is guessed.
    """
    if settings.layers_on_gpu == 0 or not found:
        return None
    if settings.gpu_index in found:
        return settings.gpu_index
    return next(iter(found)) if len(found) == 1 else None


def log_gpu_choice(settings: AssistantSettings, gpu: int | None, found: Mapping[int, int]) -> None:
    """Log it where `gpu` is not the one that the settings name."""
    if settings.layers_on_gpu == 0 or not found or gpu == settings.gpu_index:
        return
    facts = {"assistant": settings.name, "wished": settings.gpu_index}
    if gpu is None:
        log.warning("gpu.absent", **facts, there=sorted(found))
    else:
        log.info("gpu.only_one", **facts, used=gpu)

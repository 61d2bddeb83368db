"""Who shares an engine, on which GPU, with how many slots; nvidia-smi is a program on PATH."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chatbot_ai.cli.doctor import plan_checks
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.server import engine_plan, sizing
from chatbot_ai.server.engine_plan import EnginePlan, plan_engines
from chatbot_ai.server.engines import engine_spec
from chatbot_ai.server.sizing import EngineNeed, Wish, share_out
from chatbot_ai.settings import Config, load_config
from support.gguf_files import sparse_gguf

GIB = 1 << 30
Q4_0, Q4_1 = 4_661_211_808, 5_130_000_000
RTX_3060, RTX_2080, LARGE = "12288", "8192", "81920"

Machine = Callable[..., Config]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A function that sets up GPUs, pulled models and settings, and reads the configuration."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(engine_plan, "available_memory_bytes", lambda: 64 * GIB)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(12)))

    def prepare(*gpus: str, models: tuple[str, ...] = ("Q4_0", "Q4_1"), **settings: str) -> Config:
        if gpus:
            rows = "".join(f"{number}, {mib}\\n" for number, mib in enumerate(gpus))
            program = folder / "nvidia-smi"
            program.write_text(f"#!/bin/sh\nprintf '{rows}'\n")
            program.chmod(0o755)
        for kind in models:
            name = f"QuantFactory/Meta-Llama-3.1-8B-Claude.{kind}.gguf"
            sparse_gguf(tmp_path / "models" / name, Q4_0 if kind == "Q4_0" else Q4_1)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return load_config(None)

    return prepare


def told(plans: list[EnginePlan]) -> list[tuple[str, int | None, dict[str, int]]]:
    return [
        (plan.name, plan.gpu, {str(name): count for name, count in plan.slots.items()})
        for plan in plans
    ]


def test_the_reference_machine(machine: Machine) -> None:
    """Two GPUs, two files: an engine each, with the slots that the documents promise."""
    plans = plan_engines(machine(RTX_3060, RTX_2080))
    assert told(plans) == [
        ("engine-office", 1, {"office": 2}),
        ("engine-character", 0, {"character": 4}),
    ]
    assert [plan.options.slots for plan in plans] == [2, 4]


def test_one_file_on_two_gpus_is_two_engines(machine: Machine) -> None:
    """With only Q4_0 pulled each assistant keeps its own GPU and slots; the log says why."""
    config = machine(RTX_3060, RTX_2080, models=("Q4_0",))
    with capture_logs() as events:
        plans = plan_engines(config)
    assert told(plans) == [
        ("engine-office", 1, {"office": 2}),
        ("engine-character", 0, {"character": 4}),
    ]
    (apart,) = [event for event in events if event["event"] == "engine.not_shared"]
    assert apart["differ"] == ["gpu"]


def test_one_gpu_is_used_by_both(machine: Machine) -> None:
    """Office's GPU 1 is not there: it uses the only one, says so, and shares what fits."""
    config = machine(RTX_3060, models=("Q4_0",))
    with capture_logs() as events:
        (plan,) = plan_engines(config)
    assert told([plan]) == [("engine", 0, {"office": 2, "character": 4})]
    only = [event for event in events if event["event"] == "gpu.only_one"]
    assert [(e["assistant"], e["wished"], e["used"]) for e in only] == [("office", 1, 0)]


def test_defaults_are_no_more_than_a_gpu_holds(machine: Machine) -> None:
    """Six default slots on 8 GB shrink to what fits, and the log says so."""
    config = machine(RTX_2080, models=("Q4_0",))
    with capture_logs() as events:
        (plan,) = plan_engines(config)
    assert plan.options.slots == 2
    assert {e["assistant"] for e in events if e["event"] == "engine.fewer_slots"} == {
        "office",
        "character",
    }


def test_two_models_on_one_gpu_count_together(machine: Machine) -> None:
    """Both files on one 12 GB GPU: no more than the one slot that each gets in any case."""
    plans = plan_engines(machine(RTX_3060))
    assert [plan.gpu for plan in plans] == [0, 0]
    assert [plan.options.slots for plan in plans] == [1, 1]


def test_a_set_number_is_given_whatever_fits(machine: Machine) -> None:
    """What the operator sets is the operator's business."""
    plans = plan_engines(machine(RTX_3060, RTX_2080, CHATBOT_MAX_CONCURRENT="7"))
    assert [plan.options.slots for plan in plans] == [7, 7]


@pytest.mark.parametrize(
    ("gpus", "models", "expected"),
    [
        ((RTX_3060, RTX_2080), ("Q4_0", "Q4_1"), [{"office": 2}, {"character": 6}]),
        ((LARGE,), ("Q4_0",), [{"office": 3, "character": 5}]),
        ((RTX_3060,), ("Q4_0",), [{"office": 2, "character": 4}]),
        ((), ("Q4_0",), [{"office": 3, "character": 5}]),
    ],
)
def test_auto_is_sized_once_for_each_engine(
    machine: Machine,
    gpus: tuple[str, ...],
    models: tuple[str, ...],
    expected: list[dict[str, int]],
) -> None:
    """Those who share an engine share its room; nobody counts the same memory twice."""
    config = machine(*gpus, models=models, CHATBOT_MAX_CONCURRENT="auto")
    assert [plan.slots for plan in plan_engines(config)] == expected


def test_auto_in_ram_subtracts_everything_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two engines in RAM: both models and both caches of prefixes come off before the slots."""
    monkeypatch.setattr(engine_plan, "available_memory_bytes", lambda: 24 * GIB)
    config = machine(CHATBOT_MAX_CONCURRENT="auto", CHATBOT_HOST_CACHE_MIB="1024")
    plans = plan_engines(config)
    room = int(24 * GIB * sizing.RAM_SHARE) - Q4_0 - Q4_1 - 2 * GIB
    slot = plans[0].need.slot_bytes
    assert slot == 8191 * 32 * 8 * 256 * 2
    assert sum(plan.options.slots for plan in plans) == room // slot == 3


def test_without_a_gpu_its_settings_keep_nobody_apart(machine: Machine) -> None:
    """Which GPU and how many layers make no difference where there is none."""
    (plan,) = plan_engines(machine(models=("Q4_0",)))
    assert told([plan]) == [("engine", None, {"office": 2, "character": 4})]


def test_as_many_layers_as_there_are_is_all(machine: Machine) -> None:
    """50 layers of a model with 32 and -1 mean the same; 20 do not."""
    assert len(plan_engines(machine(LARGE, models=("Q4_0",)))) == 1
    assert len(plan_engines(machine(LARGE, OFFICE_GPU_LAYERS="20"))) == 2


@pytest.mark.parametrize(
    ("setting", "value", "differ"),
    [
        ("OFFICE_CONTEXT_TOKENS", "4000", "context_tokens"),
        ("OFFICE_KV_CACHE_TYPE", "q8_0", "kv_cache_type"),
        ("OFFICE_THREADS", "3", "threads"),
        ("CHARACTER_HOST_CACHE_MIB", "9", "host_cache_mib"),
        ("CHARACTER_ROPE_SCALE", "1", "rope_scale"),
        ("OFFICE_ENGINE_PORT", "9999", "port"),
    ],
)
def test_every_setting_is_kept(machine: Machine, setting: str, value: str, differ: str) -> None:
    """A setting of one assistant makes an engine of its own instead of being dropped silently."""
    config = machine(models=("Q4_0",), **{setting: value})
    with capture_logs() as events:
        plans = plan_engines(config)
    assert len(plans) == 2
    assert [e["differ"] for e in events if e["event"] == "engine.not_shared"] == [[differ]]
    shown = {str(getattr(plan.options, differ)) for plan in plans}
    assert any(value in one for one in shown)
    assert len(shown) == 2


def test_the_bus_decides_which_gpu(machine: Machine) -> None:
    """CUDA counts as nvidia-smi does, and sees the GPU that was planned."""
    config = machine(RTX_3060, models=("Q4_0",))
    (plan,) = plan_engines(config)
    spec = engine_spec(plan.name, plan.options, config.office, plan.gpu, print)
    assert spec.environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert spec.environment["CUDA_VISIBLE_DEVICES"] == "0"


def test_a_model_that_is_spread_counts_on_all_gpus(machine: Machine) -> None:
    """SPLIT_MODE shows the engine every GPU, and their memory is one room for the slots."""
    changes = {"CHATBOT_SPLIT_MODE": "layer", "CHATBOT_TENSOR_SPLIT": "3,2", "CHATBOT_GPU": "0"}
    config = machine(RTX_3060, RTX_2080, models=("Q4_0",), CHATBOT_MAX_CONCURRENT="auto", **changes)
    (plan,) = plan_engines(config)
    assert plan.options.slots == sizing.MOST_SLOTS
    assert (plan.options.split_mode, plan.options.tensor_split) == ("layer", "3,2")
    spec = engine_spec(plan.name, plan.options, config.office, plan.gpu, print)
    assert "CUDA_VISIBLE_DEVICES" not in spec.environment
    assert plan_checks(config).spread == {"office", "character"}


@pytest.mark.parametrize("shares", ["3;2", "a", "1,", "-1", "1,2,"])
def test_shares_that_are_none_are_refused(machine: Machine, shares: str) -> None:
    """The setting is named, not llama.cpp's assertion."""
    with pytest.raises(ConfigurationError, match="TENSOR_SPLIT"):
        machine(CHATBOT_TENSOR_SPLIT=shares)


def test_a_gpu_that_is_not_there_is_said(machine: Machine) -> None:
    """Of several GPUs none is guessed: the processor does the work, with a warning."""
    config = machine(RTX_3060, RTX_2080, OFFICE_GPU="5")
    with capture_logs() as events:
        plans = plan_engines(config)
    assert [plan.gpu for plan in plans] == [None, 0]
    assert [(e["event"], e["wished"]) for e in events if e["log_level"] == "warning"] == [
        ("gpu.absent", 5)
    ]


def test_a_service_alone_counts_itself(machine: Machine) -> None:
    """In its own container a service plans its own engine only."""
    (plan,) = plan_engines(machine(RTX_2080, models=("Q4_1",)), ["office"])
    assert told([plan]) == [("engine-office", 0, {"office": 2})]


def test_an_engine_elsewhere_is_not_planned(machine: Machine) -> None:
    """The other assistant has the machine to itself."""
    (plan,) = plan_engines(machine(RTX_3060, OFFICE_ENGINE_URL="http://127.0.0.1:9"))
    assert told([plan]) == [("engine-character", 0, {"character": 4})]


def test_a_broken_file_is_left_to_the_engine(machine: Machine, tmp_path: Path) -> None:
    """Only `auto` needs to read it; a number can be planned without."""
    config = machine(models=())
    broken = tmp_path / "models/QuantFactory/Meta-Llama-3.1-8B-Claude.Q4_0.gguf"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"GGUF")
    assert plan_engines(config)[0].options.slots == 6
    with pytest.raises(ConfigurationError):
        plan_engines(machine(models=(), CHATBOT_MAX_CONCURRENT="auto"))


def test_a_cache_that_cannot_load_is_refused(machine: Machine) -> None:
    """A quantised cache needs flash attention: both settings are named."""
    config = machine(CHATBOT_FLASH_ATTENTION="false", OFFICE_KV_CACHE_TYPE="q8_0")
    with pytest.raises(ConfigurationError) as caught:
        plan_engines(config)
    assert "OFFICE_KV_CACHE_TYPE" in str(caught.value)
    assert "OFFICE_FLASH_ATTENTION" in str(caught.value)


def test_the_doctor_plans_what_will_run(machine: Machine) -> None:
    """A GPU that the settings name and the machine lacks is found by the real command's plan."""
    config = machine(RTX_3060, models=("Q4_0",))
    with capture_logs() as events:
        plan = plan_checks(config)
    # its findings say it, and its JSON is for programs
    assert events == []
    assert plan.wanted_gpus == {0, 1}
    assert plan.gpus == {"office": 0, "character": 0}
    assert plan.sharers == {"character"}
    assert plan.cache_bytes["character"] == 2 * plan.cache_bytes["office"]


def test_the_doctor_names_the_gpu_that_is_absent(machine: Machine, tmp_path: Path) -> None:
    """From the settings to the finding, with an nvidia-smi that knows one GPU."""
    config = machine(RTX_3060, models=("Q4_0",))
    program = tmp_path / "bin" / "nvidia-smi"
    row = "0, NVIDIA GeForce RTX 3060, 570.133.07, 12288, 11912, 8.6"
    program.write_text(f"#!/bin/sh\ncase $1 in *name*) echo '{row}';; *) echo '0, 12288';; esac\n")
    looks = {check.name: check.look for check in plan_checks(config).checks()}
    found = looks["gpu"]()
    assert [finding.message for finding in found] == ["gpu_ok", "gpu_absent"]
    assert found[1].facts["index"] == 1
    # one copy of the model, six slots of a GiB
    assert 10.5 < float(found[0].facts["needed_gb"]) < 11.5


def test_a_machine_without_nvidia_wishes_for_no_gpu(machine: Machine) -> None:
    """No GPU is meant there, so none is missing."""
    plan = plan_checks(machine(models=("Q4_0",)))
    assert (plan.wanted_gpus, plan.gpus) == (frozenset(), {})


def test_a_device_whose_memory_is_unknown_counts_as_ram() -> None:
    """A GPU that shares the machine's memory tells none of its own."""
    wishes = (Wish("office", 2, "auto"),)
    need = EngineNeed(0, GIB, GIB, 0, wishes)
    assert share_out([need], {0: 0}, 10 * GIB) == [{"office": 5}]

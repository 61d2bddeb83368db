"""Each engine setting reaches llama.cpp's own parameter."""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
import xllamacpp as llama

from chatbot_ai.domain.errors import EXIT_CONFIGURATION
from chatbot_ai.llm import engine_process
from chatbot_ai.llm.engine import EngineOptions, may_lock_memory, usable_threads
from chatbot_ai.llm.engine_process import parameters
from support.engines import options_for
from support.waiting import HANG_S

OPTIONS = options_for(
    Path(),
    port=12345,
    api_key="engine-key",
    slots=3,
    context_tokens=1000,
    threads=1,
    processor_batch_tokens=4096,
    processor_flash_attention=True,
    mlock=True,
)
FLASH = llama.llama_flash_attn_type
LOAD = llama.llama_load_mode
NUMA = llama.ggml_numa_strategy
SPLIT = llama.llama_split_mode
ROPE = llama.llama_rope_scaling_type


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    """Options for a model file that is there."""
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    return replace(OPTIONS, model_path=str(model))


#: Option, value, llama.cpp's parameter, what it must be.
EFFECTS = [
    ("port", 4242, "port", 4242),
    ("port", 4242, "hostnames", ["127.0.0.1"]),
    ("slots", 5, "n_parallel", 5),
    ("slots", 5, "n_ctx", 5000),
    ("context_tokens", 8191, "n_ctx", 24573),
    ("batch_tokens", 1024, "n_batch", 1024),
    ("processor_batch_tokens", 128, "n_batch", 128),
    ("processor_batch_tokens", 128, "n_ubatch", 128),
    ("micro_batch_tokens", 256, "n_ubatch", 256),
    ("flash_attention", True, "flash_attn_type", FLASH.LLAMA_FLASH_ATTN_TYPE_ENABLED),
    ("flash_attention", False, "flash_attn_type", FLASH.LLAMA_FLASH_ATTN_TYPE_DISABLED),
    ("processor_flash_attention", False, "flash_attn_type", FLASH.LLAMA_FLASH_ATTN_TYPE_DISABLED),
    ("continuous_batching", True, "cont_batching", True),
    ("continuous_batching", False, "cont_batching", False),
    ("kv_cache_type", "f16", "cache_type_k", llama.ggml_type.GGML_TYPE_F16),
    ("kv_cache_type", "q8_0", "cache_type_k", llama.ggml_type.GGML_TYPE_Q8_0),
    ("kv_cache_type", "q4_0", "cache_type_v", llama.ggml_type.GGML_TYPE_Q4_0),
    ("kv_offload", True, "no_kv_offload", False),
    ("kv_offload", False, "no_kv_offload", True),
    ("host_cache_mib", 77, "cache_ram_mib", 77),
    ("numa", True, "numa", NUMA.GGML_NUMA_STRATEGY_DISTRIBUTE),
    ("numa", False, "numa", NUMA.GGML_NUMA_STRATEGY_DISABLED),
    ("rope_scale", 2.0, "rope_freq_scale", 0.5),
    ("rope_scale", 2.0, "rope_scaling_type", ROPE.LLAMA_ROPE_SCALING_TYPE_LINEAR),
]


@pytest.mark.parametrize(("option", "value", "parameter", "expected"), EFFECTS)
def test_an_option_is_effective(
    options: EngineOptions, option: str, value: object, parameter: str, expected: object
) -> None:
    """The parameter that llama.cpp reads has the option's value."""
    params = parameters(replace(options, **{option: value}))  # type: ignore[arg-type]
    assert getattr(params, parameter) == expected


def test_what_is_always_so(options: EngineOptions) -> None:
    """Loopback, a key, no web page, no silent shifting of the context, one cache per slot.

    And no copy of every idle slot before each answer: one is parked when another takes its slot.
    """
    params = parameters(options)
    assert list(params.hostnames) == ["127.0.0.1"]
    assert list(params.api_keys) == ["engine-key"]
    assert (params.ui, params.ctx_shift, params.kv_unified, params.fit_params) == (
        False, False, False, False,
    )  # fmt: skip
    assert params.cache_idle_slots is False


def test_without_a_port_the_engine_listens_on_a_file(options: EngineOptions) -> None:
    """A path that ends in .sock, as llama.cpp's server tells files from addresses."""
    at_file = replace(options, port=0, socket="/run/ours/engine.sock")
    assert list(parameters(at_file).hostnames) == ["/run/ours/engine.sock"]
    assert at_file.url == "unix:/run/ours/engine.sock"


def test_without_rope_scaling_the_models_own_stays(options: EngineOptions) -> None:
    """1 leaves both parameters as llama.cpp has them."""
    untouched, params = llama.CommonParams(), parameters(replace(options, rope_scale=1.0))
    assert params.rope_scaling_type == untouched.rope_scaling_type
    assert params.rope_freq_scale == untouched.rope_freq_scale


@pytest.mark.parametrize(
    ("mlock", "mmap", "allowed", "expected"),
    [
        (True, True, True, LOAD.LLAMA_LOAD_MODE_MMAP_MLOCK),
        (True, False, True, LOAD.LLAMA_LOAD_MODE_MLOCK),
        (False, True, True, LOAD.LLAMA_LOAD_MODE_MMAP),
        (False, False, True, LOAD.LLAMA_LOAD_MODE_NONE),
        (True, False, False, LOAD.LLAMA_LOAD_MODE_NONE),
        (True, True, False, LOAD.LLAMA_LOAD_MODE_MMAP),
    ],
)
def test_memory(
    options: EngineOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    *, mlock: bool, mmap: bool, allowed: bool, expected: object,
) -> None:  # fmt: skip
    """How the file is loaded; a machine that does not allow locking goes on and says so."""
    monkeypatch.setattr(engine_process, "may_lock_memory", lambda _path: allowed)
    assert parameters(replace(options, mlock=mlock, mmap=mmap)).load_mode == expected
    assert ("mlock" in capsys.readouterr().err) == (mlock and not allowed)


def test_threads_beyond_the_machine_are_said(
    options: EngineOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    """More threads than processors only slow it: as many as there are, with a line of it."""
    here = len(os.sched_getaffinity(0))
    params = parameters(replace(options, threads=here + 10))
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == here
    assert str(here + 10) in capsys.readouterr().err
    assert (usable_threads(1), usable_threads(0)) == (1, 1)


@pytest.mark.parametrize(("gpu", "layers"), [(True, 50), (False, 0)])
def test_gpu_layers(
    options: EngineOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    *, gpu: bool, layers: int,
) -> None:  # fmt: skip
    """A machine without a GPU runs the whole model on its processor and says so."""
    types = llama.ggml_backend_dev_type
    found = types.GGML_BACKEND_DEVICE_TYPE_GPU if gpu else types.GGML_BACKEND_DEVICE_TYPE_CPU
    monkeypatch.setattr(llama, "get_device_info", lambda: [{"type": found}])
    params = parameters(replace(options, gpu_layers=50))
    assert params.n_gpu_layers == layers
    assert params.split_mode == llama.llama_split_mode.LLAMA_SPLIT_MODE_NONE
    assert ("GPU" in capsys.readouterr().err) == (not gpu)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("none", SPLIT.LLAMA_SPLIT_MODE_NONE),
        ("layer", SPLIT.LLAMA_SPLIT_MODE_LAYER),
        ("row", SPLIT.LLAMA_SPLIT_MODE_ROW),
    ],
)
def test_a_model_may_be_spread_over_gpus(
    options: EngineOptions, monkeypatch: pytest.MonkeyPatch, mode: str, expected: object
) -> None:
    """How, with which main GPU and in which shares; the rest of the shares are none."""
    found = llama.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
    monkeypatch.setattr(llama, "get_device_info", lambda: [{"type": found}] * 2)
    params = parameters(replace(options, split_mode=mode, main_gpu=1, tensor_split="3,1.5"))
    assert (params.split_mode, params.main_gpu) == (expected, 1)
    shares = list(params.tensor_split)
    assert shares[:2] == [3.0, 1.5]
    assert not any(shares[2:])


def test_every_option_is_tested() -> None:
    """A new option is given its line here."""
    elsewhere = {"socket", "model_path", "api_key", "threads", "gpu_layers", "mmap", "mlock"}
    elsewhere |= {"split_mode", "main_gpu", "tensor_split"}
    assert {f.name for f in fields(EngineOptions)} == elsewhere | {row[0] for row in EFFECTS}


def test_options_travel_by_standard_input() -> None:
    """They come out as they went in, and the key is not on the command line."""
    line = OPTIONS.standard_input()
    assert EngineOptions.from_json(line.decode()) == OPTIONS
    assert line.endswith(b"\n")
    assert OPTIONS.api_key not in " ".join(OPTIONS.command())


def test_locking_needs_room_for_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's limit decides; without a limit it is allowed."""
    model = tmp_path / "m"
    model.write_bytes(b"x" * 1000)
    for limit, expected in ((resource.RLIM_INFINITY, True), (1 << 40, True), (1000, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _which, limit=limit: (limit, limit))
        assert may_lock_memory(model) is expected


@pytest.mark.parametrize(
    ("content", "code"), [(None, EXIT_CONFIGURATION), (b"GGUF and then nonsense", 1)]
)
def test_a_model_that_cannot_be_loaded(tmp_path: Path, content: bytes | None, code: int) -> None:
    """A missing file ends the process for good, a broken one with a failure; both say why."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    options = replace(OPTIONS, model_path=str(path), mlock=False)
    ran = subprocess.run(
        options.command(),
        check=False,
        input=options.standard_input(),
        capture_output=True,
        timeout=HANG_S,
    )
    assert ran.returncode == code
    assert str(path) in ran.stderr.decode() or content is not None
    assert b"engine failed:" in ran.stderr

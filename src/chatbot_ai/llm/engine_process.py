"""The engine process: llama.cpp's own server, started with options from standard input.

It runs apart from the services because llama.cpp aborts the process on a CUDA error or a failed
assertion. Its log goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import xllamacpp as llama

from chatbot_ai.domain.errors import EXIT_CONFIGURATION
from chatbot_ai.llm.engine import EngineOptions, may_lock_memory, usable_threads

#: llama.cpp's levels: at 3 it keeps to itself what it made of the parameters, at 4 it says it once
#: while loading and writes some 2 kB a request; text of a prompt or an answer is in neither
#: (tests/integration/test_engine_log.py).
LOG_VERBOSITY = 4


def parameters(options: EngineOptions) -> llama.CommonParams:
    """llama.cpp's parameters for our options. What the machine cannot do is said and skipped."""
    params = llama.CommonParams()
    params.model.path = options.model_path
    # what /v1/models and every answer call it; without it the whole path
    params.model_alias = {Path(options.model_path).name.removesuffix(".gguf")}
    params.verbosity = LOG_VERBOSITY
    params.hostnames = ["127.0.0.1" if options.port else options.socket]
    params.port = options.port
    params.api_keys = [options.api_key]
    params.ui = False
    params.endpoint_metrics = True
    params.n_parallel = options.slots
    params.n_ctx = options.context_tokens * options.slots
    params.kv_unified = False
    params.fit_params = False
    params.ctx_shift = False
    has_gpu = _has_gpu()
    params.n_batch = options.batch_tokens
    on_processor = not has_gpu or options.gpu_layers == 0
    if on_processor:
        params.n_batch = min(options.batch_tokens, options.processor_batch_tokens)
        if params.n_batch < options.batch_tokens:
            say(f"on the processor a batch has {params.n_batch}, not {options.batch_tokens} tokens")
    params.n_ubatch = min(options.micro_batch_tokens, params.n_batch)
    threads = usable_threads(options.threads)
    if threads < options.threads:
        say(f"{options.threads} threads wished, {threads} processors here: using {threads}")
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = (
        llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if _wants_flash_attention(options, on_processor)
        else llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.cont_batching = options.continuous_batching
    cache_type = getattr(llama.ggml_type, f"GGML_TYPE_{options.kv_cache_type.upper()}")
    params.cache_type_k = cache_type
    params.cache_type_v = cache_type
    params.no_kv_offload = not options.kv_offload
    params.cache_ram_mib = options.host_cache_mib
    # a conversation is parked when another one takes its slot; by llama.cpp's default every answer
    # first waits until those of all idle slots are copied, which takes longer the longer they are
    params.cache_idle_slots = False
    params.numa = (
        llama.ggml_numa_strategy.GGML_NUMA_STRATEGY_DISTRIBUTE
        if options.numa
        else llama.ggml_numa_strategy.GGML_NUMA_STRATEGY_DISABLED
    )
    if options.rope_scale != 1:
        params.rope_scaling_type = llama.llama_rope_scaling_type.LLAMA_ROPE_SCALING_TYPE_LINEAR
        params.rope_freq_scale = 1 / options.rope_scale
    _memory(params, options)
    _gpu(params, options, has_gpu)
    return params


def _wants_flash_attention(options: EngineOptions, on_processor: bool) -> bool:
    if not on_processor or options.processor_flash_attention or options.kv_cache_type != "f16":
        return options.flash_attention
    if options.flash_attention:
        say("no flash attention on the processor, where it makes late turns slower")
    return False


def _has_gpu() -> bool:
    processor = llama.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return any(device["type"] != processor for device in llama.get_device_info())


def _memory(params: llama.CommonParams, options: EngineOptions) -> None:
    modes = llama.llama_load_mode
    lock = options.mlock and may_lock_memory(Path(options.model_path))
    if options.mlock and not lock:
        say("the memory-lock limit is too small for the model (ulimit -l): going on without mlock")
    if lock and options.mmap:
        params.load_mode = modes.LLAMA_LOAD_MODE_MMAP_MLOCK
    elif lock:
        params.load_mode = modes.LLAMA_LOAD_MODE_MLOCK
    elif options.mmap:
        params.load_mode = modes.LLAMA_LOAD_MODE_MMAP
    else:
        params.load_mode = modes.LLAMA_LOAD_MODE_NONE


def _gpu(params: llama.CommonParams, options: EngineOptions, has_gpu: bool) -> None:
    if not has_gpu and options.gpu_layers != 0:
        say("no GPU that this build can use: the whole model runs on the processor")
    params.n_gpu_layers = options.gpu_layers if has_gpu else 0
    # without a split one GPU holds the whole model, and CUDA_VISIBLE_DEVICES has chosen which
    params.split_mode = getattr(
        llama.llama_split_mode, f"LLAMA_SPLIT_MODE_{options.split_mode.upper()}"
    )
    params.main_gpu = options.main_gpu if has_gpu else 0
    if options.tensor_split and has_gpu:
        shares = [float(share) for share in options.tensor_split.split(",")]
        params.tensor_split = (shares + [0.0] * len(params.tensor_split))[
            : len(params.tensor_split)
        ]


def say(text: str, who: str = "engine") -> None:
    """Write a line; "engine failed" begins the one that says why it ends."""
    sys.stderr.write(f"{who}: {text}\n")
    sys.stderr.flush()


def main() -> None:
    """Read the options, load the model, serve until a signal ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    options = EngineOptions.from_json(sys.stdin.readline())
    if not Path(options.model_path).is_file():
        say(f"the model file {options.model_path} is missing", "engine failed")
        sys.exit(EXIT_CONFIGURATION)
    if not options.port:
        os.umask(0o077)
        Path(options.socket).unlink(missing_ok=True)  # of an engine that was killed
    try:
        server = llama.Server(parameters(options))
    except RuntimeError as error:
        say(
            f"the model {options.model_path} could not be loaded ({error}); check the file with "
            "`chatbot-ai models verify` and the memory with `chatbot-ai doctor`",
            "engine failed",
        )
        sys.exit(1)
    say(f"serving {options.model_path} at {server.listening_address}")
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

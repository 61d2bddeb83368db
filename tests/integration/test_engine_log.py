"""The table of engine settings in docs/operations.md, against a real engine's log and /props."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from support.engines import RunningEngine, options_for, running_engine

DOCUMENTS = [
    Path(__file__).resolve().parents[2] / "docs" / name
    for name in ("operations.md", "operations.ko.md")
]
PRIVATE = "Zaphod-7731"
#: Unlike llama.cpp's own defaults, so that a parameter that is dropped is seen.
CHANGED: dict[str, object] = {
    "slots": 3,
    "context_tokens": 768,
    "batch_tokens": 300,
    "processor_batch_tokens": 256,
    "micro_batch_tokens": 128,
    "threads": 1,
    "kv_cache_type": "q8_0",
    "rope_scale": 2.0,
    "host_cache_mib": 37,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One start of an engine: what it wrote until it served, what it wrote later, its /props."""

    loading: str
    serving: str
    props: dict[str, object]


def seen(folder: Path, model_file: Path, *, talk: bool = False, **changes: object) -> Seen:
    log = folder / "engine.log"
    with running_engine(options_for(model_file, **changes), log) as engine:
        loading = log.read_text("utf-8", "replace")
        headers = {"Authorization": f"Bearer {engine.options.api_key}"}
        with httpx2.Client(
            base_url=engine.url, headers=headers, trust_env=False, timeout=180
        ) as client:
            if talk:
                _talk(client, engine)
            props = client.get("/props").raise_for_status().json()
    return Seen(loading, log.read_text("utf-8", "replace")[len(loading) :], props)


def _talk(client: httpx2.Client, engine: RunningEngine) -> None:
    """Send the private word wherever a caller can put one; each way has its own line in a log."""
    said = [{"role": "user", "content": PRIVATE}]
    schema = {"name": "t", "schema": {"enum": [PRIVATE]}}
    for extra in (
        {},
        {"stop": [PRIVATE], "response_format": {"type": "json_schema", "json_schema": schema}},
        {"messages": [*said, {"role": "assistant", "content": PRIVATE}]},
    ):
        body = {"messages": said, "max_tokens": 4, **extra}
        client.post("/v1/chat/completions", json=body).raise_for_status()
    too_long = {"messages": [{"role": "user", "content": PRIVATE * engine.options.context_tokens}]}
    assert client.post("/v1/chat/completions", json=too_long).status_code == 400
    client.post("/v1/chat/completions/input_tokens", json={"messages": said}).raise_for_status()


@pytest.fixture(scope="module")
def changed(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """An engine whose every setting is another than the default, after some talk."""
    yield seen(tmp_path_factory.mktemp("changed"), model_file, talk=True, **CHANGED)


#: Setting of the table, and what the log says of the engine above.
LOGGED = [
    ("CONTEXT_TOKENS", r"n_ctx_slot = 768\b"),
    ("MAX_CONCURRENT", r"n_slots = 3\b"),
    ("BATCH_TOKENS", r"\bn_batch += 256\b"),
    ("PROCESSOR_BATCH_TOKENS", r"on the processor a batch has 256, not 300 tokens"),
    ("MICRO_BATCH_TOKENS", r"n_ubatch += 128\b"),
    ("FLASH_ATTENTION", r"flash_attn += enabled"),
    ("PROCESSOR_FLASH_ATTENTION", r"flash_attn += enabled"),
    ("KV_CACHE_TYPE", r"K \(q8_0\):.*V \(q8_0\):"),
    ("KV_OFFLOAD", r"CPU KV buffer size"),
    ("MMAP` / `MLOCK", r"load_mode = none"),
    ("THREADS", r"n_threads = 1\b"),
    ("ROPE_SCALE", r"\bfreq_scale += 0\.5\b"),
    ("HOST_CACHE_MIB", r"prompt cache is enabled, size limit: 37 MiB"),
]


@pytest.mark.parametrize(("setting", "line"), LOGGED)
def test_a_setting_is_seen_in_the_log(changed: Seen, setting: str, line: str) -> None:
    """What the engine says it made of a setting is what was set."""
    assert re.search(line, changed.loading), changed.loading[-4000:]


def test_props_tell_slots_and_context(changed: Seen) -> None:
    """/props agrees: the context is each slot's own, not a share of one."""
    generation = changed.props["default_generation_settings"]
    assert isinstance(generation, dict)
    assert (changed.props["total_slots"], generation["n_ctx"]) == (3, 768)


def test_nothing_that_was_said_is_logged(changed: Seen) -> None:
    """However a caller's words reach the engine, its log has none of them."""
    assert "stop processing" in changed.serving
    assert PRIVATE not in changed.loading + changed.serving
    assert PRIVATE.split("-", maxsplit=1)[0] not in changed.loading + changed.serving


def test_the_opposite_of_each_switch_is_seen(model_file: Path, tmp_path: Path) -> None:
    """Without flash attention, with mmap and mlock where it is allowed: the log says that too."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    room = model_file.stat().st_size + (1 << 30)
    may_lock = limit in (resource.RLIM_INFINITY, -1) or limit >= room
    other = seen(
        tmp_path,
        model_file,
        slots=1,
        context_tokens=512,
        flash_attention=False,
        mmap=True,
        mlock=True,
        rope_scale=1.0,
        threads=len(os.sched_getaffinity(0)) + 3,
    )
    assert re.search(r"flash_attn += disabled", other.loading)
    assert re.search(r"\bfreq_scale += 1\b", other.loading)
    mode = re.search(r"load_mode = (\S+?)\)", other.loading)
    assert mode is not None
    assert ("mlock" in mode[1], "mmap" in mode[1]) == (may_lock, True)
    assert ("memory-lock limit" in other.loading) != may_lock
    assert f"using {len(os.sched_getaffinity(0))}" in other.loading
    assert re.search(r"K \(f16\):.*V \(f16\):", other.loading)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_table_names_what_is_seen(document: Path) -> None:
    """Each setting above has its row, and the row names the words of the log."""
    rows = {
        row.split("|")[1].strip(): row.split("|")[4]
        for row in document.read_text("utf-8").splitlines()
        if row.startswith("| `") and row.count("|") == 5
    }
    words = {
        "CONTEXT_TOKENS": "n_ctx_slot",
        "MAX_CONCURRENT": "n_slots",
        "BATCH_TOKENS": "n_batch",
        "PROCESSOR_BATCH_TOKENS": "n_batch",
        "MICRO_BATCH_TOKENS": "n_ubatch",
        "FLASH_ATTENTION": "flash_attn",
        "PROCESSOR_FLASH_ATTENTION": "flash_attn",
        "KV_CACHE_TYPE": "K (f16)",
        "KV_OFFLOAD": "KV buffer size",
        "MMAP` / `MLOCK": "load_mode",
        "THREADS": "n_threads",
        "ROPE_SCALE": "freq_scale",
        "HOST_CACHE_MIB": "prompt cache is enabled",
    }
    assert set(words) == {setting for setting, _ in LOGGED}
    for setting, word in words.items():
        assert word in rows[f"`{setting}`"], setting

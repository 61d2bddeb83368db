"""Every test: no settings of this machine, no outer network, no blocked event loop."""

from __future__ import annotations

import functools
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadScopeScheduling

from support.engines import RunningEngine, demo_model, options_for, running_engine
from support.isolation import guard, own_variables

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
#: Folders whose tests need nothing but Python count as unit tests.
FOLDER_MARKERS = {"property": "unit", "style": "unit", "docs": "unit"}
#: Files of tests/e2e whose tests leave the session's one group of processes as they found it.
SHARED_DEPLOYMENT = {"test_contract.py", "test_bad_input.py", "test_api_examples.py"}
#: Kept out of the way: a browser's files are found through the real home.
BROWSERS = os.environ.get(
    "PLAYWRIGHT_BROWSERS_PATH", str(Path("~/.cache/ms-playwright").expanduser())
)
#: Functions of ours that may touch the disk in the loop: reading the set-up before anything is
#: served, and the log, whose lines are written at once so that none is lost in a crash.
MAY_BLOCK = {
    # the driver looks at a socket file and at certificates when it first connects
    "chatbot_ai/storage/predecessor.py": {"__init__", "records"},
    "chatbot_ai/server/stores.py": {"_sqlite_at"},
    "chatbot_ai/storage/mongodb_connection.py": {"_new_client", "access", "_prepare"},
    "chatbot_ai/api/openapi.py": {"complete_document"},
    "chatbot_ai/server/compose.py": {"build_app"},
    "chatbot_ai/settings/load.py": {"load_config"},
    "chatbot_ai/server/personas.py": {"read_personas"},
    "chatbot_ai/server/listeners.py": {"socket_folder"},
    "chatbot_ai/api/app.py": {"create_app"},
    "chatbot_ai/server/engines.py": {"choose_model"},
    "chatbot_ai/llm/llama.py": {"__init__"},
    "chatbot_ai/llm/openai.py": {"__init__"},
    "chatbot_ai/server/logs.py": {"_append", "close", "configure"},
    "chatbot_ai/api/middleware.py": {"_log_crash"},
}

# the machine's speed says nothing about a property; `make test-all` and `make fuzz` look longer
hypothesis_settings.register_profile("short", deadline=None, print_blob=True, max_examples=25)
hypothesis_settings.register_profile("long", deadline=None, print_blob=True, max_examples=250)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# hundreds of processes of ours are started, and each would compile our modules again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# a client reads the authorities' certificates when it is made, in 20 ms; nobody here needs them
httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)

# a shell that starts the tests in the background has SIGINT ignored, and children inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test is marked with its folder's name; those with a browser come last, as their library
    keeps a loop open in the thread of the tests."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(FOLDER_MARKERS.get(folder, folder))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """A file stays in one process, and so do the files that share one running deployment."""
    return ByDeployment(config, log)


class ByDeployment(LoadScopeScheduling):  # type: ignore[misc]  # xdist carries no types
    """Hands out tests by file; what `SHARED_DEPLOYMENT` names goes to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "shared deployment" if Path(file).name in SHARED_DEPLOYMENT else file


@pytest.fixture(scope="session", autouse=True)
def blocking_guard() -> Iterator[BlockBuster]:
    """A call of ours that blocks the event loop raises BlockingError where it happens."""
    with blockbuster_ctx("chatbot_ai") as blockbuster:
        for function in blockbuster.functions.values():
            for file, names in MAY_BLOCK.items():
                function.can_block_in(file, names)
        yield blockbuster


@pytest.fixture(autouse=True)
def _isolated(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """No setting of ours leaks in; home and working folder are empty; only loopback answers."""
    for name in own_variables(iter(os.environ)):
        monkeypatch.delenv(name)
    # tmp_path_factory would look through all of its folders each time
    empty = tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", BROWSERS)
    monkeypatch.setenv("HOME", empty)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{TESTS}")
    monkeypatch.chdir(empty)
    guard.closed = True
    yield
    guard.closed = False


@pytest.fixture(scope="session")
def model_file() -> Path:
    """The demo model in the repository's own models folder, fetched there once."""
    return demo_model()


@pytest.fixture(scope="session")
def engine(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """One real llama.cpp engine for all tests that leave it as they found it."""
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    # with flash attention answers that run together round alike, so equal texts show that nothing
    # crosses from one to another
    options = options_for(model_file, processor_flash_attention=True)
    with running_engine(options, log) as started:
        yield started

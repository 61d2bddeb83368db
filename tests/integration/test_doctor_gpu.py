"""The doctor's checks of GPUs and Docker, with programs on PATH that print what real ones do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.models.manifest import ModelFile
from chatbot_ai.tools.doctor.check import Finding, State
from chatbot_ai.tools.doctor.machine import check_gpu
from chatbot_ai.tools.doctor.plan import Plan
from chatbot_ai.tools.doctor.services import check_docker

GB = 10**9
Install = Callable[..., None]

RTX_3060 = "0, NVIDIA GeForce RTX 3060, 570.133.07, 12288, 11912, 8.6"
RTX_2080 = "1, NVIDIA GeForce RTX 2080, 570.133.07, 8192, 7801, 7.5"
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.1"
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)
DOCKER_INFO = (
    '{"ID":"6b1c","Containers":3,"Driver":"overlay2","ServerVersion":"28.2.2","Runtimes":'
    '{"io.containerd.runc.v2":{"path":"runc"},%s"runc":{"path":"runc"}},"DefaultRuntime":"runc",'
    '"CDISpecDirs":["/etc/cdi","/var/run/cdi"],"DiscoveredDevices":[%s],"Warnings":null}'
)
NO_DAEMON = '{"ID":"","Containers":0,"ServerVersion":"","Runtimes":null,"Warnings":null}'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that puts a program on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(
        name: str, output: str = "", *, status: int = 0, stderr: str = "", compose: str = "2.26.1-4"
    ) -> None:
        (folder / f"{name}.out").write_text(output)
        (folder / f"{name}.err").write_text(stderr)
        program = folder / name
        program.write_text(
            f"#!/bin/sh\nif [ \"$1\" = compose ]; then echo '{compose}'; exit; fi\n"
            f"/bin/cat '{folder}/{name}.out'\n/bin/cat '{folder}/{name}.err' >&2\nexit {status}\n"
        )
        program.chmod(0o755)

    return put


def codes(findings: list[Finding]) -> list[str]:
    return [finding.message for finding in findings]


def test_a_machine_without_a_gpu_is_fine(install: Install, tmp_path: Path) -> None:
    """No nvidia-smi and no card means CPU mode, which is no problem."""
    (found,) = check_gpu({}, pci=tmp_path)
    assert (found.state, found.message) == (State.OK, "gpu_none")


def test_a_card_without_a_driver_is_noticed(install: Install, tmp_path: Path) -> None:
    """A display device of NVIDIA's without nvidia-smi asks for the driver."""
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")
    (found,) = check_gpu({}, pci=tmp_path)
    assert (found.state, found.message) == (State.WARN, "gpu_no_driver")


def test_the_reference_gpus_are_fine(install: Install) -> None:
    """An RTX 3060 and an RTX 2080 hold what the two services put on them."""
    install("nvidia-smi", f"{RTX_3060}\n{RTX_2080}\n")
    found = check_gpu({0: 9 * GB, 1: 7 * GB})
    assert codes(found) == ["gpu_ok", "gpu_ok"]
    assert found[0].facts["name"] == "NVIDIA GeForce RTX 3060"
    assert found[0].facts["driver"] == "570.133.7"
    assert found[1].facts["capability"] == "7.5"


@pytest.mark.parametrize(
    ("line", "needed_gb", "code", "state"),
    [
        (RTX_3060, 13, "gpu_small", State.WARN),
        (RTX_3060.replace("11912", "2048"), 9, "gpu_taken", State.WARN),
        ("0, NVIDIA GeForce GTX 1080, 570.133.07, 8192, 8000, 6.1", 6, "gpu_slow", State.WARN),
        ("0, Tesla K40c, 525.60.13, 11441, 11441, 3.5", 6, "gpu_too_old", State.FAIL),
        (RTX_3060.replace("570.133.07", "470.256.02"), 6, "gpu_old_driver", State.FAIL),
        ("0, NVIDIA Thor, 580.00, [N/A], [N/A], 11.0", 6, "gpu_ok", State.OK),
    ],
)
def test_each_gpu_is_judged(
    install: Install, line: str, needed_gb: int, code: str, state: State
) -> None:
    """Memory, driver and age each have a finding of their own; [N/A] counts as unknown."""
    install("nvidia-smi", f"{line}\n")
    (found,) = check_gpu({0: needed_gb * GB})
    assert (found.message, found.state) == (code, state)


def test_a_gpu_that_the_settings_name_must_be_there(install: Install) -> None:
    """Settings for two GPUs on a machine with one are noticed."""
    install("nvidia-smi", f"{RTX_3060}\n")
    found = check_gpu({0: 6 * GB, 1: 6 * GB})
    assert codes(found) == ["gpu_ok", "gpu_absent"]
    assert found[1].facts == {"index": 1, "count": 1}


@pytest.mark.parametrize(
    ("spread_gb", "codes_expected"),
    [(16, ["gpu_ok", "gpu_ok"]), (21, ["gpu_taken", "gpu_taken"]), (30, ["gpu_small"] * 2)],
)
def test_a_spread_model_is_shared_by_memory(
    install: Install, spread_gb: int, codes_expected: list[str]
) -> None:
    """What lies on all GPUs together takes of each according to its size."""
    install("nvidia-smi", f"{RTX_3060}\n{RTX_2080}\n")
    found = check_gpu({}, spread_bytes=spread_gb * GB)
    assert codes(found) == codes_expected
    assert [float(one.facts["needed_gb"]) for one in found] == pytest.approx(
        [spread_gb * 0.6, spread_gb * 0.4], abs=0.1
    )


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (18, MISMATCH, "gpu_mismatch"),
        (9, NOT_LOADED, "gpu_not_loaded"),
        (255, "Unknown Error", "gpu_broken"),
    ],
)
def test_a_broken_driver_is_named(install: Install, status: int, text: str, code: str) -> None:
    """nvidia-smi's exit code tells what is wrong with the driver."""
    install("nvidia-smi", text, status=status)
    (found,) = check_gpu({})
    assert (found.message, found.state) == (code, State.FAIL)


@pytest.mark.parametrize(
    ("runtime", "device", "has_tool", "code"),
    [
        ('"nvidia":{"path":"nvidia-container-runtime"},', "", True, "toolkit_ok"),
        ("", '{"Source":"cdi","ID":"nvidia.com/gpu=all"}', True, "toolkit_ok"),
        ("", "", True, "toolkit_unconfigured"),
        ("", "", False, "toolkit_missing"),
    ],
)
def test_docker_must_see_the_gpus(
    install: Install, runtime: str, device: str, has_tool: bool, code: str
) -> None:
    """Through the runtime or CDI; otherwise the finding tells configuring from installing."""
    install("nvidia-smi", f"{RTX_3060}\n")
    install("docker", DOCKER_INFO % (runtime, device))
    if has_tool:
        install("nvidia-ctk")
    assert codes(check_docker()) == ["docker_ok", code]


def test_docker_is_optional_but_must_answer(install: Install) -> None:
    """No Docker is fine; a daemon that cannot be reached is a warning; without a GPU no toolkit."""
    assert codes(check_docker()) == ["docker_none"]
    install("docker", NO_DAEMON, status=1, stderr="Cannot connect to the Docker daemon")
    assert codes(check_docker()) == ["docker_unreachable"]
    install("docker", "panic: not JSON")
    assert codes(check_docker()) == ["docker_unreachable"]
    install("docker", DOCKER_INFO % ("", ""))
    assert codes(check_docker()) == ["docker_ok"]


@pytest.mark.parametrize(
    ("engine", "compose", "expected"),
    [
        ("29.1.3", "2.40.3", ["docker_ok"]),
        ("28.0.0", "v5.0.1", ["docker_ok"]),
        ("27.5.1", "2.26.1-4", ["docker_loopback"]),
        ("26.1.5+dfsg1", "2.25.0", ["docker_loopback", "compose_old"]),
        ("24.0.9", "2.26.0", ["docker_old"]),
        ("20.10.24+dfsg1", "1.29.2", ["docker_old", "compose_old"]),
    ],
)
def test_docker_must_be_new_enough(
    install: Install, engine: str, compose: str, expected: list[str]
) -> None:
    """Too old for the compose file is worse than old enough to open loopback ports to others."""
    info = DOCKER_INFO.replace("28.2.2", engine) % ("", "")
    install("docker", info, compose=compose)
    found = check_docker()
    assert codes(found) == expected
    assert {one.state for one in found} <= {State.OK, State.WARN}
    required = {one.message: one.state for one in check_docker(required=True)}
    assert all(state is State.FAIL for code, state in required.items() if code.endswith("_old"))


def test_compose_needs_docker(install: Install) -> None:
    """Where the deployment is to run in containers, nothing works without it."""
    assert [(one.message, one.state) for one in check_docker(required=True)] == [
        ("docker_missing", State.FAIL)
    ]
    install("docker", NO_DAEMON, status=1)
    assert [one.state for one in check_docker(required=True)] == [State.FAIL]


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ({"office": 0, "character": 1}, ["gpu_ok", "gpu_ok"]),
        ({"office": 0}, ["gpu_ok", "gpu_ok"]),
        ({"office": 1, "character": 1}, ["gpu_ok", "gpu_small"]),
    ],
)
def test_services_that_share_a_gpu_are_added_up(
    install: Install, tmp_path: Path, gpus: dict[str, int], expected: list[str]
) -> None:
    """Models and caches of all services on one GPU are compared with its memory."""
    install("nvidia-smi", f"{RTX_3060}\n{RTX_2080}\n")
    known = tuple(
        ModelFile(name, PurePosixPath(name), None, size_bytes=4 * GB) for name in ("a", "b")
    )
    plan = Plan(
        ModelLibrary(tmp_path, known=known),
        data_dir=tmp_path,
        log_dir=tmp_path,
        ports={},
        models={"office": "a", "character": "b"},
        gpus=gpus,
        cache_bytes={"office": GB, "character": GB},
    )
    look = {check.name: check.look for check in plan.checks()}
    assert codes(look["gpu"]()) == expected
    assert look["disk"]()[0].facts["needed_gb"] == 8.0
    in_ram = 5.0 * (2 - len(gpus))
    assert look["memory"]()[0].facts["needed_gb"] == 4.0 + in_ram

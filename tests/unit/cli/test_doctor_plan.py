"""What `doctor` is to look at, from settings and Compose's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chatbot_ai.cli.doctor import COMPOSE_MONGODB_VERSION, plan_checks
from chatbot_ai.settings import ComposeSettings, load_config

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT.joinpath("docker-compose.yml").read_text("utf-8")


def test_the_version_looked_for_is_the_one_that_compose_starts() -> None:
    """The kernel is compared with the MongoDB of docker-compose.yml."""
    image = re.search(r"^ *image: mongo:(\S+)$", COMPOSE, re.MULTILINE)
    assert image is not None
    assert image[1].startswith(f"{COMPOSE_MONGODB_VERSION}.")


@pytest.mark.parametrize(
    ("environment", "version"),
    [
        ({}, COMPOSE_MONGODB_VERSION),
        ({"MONGO_CONTAINERS": "0"}, None),
        ({"MONGO_CONTAINERS": "0", "MONGODB_URL": "mongodb://db.example"}, None),
    ],
)
def test_compose_brings_mongodb_unless_it_is_told_to_bring_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    version: str | None,
) -> None:
    """A .env that does not name MongoDB still starts one in Compose, on this machine's CPU."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    plan = plan_checks(load_config(), compose=True)
    assert plan.mongodb_version == version
    assert list(plan.ports) == ["gateway"]
    assert plan_checks(load_config()).ports.keys() == {"gateway", "office", "character"}


def test_every_variable_of_the_compose_files_is_documented() -> None:
    """What Compose replaces is a setting with a name, a default and a meaning."""
    text = "".join(path.read_text("utf-8") for path in sorted(ROOT.glob("docker-compose*.yml")))
    used = set(re.findall(r"\$\{([A-Z_0-9]+)", text))
    documented = re.findall(r"^#([A-Z_0-9]+)=", (ROOT / ".env.example").read_text("utf-8"), re.M)
    assert used - set(documented) == set()
    read_by_compose_itself = {"COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}
    assert {name.upper() for name in ComposeSettings.model_fields} - read_by_compose_itself <= used

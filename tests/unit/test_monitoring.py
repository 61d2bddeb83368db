"""The monitoring files ask for what the services give, and open nothing to the world."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from chatbot_ai.api.metrics import Metrics
from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.core.record import RequestRecord
from support.clocks import FakeClock

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/chatbot.json").read_text("utf-8"))
RULES = yaml.safe_load((MONITORING / "prometheus/rules.yml").read_text("utf-8"))
SCRAPING = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text("utf-8"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.monitoring.yml").read_text("utf-8"))
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
METRIC = re.compile(r"\bchatbot[_:][a-z0-9_:]+")
SELECTOR = re.compile(r"(chatbot_[a-z_]+)\{([^}]*)\}")


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Every sample name of /metrics after some requests, and the labels it has."""
    metrics = Metrics("office")
    queue = RequestQueue(slots=1, max_waiting=1, clock=FakeClock())
    metrics.watch(queue, queue, lambda: 0, lambda: 0)
    for outcome in ("answered", "refused"):
        metrics.observe(
            RequestRecord(
                outcome=outcome,
                model="m",
                total_s=1.0,
                queue_s=0.1,
                first_token_s=0.2,
                error_code="busy",
                backup=True,
            )
        )
    text = generate_latest(metrics.registry).decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (variable["definition"] for variable in DASHBOARD["templating"]["list"])


def test_every_metric_that_is_asked_for_exists(samples: dict[str, set[str]]) -> None:
    """Rules and panels name only metrics that /metrics gives or that a rule records."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert asked - set(samples) - recorded == set()
    assert len(asked) > 15


def test_every_label_that_is_asked_for_exists(samples: dict[str, set[str]]) -> None:
    """Selectors and groupings use labels that their metrics have."""
    for expression in expressions():
        names = METRIC.findall(expression)
        for metric, selector in SELECTOR.findall(expression):
            labels = set(re.findall(r"(\w+)\s*=", selector))
            assert labels <= samples[metric] | {"le"}, expression
        for grouping in re.findall(r"by \(([^)]*)\)", expression):
            known = set().union(*(samples.get(name, set()) for name in names))
            assert {label.strip() for label in grouping.split(",")} <= known, expression


def test_every_metric_is_shown(samples: dict[str, set[str]]) -> None:
    """No metric is collected for nothing: the dashboard draws each of them."""
    shown = {
        name
        for panel in panels()
        for target in panel["targets"]
        for name in METRIC.findall(target["expr"])
    }
    given = {name for name in samples if not name.endswith("_created")}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in given}
    assert families - {re.sub(r"_bucket$", "", name) for name in shown} == set()


def test_panels_stand_side_by_side() -> None:
    """Panels have ids of their own, do not cover each other, and use the provisioned source."""
    source = yaml.safe_load(
        (MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )["datasources"][0]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    for panel in panels():
        assert panel["datasource"]["uid"] == source["uid"]
        assert panel["description"]
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_asks_the_services_where_they_listen() -> None:
    """The scraped addresses are names and ports of docker-compose.yml, on a shared network."""
    (job,) = [job for job in SCRAPING["scrape_configs"] if job["job_name"] == "chatbot"]
    targets = dict(target.split(":") for target in job["static_configs"][0]["targets"])
    for name, port in targets.items():
        assert SERVICES[name]["environment"][f"{name.upper()}_PORT"] == port
        assert set(SERVICES[name]["networks"]) & set(COMPOSE["services"]["prometheus"]["networks"])
    assert SCRAPING["rule_files"] == ["rules.yml"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_monitors_are_shut_in(name: str) -> None:
    """Loopback ports, no root, no rights, pinned versions, a health check, and only on request."""
    service = COMPOSE["services"][name]
    assert service["profiles"] == ["monitoring"]
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])
    assert not service["user"].startswith("0")
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    for volume in service["volumes"]:
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            assert (ROOT / source).is_dir(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
        assert target.startswith("/")


def test_grafana_wants_a_password() -> None:
    """There is no default password and nobody is let in without one."""
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_ADMIN_PASSWORD:?")
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"


def test_alerts_say_what_to_do() -> None:
    """Every alert has a summary and an action."""
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 5
    for alert in alerts:
        assert alert["annotations"].keys() == {"summary", "action"}
        assert alert["labels"]["severity"] in ("page", "notice")


def test_unknown_figures_are_left_out() -> None:
    """No sample at all says that nothing is known; a 0 would say that nobody has to wait."""
    metrics = Metrics("office")
    queue = RequestQueue(slots=1, max_waiting=1, clock=FakeClock())
    queue.enter("a", 1e9)
    metrics.watch(queue, queue, lambda: None, lambda: 0)
    text = generate_latest(metrics.registry).decode()
    given = {s.name for f in text_string_to_metric_families(text) for s in f.samples}
    assert "chatbot_waiting" in given
    assert not given & {"chatbot_expected_wait_seconds", "chatbot_engine_restarts"}


def test_every_wait_is_in_the_histograms() -> None:
    """A wait that ended in a timeout counts like one that ended in a slot, and a first token like
    that of an answer that broke off; who was turned away at once did not wait."""
    metrics = Metrics("office")
    for record in (
        RequestRecord("answered", "m", total_s=2.0, queue_s=0.0, first_token_s=0.5),
        RequestRecord("failed", "m", total_s=9.0, queue_s=9.0, first_token_s=None),
        RequestRecord("cancelled", "m", total_s=3.0, queue_s=1.0, first_token_s=1.5),
        RequestRecord("refused", "m", total_s=4.0, queue_s=4.0, first_token_s=None),
        RequestRecord("refused", "m", total_s=0.0, queue_s=0.0, first_token_s=None),
        RequestRecord("limited", "", total_s=0.0, queue_s=0.0, first_token_s=None),
    ):
        metrics.observe(record)
    found = {name: metrics.registry.get_sample_value(f"chatbot_{name}", {"assistant": "office"})
             for name in ("queue_seconds_count", "queue_seconds_sum", "first_token_seconds_count",
                          "request_seconds_count")}  # fmt: skip
    assert list(found.values()) == [4, 14.0, 2, 1]

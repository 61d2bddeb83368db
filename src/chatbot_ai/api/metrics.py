"""What /metrics tells Prometheus: rates and distributions; no label comes from a caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chatbot_ai.core.queue import RequestQueue
from chatbot_ai.core.record import RequestRecord

#: Seconds; from a cached first token to the longest deadline.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)


class Metrics:
    """The metrics of one assistant, in a registry of its own; an observer of ended requests."""

    def __init__(self, assistant: str) -> None:
        self.registry = CollectorRegistry()
        self._label = {"assistant": assistant}
        names, registry = ["assistant"], self.registry
        self._requests = Counter(
            "chatbot_requests_total", "Ended requests.", [*names, "outcome"], registry=registry
        )
        self._errors = Counter(
            "chatbot_errors_total", "Errors by code.", [*names, "code"], registry=registry
        )
        self._backups = Counter(
            "chatbot_backup_answers_total", "Answers that a backup gave.", names, registry=registry
        )
        self._tokens = Counter(
            "chatbot_tokens_total",
            "Tokens: prompt (all), cached (part of prompt), completion, wasted (for callers gone).",
            [*names, "kind"],
            registry=registry,
        )
        self._queue = self._histogram(
            "chatbot_queue_seconds", "Waiting for a slot, whether or not one was given."
        )
        self._first = self._histogram("chatbot_first_token_seconds", "Request to first token.")
        self._total = self._histogram("chatbot_request_seconds", "Request to stored answer.")
        self._service = self._histogram("chatbot_service_seconds", "Slot given to answer stored.")

    def watch(
        self,
        queue: RequestQueue,
        remote_queue: RequestQueue,
        engine_restarts: Callable[[], int | None],
        outbox: Callable[[], int],
        engine_stalls: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Read these at every scrape. None stands for unknown: such a sample is left out."""
        gauges = _Live(
            self._label, queue, remote_queue, engine_restarts, outbox, engine_stalls=engine_stalls
        )
        self.registry.register(gauges)

    def observe(self, record: RequestRecord) -> None:
        label = self._label
        self._requests.labels(**label, outcome=record.outcome).inc()
        if record.error_code:
            self._errors.labels(**label, code=record.error_code).inc()
        if record.backup:
            self._backups.labels(**label).inc()
        for kind, amount in (
            ("prompt", record.prompt_tokens),
            ("cached", record.cached_tokens),
            ("completion", record.completion_tokens),
            ("wasted", record.wasted_tokens),
        ):
            self._tokens.labels(**label, kind=kind).inc(amount)
        if record.waited:
            self._queue.labels(**label).observe(record.queue_s)
        if record.first_token_s is not None:
            self._first.labels(**label).observe(record.first_token_s)
        if record.outcome == "answered":
            self._total.labels(**label).observe(record.total_s)
            self._service.labels(**label).observe(max(0.0, record.total_s - record.queue_s))

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, ["assistant"], buckets=BUCKETS, registry=self.registry)


class _Live(Collector):
    """Gauges that are read, not written."""

    def __init__(
        self,
        label: dict[str, str],
        queue: RequestQueue,
        remote_queue: RequestQueue,
        engine_restarts: Callable[[], int | None],
        outbox: Callable[[], int],
        *,
        engine_stalls: Callable[[], int | None],
    ) -> None:
        self._label, self._queue, self._remote = label, queue, remote_queue
        self._engine_restarts, self._outbox = engine_restarts, outbox
        self._engine_stalls = engine_stalls

    def collect(self) -> Iterator[GaugeMetricFamily]:
        queue, remote_queue = self._queue, self._remote
        for name, text, value in (
            ("chatbot_running", "Requests in a slot.", len(queue.running)),
            ("chatbot_waiting", "Requests in the queue.", len(queue.waiting)),
            ("chatbot_slots", "Most requests that run at once.", queue.slots),
            ("chatbot_max_waiting", "Places in the queue.", queue.max_waiting),
            ("chatbot_expected_wait_seconds", "For a newcomer.", queue.expected_wait_s()),
            ("chatbot_remote_running", "Requests to remote models.", len(remote_queue.running)),
            ("chatbot_remote_waiting", "Requests that wait for those.", len(remote_queue.waiting)),
            ("chatbot_engine_restarts", "Since the service started.", self._engine_restarts()),
            ("chatbot_engine_stalls", "Restarts of a stalled engine.", self._engine_stalls()),
            ("chatbot_outbox_turns", "Answered turns not stored yet.", self._outbox()),
        ):
            family = GaugeMetricFamily(name, text, labels=list(self._label))
            if value is not None:
                family.add_metric(list(self._label.values()), value)
            yield family

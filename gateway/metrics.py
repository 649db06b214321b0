"""Counters for operators: few labels, all of them from closed lists, none from what was received."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

# Seconds. 5 ms is an answer from memory, 10 to 50 a commit, 100 the bound that payments are to keep at
# 300/s; a second and more is a store that stalls, and 30 the longest that anybody may prefer to wait.
ANSWER_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # Memory, CPU and descriptors, under their usual names.
        self.answers = Counter(
            "gateway_answers_total",
            "Answers by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.answer_seconds = Histogram(
            "gateway_answer_seconds",
            "From a request's head to its answer, by route.",
            ["route"],
            buckets=ANSWER_BUCKETS_S,
            registry=self._registry,
        )
        self.refusals = Counter(
            "gateway_refusals_total", "Refusals by code.", ["code"], registry=self._registry
        )
        self.acceptances = Counter(
            "gateway_acceptances_total",
            "Payments by outcome of the claim.",
            ["outcome"],
            registry=self._registry,
        )
        self.reads_unremembered = Counter(
            "gateway_reads_unremembered_total",
            "Reads served while Redis was away, so that a replay would not have been noticed.",
            registry=self._registry,
        )
        self.rates_untold = Counter(
            "gateway_rates_untold_total",
            "Times that this worker held rate limits alone, because Redis could not be told.",
            registry=self._registry,
        )
        self.waiters = Gauge(
            "gateway_waiters",
            "Requests that wait for a payment to rest, or for the next event.",
            registry=self._registry,
        )
        self.undeclared = Counter(
            "gateway_undeclared_answers_total",
            "Answers that the operation does not declare, and that the OpenAPI document so lacks.",
            registry=self._registry,
        )
        self.accesses_dropped = Counter(
            "gateway_accesses_dropped_total",
            "Rows of the access log that could not be kept; the log itself says how many, too.",
            registry=self._registry,
        )
        self.accesses_waiting = Gauge(
            "gateway_accesses_waiting", "Rows of the access log not yet on record.", registry=self._registry
        )
        self.refusals_unrecorded = Counter(
            "gateway_refusals_unrecorded_total",
            "Refusals answered 503, because the audit log could not be written.",
            registry=self._registry,
        )

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self._registry)

"""Counters for operators: few labels, all of them from closed lists, none from what was received."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.answers = Counter(
            "gateway_answers_total",
            "Answers by route and status.",
            ["route", "status"],
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
            "gateway_waiters", "Requests that wait for a payment to rest.", registry=self._registry
        )
        self.undeclared = Counter(
            "gateway_undeclared_answers_total",
            "Answers that the operation does not declare, and that the OpenAPI document so lacks.",
            registry=self._registry,
        )
        self.refusals_unrecorded = Counter(
            "gateway_refusals_unrecorded_total",
            "Refusals answered 503, because the audit log could not be written.",
            registry=self._registry,
        )

    def page(self) -> bytes:
        """Return the page that Prometheus reads."""
        return generate_latest(self._registry)

"""Metrics of the registration at the orchestrator."""

from prometheus_client import CollectorRegistry, Counter, Gauge

OUTCOMES = ("ok", "refused", "unreachable", "invalid", "internal")


class RegistrationMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.registered = Gauge(
            "byoc_registered",
            "1 while the orchestrator confirms the registration.",
            registry=registry,
        )
        self.attempts = Counter(
            "byoc_registration_attempts",
            "Calls of the orchestrator, by outcome.",
            ["outcome"],
            registry=registry,
        )
        for outcome in OUTCOMES:
            self.attempts.labels(outcome=outcome)
        self.age = Gauge(
            "byoc_registration_age_seconds",
            "Seconds since the orchestrator's last answer without an error.",
            registry=registry,
        )

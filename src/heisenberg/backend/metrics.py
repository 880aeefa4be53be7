"""What Prometheus is told, from a registry of the application's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry


class Metrics:
    """The counters of one application. PLACEHOLDER: filled in by its owner."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

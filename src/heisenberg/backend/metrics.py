"""What Prometheus is told, from a registry of the application's own."""

from __future__ import annotations

import platform
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from heisenberg import __version__
from heisenberg.diagnosis.spending import CallOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from heisenberg.diagnosis.spending import Call

UNMATCHED = "unmatched"
"""Route of a request whose path is none of ours: paths are endless, series must not be."""
OTHER = "other"
"""Of a method, a decision or the like that is none of the known ones."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
DECISIONS = frozenset({"allowed", "refused", "failed_auth_refused", "degraded"})
"""Of the limiters; `degraded` is one that a process made alone because the store was away."""
OUTCOMES = frozenset({"finished", "invalid", "refused", "timed_out", "abandoned", "failed"})
"""Of an analysis: `invalid` is the request's fault, `refused` because too many were waiting,
`abandoned` when the client left or the service stopped, `failed` our own fault or the database's."""
ANSWER_SOURCES = frozenset({"model", "store"})
"""Of a model's answer: asked for now, or kept from before."""
REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUNDS = (*(str(bound) for bound in REQUEST_BUCKETS_S), "+Inf")
ANALYSIS_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class _Timing:
    """How long the requests of one method and route took."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(REQUEST_BUCKETS_S) + 1)
        self.seconds = 0.0


class _Answers:
    """The requests of one method, route and status."""

    __slots__ = ("count", "timing")

    def __init__(self, timing: _Timing) -> None:
        self.count = 0
        self.timing = timing


class _Requests(Collector):
    """Counts requests in plain numbers, and makes metrics of them when they are asked for.

    The event loop's thread alone counts, so there is nothing to lock; this takes a third of the time
    of the client library's own counters.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, int], _Answers] = {}
        self.timings: dict[tuple[str, str], _Timing] = {}

    def bind(self, method: str, route: str, status: int) -> _Answers:
        """The counters of a method, route and status; made when they are new."""
        key = method, route, status
        if key not in self.answers:
            timing = self.timings.setdefault((method, route), _Timing())
            self.answers[key] = _Answers(timing)
        return self.answers[key]

    def describe(self) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
        """The metrics without their numbers."""
        return (
            CounterMetricFamily(
                "heisenberg_http_requests",
                "Requests that were answered.",
                labels=["method", "route", "status"],
            ),
            HistogramMetricFamily(
                "heisenberg_http_request_duration_seconds",
                "From the first byte of a request to the last of its answer.",
                labels=["method", "route"],
            ),
        )

    def collect(self) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
        """The metrics as they are now."""
        requests, durations = self.describe()
        for (method, route, status), answers in self.answers.items():
            requests.add_metric([method, route, str(status)], answers.count)
        for labels, timing in self.timings.items():
            buckets = list(zip(_BOUNDS, accumulate(timing.counts), strict=True))
            durations.add_metric(list(labels), buckets, timing.seconds)
        return requests, durations


class Metrics:
    """The counters of one application; two of them in one process know nothing of each other.

    Every label's values are bounded, whatever clients send.
    """

    def __init__(self) -> None:
        """Declare everything, so that a scrape tells zero rather than nothing."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Gauge(
            "heisenberg_build_info",
            "Always 1; the labels tell what runs.",
            ["version", "python"],
            registry=registry,
        ).labels(__version__, platform.python_version()).set(1)
        self._requests = _Requests()
        registry.register(self._requests)
        self._in_flight = 0
        Gauge(
            "heisenberg_http_requests_in_flight",
            "Requests that are being answered.",
            registry=registry,
        ).set_function(lambda: self._in_flight)
        limited = Counter(
            "heisenberg_rate_limit_decisions_total",
            "What the limiters said.",
            ["decision"],
            registry=registry,
        )
        self._limited = {d: limited.labels(d).inc for d in sorted(DECISIONS | {OTHER})}
        self._retries = Counter(
            "heisenberg_retries_total",
            "Calls to others that failed and were tried again.",
            registry=registry,
        )
        self._analyses = Counter(
            "heisenberg_analyses_total",
            "Analyses that ended, however they did.",
            ["outcome", "engine"],
            registry=registry,
        )
        self._analysis_seconds = Histogram(
            "heisenberg_analysis_duration_seconds",
            "One analysis, with the wait for a worker.",
            ["engine"],
            buckets=ANALYSIS_BUCKETS_S,
            registry=registry,
        )
        calls = Counter(
            "heisenberg_model_calls_total",
            "Calls to models that ended; tries of one are one.",
            ["outcome"],
            registry=registry,
        )
        self._calls = {o: calls.labels(o.value) for o in CallOutcome}
        tokens = Counter(
            "heisenberg_model_tokens_total",
            "Tokens that models read and wrote.",
            ["direction"],
            registry=registry,
        )
        self._input_tokens, self._output_tokens = tokens.labels("input"), tokens.labels("output")
        self._cost = Counter(
            "heisenberg_model_cost_usd_total",
            "What these calls cost, as far as prices are known.",
            registry=registry,
        )
        answers = Counter(
            "heisenberg_model_answers_total",
            "Answers of models that were used, asked for now or kept from before.",
            ["source"],
            registry=registry,
        )
        self._answers = {source: answers.labels(source) for source in sorted(ANSWER_SOURCES)}
        self._circuits = Gauge(
            "heisenberg_model_circuit_open",
            "1 while a model is left alone because it failed too often.",
            ["model"],
            registry=registry,
        )
        self._known: dict[tuple[str, str | None, int], _Answers] = {}
        """By what `request_finished` is told."""

    def request_started(self) -> None:
        """Count a request in; `request_finished` must follow, whatever happens."""
        self._in_flight += 1

    def request_finished(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request out.

        Args:
            method: As the client sent it.
            route: The route's template, never the path; None or empty when no route fits.
            status: Of the answer; 499 when the client left before there was one.
            seconds: From its start to its end.
        """
        self._in_flight -= 1
        answers = self._known.get((method, route, status)) or self._bind(method, route, status)
        answers.count += 1
        timing = answers.timing
        timing.seconds += seconds
        timing.counts[bisect_left(REQUEST_BUCKETS_S, seconds)] += 1

    def limited(self, decision: str) -> None:
        """Count what a limiter said, one of `DECISIONS`."""
        (self._limited.get(decision) or self._limited[OTHER])()

    def retried(self) -> None:
        """Count a call that failed and will be tried again."""
        self._retries.inc()

    def analysis_finished(self, outcome: str, engine: str, seconds: float) -> None:
        """Count an analysis.

        Args:
            outcome: One of `OUTCOMES`.
            engine: `offline/1`, or provider and model: of the settings, never of a request.
            seconds: From its request to its document.
        """
        self._analyses.labels(outcome if outcome in OUTCOMES else OTHER, engine).inc()
        self._analysis_seconds.labels(engine).observe(seconds)

    def model_called(self, call: Call) -> None:
        """Count a call to a model, its tokens and its cost."""
        self._calls[call.outcome].inc()
        self._input_tokens.inc(call.input_tokens)
        self._output_tokens.inc(call.output_tokens)
        self._cost.inc(call.cost_usd)

    def model_answered(self, source: str) -> None:
        """Count an answer of a model, from one of `ANSWER_SOURCES`."""
        self._answers[source].inc()

    def watch_circuit(self, model: str, is_open: Callable[[], bool]) -> None:
        """Tell at each scrape whether a model is left alone.

        Args:
            model: `PROVIDER:MODEL`, of the settings.
            is_open: Whether it is.
        """
        self._circuits.labels(model).set_function(is_open)

    def watch_database(self, engine: AsyncEngine) -> None:
        """Tell of the engine's pool at each scrape."""

        def of_pool(read: Callable[[QueuePool], int]) -> Callable[[], float]:
            # The engine replaces its pool when it is disposed of, so the pool is not kept here.
            def value() -> float:
                pool = engine.pool
                return read(pool) if isinstance(pool, QueuePool) else 0

            return value

        for name, meaning, read in (
            ("size", "Connections that are kept open.", QueuePool.size),
            ("checked_out", "Connections in use.", QueuePool.checkedout),
            ("overflow", "Connections beyond the kept ones.", _overflow),
        ):
            Gauge(f"heisenberg_database_pool_{name}", meaning, registry=self.registry).set_function(
                of_pool(read)
            )

    def watch_workers(self, busy: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Tell of the analysis workers at each scrape.

        Args:
            busy: Analyses that run.
            waiting: Analyses that wait for a worker.
        """
        Gauge(
            "heisenberg_analysis_workers_busy", "Analyses that run.", registry=self.registry
        ).set_function(busy)
        Gauge(
            "heisenberg_analyses_waiting", "Analyses without a worker yet.", registry=self.registry
        ).set_function(waiting)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything as text.

        Args:
            accept: The client's `Accept`; it may ask for OpenMetrics.

        Returns:
            The text and its media type.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _bind(self, method: str, route: str | None, status: int) -> _Answers:
        """The counters of a combination that is new, or of the one it counts as."""
        known = method if method in METHODS else OTHER
        answers = self._requests.bind(known, route or UNMATCHED, status)
        if known == method:  # an invented method must not grow the dictionary either
            self._known[method, route, status] = answers
        return answers


def _overflow(pool: QueuePool) -> int:
    """SQLAlchemy counts up from minus the size."""
    return max(0, pool.overflow())

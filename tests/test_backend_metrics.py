from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from heisenberg import __version__
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import OTHER, UNMATCHED, Metrics
from heisenberg.diagnosis.spending import Call, CallOutcome

if TYPE_CHECKING:
    import httpx2
    from fastapi import FastAPI


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"heisenberg_{name}", labels)


def series(metrics: Metrics) -> int:
    return sum(len(family.samples) for family in metrics.registry.collect())


class TestRequests:
    def test_a_finished_request_is_counted_and_timed(self) -> None:
        """Requests are counted by method, route and status, and timed by method and route."""
        metrics = Metrics()
        metrics.request_started()
        metrics.request_finished("GET", "/health", 200, 0.02)

        labels = {"method": "GET", "route": "/health"}
        assert value(metrics, "http_requests_total", status="200", **labels) == 1
        assert value(metrics, "http_request_duration_seconds_sum", **labels) == 0.02
        assert (
            value(metrics, "http_request_duration_seconds_bucket", le="0.01", **labels),
            value(metrics, "http_request_duration_seconds_bucket", le="0.025", **labels),
        ) == (0, 1)

    def test_in_flight_is_those_started_and_not_finished(self) -> None:
        """The gauge goes up at the start and down at the end."""
        metrics = Metrics()
        metrics.request_started()
        metrics.request_started()
        metrics.request_finished("GET", "/health", 200, 0.1)

        assert value(metrics, "http_requests_in_flight") == 1

    def test_made_up_methods_and_paths_make_no_series(self) -> None:
        """Whatever clients send, the number of series and of kept entries is bounded."""
        metrics = Metrics()
        metrics.request_finished("BREW", None, 404, 0.1)
        before = series(metrics), len(metrics._known)
        for number in range(1000):
            metrics.request_finished(f"M{number}", None, 404, 0.1)

        assert before == (series(metrics), len(metrics._known))
        assert (
            value(metrics, "http_requests_total", method=OTHER, route=UNMATCHED, status="404")
            == 1001
        )

    def test_two_applications_do_not_share(self) -> None:
        """A second application in the process counts from zero, and its making does not fail."""
        first, second = Metrics(), Metrics()
        first.retried()

        assert (value(first, "retries_total"), value(second, "retries_total")) == (1, 0)


class TestOthers:
    def test_decisions_of_the_limiters(self) -> None:
        """Each decision is told from the start, and an unknown one counts as another."""
        metrics = Metrics()
        assert value(metrics, "rate_limit_decisions_total", decision="refused") == 0

        metrics.limited("refused")
        metrics.limited("made up")

        assert value(metrics, "rate_limit_decisions_total", decision="refused") == 1
        assert value(metrics, "rate_limit_decisions_total", decision=OTHER) == 1

    def test_analyses(self) -> None:
        """Analyses are counted by outcome and engine, and timed."""
        metrics = Metrics()
        metrics.analysis_finished("finished", "offline/1", 0.2)
        metrics.analysis_finished("odd", "offline/1", 0.2)

        engine = {"engine": "offline/1"}
        assert value(metrics, "analyses_total", outcome="finished", **engine) == 1
        assert value(metrics, "analyses_total", outcome=OTHER, **engine) == 1
        assert value(metrics, "analysis_duration_seconds_count", **engine) == 2

    def test_workers_are_asked_at_the_scrape(self) -> None:
        """The gauges tell what is so when they are read."""
        metrics = Metrics()
        busy = [1]
        metrics.watch_workers(lambda: len(busy), lambda: 7)
        busy.append(2)

        assert value(metrics, "analysis_workers_busy") == 2
        assert value(metrics, "analyses_waiting") == 7

    def test_calls_to_models(self) -> None:
        """Calls are counted by outcome, with their tokens and cost; every series is there from the start."""
        metrics = Metrics()
        before = series(metrics)
        call = Call("openai:m", "diagnosis-1", "f", CallOutcome.UNPROVEN, 900, 100, 0.25, 10.0)
        metrics.model_called(call)
        metrics.model_called(replace(call, outcome=CallOutcome.UNAVAILABLE, model="openai:n"))

        assert value(metrics, "model_calls_total", outcome="unproven") == 1
        assert value(metrics, "model_calls_total", outcome="unavailable") == 1
        assert value(metrics, "model_calls_total", outcome="answered") == 0
        assert value(metrics, "model_tokens_total", direction="input") == 1800
        assert value(metrics, "model_tokens_total", direction="output") == 200
        assert value(metrics, "model_cost_usd_total") == 0.5
        assert series(metrics) == before

    def test_answers_of_models(self) -> None:
        """What was asked for and what was kept from before is told apart."""
        metrics = Metrics()
        metrics.model_answered("model")
        metrics.model_answered("store")
        metrics.model_answered("store")

        assert value(metrics, "model_answers_total", source="model") == 1
        assert value(metrics, "model_answers_total", source="store") == 2

    def test_circuits_are_asked_at_the_scrape(self) -> None:
        """Each model's gauge tells whether it is left alone when it is read."""
        metrics = Metrics()
        alone = {"openai:m"}
        for model in ("openai:m", "openai:n"):
            metrics.watch_circuit(model, partial(alone.__contains__, model))
        before = value(metrics, "model_circuit_open", model="openai:m")
        alone.clear()

        assert before == 1
        assert value(metrics, "model_circuit_open", model="openai:m") == 0
        assert value(metrics, "model_circuit_open", model="openai:n") == 0

    async def test_database_pool(self, settings: Settings) -> None:
        """Connections in use are told, and those beyond the kept ones, after a dispose too."""
        pool = {"database_pool_size": 1, "database_max_overflow": 5}
        given = load_settings(_env_file=None, **{**settings.model_dump(exclude_unset=True), **pool})
        database, metrics = Database(given), Metrics()
        metrics.watch_database(database.engine)
        await database.engine.dispose()
        connections = [await database.engine.connect() for _ in range(3)]
        size = value(metrics, "database_pool_size")
        assert size is not None

        assert value(metrics, "database_pool_checked_out") == 3
        assert value(metrics, "database_pool_overflow") == max(0, 3 - size)
        for connection in connections:
            await connection.close()
        assert value(metrics, "database_pool_checked_out") == 0
        await database.close()

    def test_what_runs_is_told(self) -> None:
        """The version is a label, and the process's own figures are there."""
        metrics = Metrics()
        families = {f.name: f for f in metrics.registry.collect()}

        assert families["heisenberg_build_info"].samples[0].labels["version"] == __version__
        assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20


class TestEndpoint:
    async def test_prometheus_can_read_it(self, client: httpx2.AsyncClient) -> None:
        """Without a wish it is Prometheus's text, and needs no key."""
        answer = await client.get("/metrics", headers={"Accept": "*/*"})

        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "heisenberg_http_requests" in {f.name for f in prometheus(answer.text)}

    async def test_openmetrics_when_asked(self, client: httpx2.AsyncClient) -> None:
        """`Accept` chooses OpenMetrics, with its end mark."""
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        answer = await client.get("/metrics", headers={"Accept": accept})

        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        assert "heisenberg_http_requests" in {
            f.name
            for f in openmetrics(answer.text)  # type: ignore[no-untyped-call]  # the library's
        }

    async def test_it_is_not_limited(self, app: FastAPI, client: httpx2.AsyncClient) -> None:
        """However often it is scraped, it answers."""
        limit = app.state.shared.settings.rate_limit_per_minute
        statuses = {(await client.get("/metrics")).status_code for _ in range(limit + 10)}

        assert statuses == {200}

    async def test_requests_are_counted_by_route(
        self, app: FastAPI, client: httpx2.AsyncClient
    ) -> None:
        """The route's template is the label, and a path that is none of ours is no label at all."""
        await client.get("/livez")
        await client.get("/livez")
        await client.get("/no/such/path/3")
        metrics = app.state.shared.metrics

        request = {"method": "GET", "route": "/livez", "status": "200"}
        assert value(metrics, "http_requests_total", **request) == 2
        request = {"method": "GET", "route": UNMATCHED, "status": "404"}
        assert value(metrics, "http_requests_total", **request) == 1
        assert value(metrics, "http_requests_in_flight") == 0

    async def test_refusals_are_counted(self, app: FastAPI, client: httpx2.AsyncClient) -> None:
        """Both what the limiter lets through and what it refuses is counted."""
        burst = app.state.shared.settings.rate_limit_burst
        answers = await asyncio.gather(*(client.get("/health") for _ in range(burst * 2)))
        refused = sum(answer.status_code == 429 for answer in answers)
        metrics = app.state.shared.metrics

        assert refused > 0
        assert value(metrics, "rate_limit_decisions_total", decision="refused") == refused
        assert (
            value(metrics, "rate_limit_decisions_total", decision="allowed")
            == len(answers) - refused
        )

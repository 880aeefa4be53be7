from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import jsonschema
import pytest
from sqlalchemy import event, text

from heisenberg import __version__
from heisenberg.backend import health, migrate
from heisenberg.backend.app import create_app
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.health import (
    DatabaseHealthStatus,
    DetailedHealthResponse,
    HealthChecker,
    check_database_health,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from servers import Postgres

BOUND_S = health.PROBE_TIMEOUT_S + 0.5
"""A probe's limit, and what a busy machine adds."""


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    """The started application and who asks it."""
    app = create_app(settings)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://heisenberg") as client,
    ):
        yield app, client


def settings_for(url: str, **more: Any) -> Settings:
    """The defaults, on this database."""
    return load_settings(_env_file=None, database_url=url, rate_limit_burst=1000, **more)


class TestHealthCheck:
    async def test_health_endpoint_returns_200(self, client: httpx2.AsyncClient) -> None:
        """A service whose database answers says so to anybody, with 200."""
        answer = await client.get("/health")

        assert 200 == answer.status_code
        assert "application/json" == answer.headers["Content-Type"]

    async def test_health_includes_version(self, client: httpx2.AsyncClient) -> None:
        """Health tells which version runs."""
        answer = await client.get("/health")

        assert __version__ == answer.json()["version"]

    async def test_health_includes_status(self, client: httpx2.AsyncClient) -> None:
        """With nothing amiss, the status is healthy and there are no reasons."""
        answer = await client.get("/health")

        assert "healthy" == answer.json()["status"]
        assert [] == answer.json()["reasons"]

    async def test_health_includes_the_moment(self, client: httpx2.AsyncClient) -> None:
        """The timestamp is aware, and of the last second."""
        answer = await client.get("/health")

        seen = datetime.fromisoformat(answer.json()["timestamp"])
        assert timedelta(0) == seen.utcoffset()
        assert timedelta(0) <= datetime.now(UTC) - seen < timedelta(seconds=2)

    @pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
    async def test_no_answer_is_cached(self, client: httpx2.AsyncClient, path: str) -> None:
        """No proxy keeps an answer about now."""
        answer = await client.get(path)

        assert "no-store" == answer.headers["Cache-Control"]

    @pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
    async def test_head_answers_as_get(self, client: httpx2.AsyncClient, path: str) -> None:
        """HEAD has the status of GET: some orchestrators send nothing else."""
        answer = await client.head(path)

        assert 200 == answer.status_code

    @pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
    async def test_openapi_tells_the_truth(
        self, app: FastAPI, client: httpx2.AsyncClient, path: str
    ) -> None:
        """Each answer fits the schema that the documentation gives for its status, well or not."""
        document = app.openapi()
        well = await client.get(path)
        app.state.shared.stopping = True
        stopping = await client.get(path)

        for answer in (well, stopping):
            schema = document["paths"][path]["get"]["responses"][str(answer.status_code)]
            reference = schema["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), {**document, **reference})


class TestHealthDatabase:
    async def test_health_includes_database_status(self, client: httpx2.AsyncClient) -> None:
        """Health tells of the database in a part of its own."""
        answer = await client.get("/health")

        told = DetailedHealthResponse.model_validate(answer.json()).database
        assert isinstance(told, DatabaseHealthStatus)
        assert {"connected", "latency_ms", "error"} == set(answer.json()["database"])

    async def test_health_shows_db_connected_when_ok(self, client: httpx2.AsyncClient) -> None:
        """A database that answers is connected and has no error."""
        database = (await client.get("/health")).json()["database"]

        assert database["connected"] is True
        assert database["error"] is None

    async def test_health_shows_db_error_when_failed(self, own_postgres: Postgres) -> None:
        """A database that is away is told with a reason, without its address or password."""
        url = own_postgres.url().replace("postgres@", "postgres:hunter2secret@")
        async with served(settings_for(url)) as (_, client):
            own_postgres.stop()
            answer = await client.get("/health")

        database = answer.json()["database"]
        assert database == {"connected": False, "latency_ms": None, "error": "cannot connect"}
        assert "hunter2secret" not in answer.text
        assert str(own_postgres.port) not in answer.text

    async def test_health_includes_db_latency_ms(self, client: httpx2.AsyncClient) -> None:
        """The latency is that of the database: measured, in milliseconds."""
        start = time.perf_counter()
        answer = await client.get("/health")
        elapsed_ms = (time.perf_counter() - start) * 1000

        # No engine answers within 0.05 ms; seconds told as milliseconds would be below.
        assert 0.05 < answer.json()["database"]["latency_ms"] < elapsed_ms

    async def test_a_refusal_is_told_by_its_code(self, own_postgres: Postgres) -> None:
        """A database that answers with an error is told apart from one that is away."""
        async with served(settings_for(own_postgres.url("missing"))) as (_, client):
            answer = await client.get("/health")

        assert 503 == answer.status_code
        assert "refused with SQLSTATE 3D000" == answer.json()["database"]["error"]


class TestHealthDegraded:
    async def test_health_returns_503_when_db_down(self, own_postgres: Postgres) -> None:
        """When the database goes, health is unhealthy with 503; when it is back, healthy unaided."""
        settings = settings_for(own_postgres.url())
        await migrate.upgrade(settings)
        async with served(settings) as (app, client):
            before = await client.get("/health")
            own_postgres.stop()
            age(app)
            down = await client.get("/health")
            own_postgres.start()
            age(app)
            after = await client.get("/health")

        assert [200, 503, 200] == [a.status_code for a in (before, down, after)]
        assert ["healthy", "unhealthy", "healthy"] == [
            a.json()["status"] for a in (before, down, after)
        ]
        assert ["database_down"] == down.json()["reasons"]
        assert down.headers["Retry-After"].isdigit()

    async def test_health_returns_200_with_degraded_status(self, settings: Settings) -> None:
        """A database that answers, but slowly, makes it degraded, still with 200."""
        slow = settings.model_copy(update={"health_slow_ms": 0.001})
        async with served(slow) as (_, client):
            answer = await client.get("/health")

        assert 200 == answer.status_code
        assert "degraded" == answer.json()["status"]
        assert ["database_slow"] == answer.json()["reasons"]

    async def test_missing_migrations_degrade_it(self, empty_database_url: str) -> None:
        """Before the migrations it is degraded and not ready; after them, within a second, it is."""
        settings = settings_for(empty_database_url)
        async with served(settings) as (app, client):
            before, not_ready = await client.get("/health"), await client.get("/readyz")
            await migrate.upgrade(settings)
            age(app)
            after, ready = await client.get("/health"), await client.get("/readyz")

        assert (200, "degraded") == (before.status_code, before.json()["status"])
        assert ["migrations_behind"] == before.json()["reasons"]
        assert {"current": None, "head": migrate.head(), "state": "behind"} == before.json()[
            "migrations"
        ]
        assert (503, ["migrations_behind"]) == (not_ready.status_code, not_ready.json()["reasons"])
        assert ("healthy", "up_to_date") == (
            after.json()["status"],
            after.json()["migrations"]["state"],
        )
        assert 200 == ready.status_code

    async def test_newer_migrations_do_not_stop_it(self, settings: Settings) -> None:
        """While a newer version is rolled out, the older one goes on serving on its tables."""
        await set_revision(settings, "999")
        async with served(settings) as (_, client):
            answer, ready = await client.get("/health"), await client.get("/readyz")

        assert "healthy" == answer.json()["status"]
        assert "ahead" == answer.json()["migrations"]["state"]
        assert 200 == ready.status_code

    async def test_an_absent_limiter_store_degrades_it(self, settings: Settings) -> None:
        """A limiter that has lost its store makes it degraded, but it is ready all the same."""
        limiter = StoreOfLimits()
        checker = HealthChecker(settings, limiter)

        well = await checker.health()
        limiter.store_available = False
        away, ready = await checker.health(), await checker.readiness()
        await checker.close()

        assert ("healthy", "available") == (well.status, well.rate_limit_store)
        assert ("degraded", "away") == (away.status, away.rate_limit_store)
        assert ["rate_limit_store_away"] == away.reasons
        assert "ready" == ready.status


class TestReadiness:
    async def test_a_database_that_is_down_makes_it_not_ready(self, own_postgres: Postgres) -> None:
        """Nothing is sent to a process whose database is away, and it is not restarted for it."""
        async with served(settings_for(own_postgres.url())) as (_, client):
            own_postgres.stop()
            ready, alive = await client.get("/readyz"), await client.get("/livez")

        assert (503, ["database_down"]) == (ready.status_code, ready.json()["reasons"])
        assert 200 == alive.status_code

    async def test_a_stopping_process_is_not_ready(
        self, app: FastAPI, client: httpx2.AsyncClient
    ) -> None:
        """As soon as it is told to stop, new requests go elsewhere; it is alive until it ends."""
        app.state.shared.stopping = True

        ready, alive = await client.get("/readyz"), await client.get("/livez")

        assert (503, ["stopping"]) == (ready.status_code, ready.json()["reasons"])
        assert (200, {"status": "alive"}) == (alive.status_code, alive.json())

    async def test_liveness_touches_nothing(self, app: FastAPI, client: httpx2.AsyncClient) -> None:
        """`/livez` asks the database nothing."""
        counted = count_queries(app)

        answer = await client.get("/livez")

        assert 200 == answer.status_code
        assert [] == counted


class TestProbesAreBounded:
    async def test_a_hung_database_does_not_hang_a_probe(self, own_postgres: Postgres) -> None:
        """With a server that accepts and never answers, a probe ends within its second, and the
        connections that it gave up are gone when the server goes on.
        """
        settings = settings_for(own_postgres.url())
        await migrate.upgrade(settings)
        took_s = []
        async with served(settings) as (app, client):
            await client.get("/health")
            own_postgres.pause()
            try:
                for _ in range(4):
                    age(app)
                    start = time.perf_counter()
                    answer = await client.get("/health")
                    took_s.append(time.perf_counter() - start)
                    assert (503, f"no answer within {health.PROBE_TIMEOUT_S:g} s") == (
                        answer.status_code,
                        answer.json()["database"]["error"],
                    )
            finally:
                own_postgres.resume()
            age(app)
            after = await client.get("/health")
            pool = app.state.shared.health.engine.pool
            await nothing_abandoned()
            left = pool.checkedout()
            connections = own_postgres.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'heisenberg'"
            )

        assert max(took_s) < BOUND_S
        assert 200 == after.status_code
        assert 0 == left
        assert int(connections) <= 2

    async def test_a_storm_of_probes_asks_once(
        self, app: FastAPI, client: httpx2.AsyncClient
    ) -> None:
        """Of 500 probes at once one asks the database; within a second of it nobody does again."""
        checker = app.state.shared.health
        counted = count_queries(app)

        answers = await asyncio.gather(*(checker.health() for _ in range(500)))
        later = await client.get("/health")

        assert 1 == counted.count("SELECT 1")
        assert {"healthy"} == {a.status for a in answers}
        assert answers[0].timestamp == datetime.fromisoformat(later.json()["timestamp"])

    async def test_it_asks_again_after_a_second(self, settings: Settings) -> None:
        """A look serves for one second, by the clock, and what it costs then is one query."""
        seconds = [0.0]
        checker = HealthChecker(settings, StoreOfLimits(), clock=lambda: seconds[0])
        counted: list[str] = []
        event.listen(
            checker.engine.sync_engine,
            "before_cursor_execute",
            lambda _c, _k, statement, *_: counted.append(statement),
        )
        await checker.health()
        counted.clear()

        seconds[0] = health.MAX_AGE_S - 0.001
        await checker.health()
        young = list(counted)
        seconds[0] = health.MAX_AGE_S
        await checker.health()
        await checker.close()

        assert [] == young
        assert ["SELECT 1"] == [s for s in counted if not s.startswith("BEGIN")]

    async def test_a_client_that_leaves_does_not_end_the_look(self, settings: Settings) -> None:
        """The probe that started the look may go away; those who wait for it get their answer."""
        patient = settings.model_copy(update={"health_slow_ms": 1000.0})
        checker = HealthChecker(patient, StoreOfLimits())
        first = asyncio.create_task(checker.health())
        await asyncio.sleep(0)
        second = asyncio.create_task(checker.health())
        await asyncio.sleep(0)

        first.cancel()
        answer = await second
        await checker.close()

        assert "healthy" == answer.status

    async def test_a_busy_pool_is_no_dead_database(self, settings: Settings) -> None:
        """While requests hold every connection of the pool, health still reaches the database."""
        small = settings.model_copy(update={"database_pool_size": 1, "database_max_overflow": 0})
        async with served(small) as (app, client), app.state.shared.database.write() as session:
            await session.execute(text("SELECT 1"))
            answer = await client.get("/health")

        assert (200, "healthy") == (answer.status_code, answer.json()["status"])


class TestCheckDatabaseHealth:
    async def test_it_measures_a_database_that_answers(self, settings: Settings) -> None:
        """The result is True and the milliseconds that it took."""
        database = Database(settings)
        is_healthy, latency_ms = await check_database_health(database.sessions)
        await database.close()

        assert is_healthy is True
        assert 0 < latency_ms < 1000

    async def test_it_does_not_raise_when_the_database_is_away(self) -> None:
        """A refused connection is an answer, not an error."""
        database = Database(settings_for("postgresql://u:hunter2secret@127.0.0.1:1/x"))
        result = await check_database_health(database.sessions)
        await database.close()

        assert (False, 0.0) == result

    async def test_a_cancelled_probe_leaves_nothing_behind(self, settings: Settings) -> None:
        """Whoever stops waiting gets the cancellation, and the connection goes back."""
        database = Database(settings)
        await check_database_health(database.sessions)
        task = asyncio.create_task(check_database_health(database.sessions))
        for _ in range(2):  # its query is under way
            await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_abandoned()
        left = database.engine.pool.checkedout()  # type: ignore[attr-defined] # of a QueuePool
        await database.close()

        assert 0 == left


class StoreOfLimits:
    """Stands for the limiter with a shared store."""

    store_available = True


async def nothing_abandoned() -> None:
    """Wait until the looks that were cut short have given up their connections."""
    if health._abandoned:
        _, left = await asyncio.wait(health._abandoned, timeout=5)
        assert not left


def age(app: FastAPI) -> None:
    """Let what was seen count as old, without waiting."""
    app.state.shared.health._last = None


def count_queries(app: FastAPI) -> list[str]:
    """Every statement that the application sends from now on."""
    counted: list[str] = []
    for engine in (app.state.shared.health.engine, app.state.shared.database.engine):
        event.listen(
            engine.sync_engine,
            "before_cursor_execute",
            lambda _c, _k, statement, *_: counted.append(statement),
        )
    return counted


async def set_revision(settings: Settings, revision: str) -> None:
    """As if another version of the service had migrated."""
    database = Database(settings)
    async with database.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    await database.close()

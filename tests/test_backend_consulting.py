"""`POST /api/v1/analyze` with models: what they say, cost and are not told, end to end."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from analyze_requests import case_request
from heisenberg.backend import models
from heisenberg.backend.app import create_app
from heisenberg.backend.config import load_settings
from heisenberg.backend.services import organizations
from heisenberg.errors import EngineAuthenticationError, UsageError
from model_replies import agreeing, inventing
from model_server import KEY
from model_switches import HANG, OVERLOADED, SERVER_ERROR, UNAUTHORIZED, rate_limited
from servers import wait_until

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator

    from heisenberg.backend.config import Settings
    from heisenberg.backend.state import State
    from model_server import ModelServer
    from model_wires import Asked

CASE = Path(__file__).parent / "data" / "cases" / "null-coupon"
UNSURE = Path(__file__).parent / "data" / "cases" / "docpress-clock-behind"
"""The rules find its cause, and are not sure of it."""
TWO = Path(__file__).parent / "data" / "cases" / "two-causes-1"
ANALYZE = "/api/v1/analyze"
MODEL = "anthropic:claude-sonnet-5"


def settings_for(database_url: str, folder: Path, server: ModelServer, **more: Any) -> Settings:
    """A service that asks the server, and waits for nothing."""
    given = {
        "database_url": database_url,
        "data_dir": folder,
        "rate_limit_per_minute": 100_000,
        "rate_limit_burst": 100_000,
        "retry_base_delay": 0.001,
        "retry_max_delay": 0.002,
        "analysis_workers": 1,
        "model": MODEL,
        "model_url": server.anthropic_url,
        "anthropic_api_key": KEY,
    }
    return load_settings(_env_file=None, **{**given, **more})


class Service:
    """An application with two organizations."""

    def __init__(self, state: State, ours: httpx2.AsyncClient, theirs: httpx2.AsyncClient) -> None:
        self.state = state
        self.ours = ours
        self.theirs = theirs

    async def analyze(self, case: Path = CASE, *, theirs: bool = False) -> dict[str, Any]:
        client = self.theirs if theirs else self.ours
        answer = await client.post(ANALYZE, json=case_request(case))
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def usage(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ours.get("/api/v1/usage")).json()
        return found

    async def calls(self) -> list[models.ModelCall]:
        async with self.state.database.read() as session:
            return list(
                await session.scalars(select(models.ModelCall).order_by(models.ModelCall.id))
            )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        state: State = app.state.shared
        clients = []
        for name in ("ours", "theirs"):
            founded = await organizations.found(state.database, state.key_hasher, name)
            client = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
                base_url="http://heisenberg",
                headers={"X-API-Key": founded.key.key},
                timeout=30,
            )
            clients.append(await stack.enter_async_context(client))
        yield Service(state, *clients)


@pytest.fixture
async def service(
    database_url: str, tmp_path: Path, model_server: ModelServer
) -> AsyncIterator[Service]:
    """It runs on both engines; its model agrees with the rules."""
    model_server.answer = agreeing
    async with running(settings_for(database_url, tmp_path, model_server)) as service:
        yield service


class TestAsked:
    async def test_the_model_is_asked_and_believed(
        self, service: Service, model_server: ModelServer
    ) -> None:
        """Its diagnosis is answered, stored with what it took, and found again."""
        found = await service.analyze()

        said = found["incidents"][0]["diagnosis"]
        again = (await service.ours.get(f"/api/v1/analyses/{found['analyses'][0]['id']}")).json()
        async with service.state.database.read() as session:
            row = (await session.scalars(select(models.Analysis))).first()
        assert (MODEL, "diagnosis-1") == (said["engine"], said["prompt"])
        assert said == again["incident"]["diagnosis"]
        assert row is not None
        assert (MODEL, "diagnosis-1") == (row.engine, row.prompt)
        assert (said["input_tokens"], said["cost_usd"]) == (
            row.input_tokens,
            pytest.approx(row.cost_usd),
        )
        assert row.stated_confidence is not None
        assert 0 < row.stated_confidence <= said["confidence"]
        assert 1 == len(model_server.requests)

    async def test_one_call_a_cause(self, service: Service, model_server: ModelServer) -> None:
        """However many tests it took."""
        found = await service.analyze(TWO)

        assert 2 == len(found["incidents"]) == len(model_server.requests)
        assert len(found["analyses"]) > 2

    async def test_usage_sums_what_was_paid(self, service: Service) -> None:
        """By day and model, in calls, tokens and money; of the organization alone."""
        found = await service.analyze(TWO)
        costs = [i["diagnosis"]["cost_usd"] for i in found["incidents"]]

        usage = await service.usage()
        theirs = (await service.theirs.get("/api/v1/usage")).json()

        assert (2, 2) == (usage["total"]["calls"], usage["total"]["answered"])
        assert sum(costs) == pytest.approx(usage["total"]["cost_usd"], abs=1e-5)
        assert MODEL == usage["items"][0]["model"]
        assert 0 == usage["today"]["reserved_usd"]
        assert 0 == theirs["total"]["calls"]

    async def test_the_same_question_is_paid_once(
        self, service: Service, model_server: ModelServer
    ) -> None:
        """By one organization; another's answers are not shared."""
        first = await service.analyze()
        again = await service.analyze()
        theirs = await service.analyze(theirs=True)

        kept, other = (r["incidents"][0]["diagnosis"] for r in (again, theirs))
        assert first["incidents"][0]["diagnosis"]["root_cause"] == kept["root_cause"]
        assert (MODEL, 0, 0) == (kept["engine"], kept["input_tokens"], kept["cost_usd"])
        assert other["cost_usd"] > 0
        assert 2 == len(model_server.requests)

    async def test_who_asks_at_once_pays_once(
        self, service: Service, model_server: ModelServer
    ) -> None:
        """Concurrent identical questions are one call."""
        found = await asyncio.gather(*(service.analyze() for _ in range(4)))

        costs = [r["incidents"][0]["diagnosis"]["cost_usd"] for r in found]
        assert 1 == len(model_server.requests)
        assert [0, 0, 0] == sorted(costs)[:3] < sorted(costs)

    async def test_no_secret_leaves(self, service: Service, model_server: ModelServer) -> None:
        """Neither in the prompt, nor in the document, nor in the database."""
        body = case_request(CASE)
        for test in body["failed_tests"]:
            test["errors"][0]["message"] += "\npassword=hunter2xyzzy for ann@shop.example"
        await service.ours.post(ANALYZE, json=body)

        async with service.state.database.read() as session:
            stored = (await session.scalars(select(models.TestRun.document))).all()
        assert 1 == len(model_server.requests)
        assert b"hunter2" not in model_server.requests[0].raw
        assert "hunter2" not in str(stored)

    async def test_feedback_is_what_the_model_is_worth(self, service: Service) -> None:
        """Wrong again and again at 0.9, it is not believed at 0.9 any more."""
        before = (await service.analyze(UNSURE))["incidents"][0]["diagnosis"]["confidence"]
        for _ in range(12):
            found = await service.analyze(UNSURE)
            for analysis in found["analyses"]:
                url = f"/api/v1/analyses/{analysis['id']}/feedback"
                answer = await service.ours.post(url, json={"verdict": "wrong"})
                assert 201 == answer.status_code
        service.state.analyzer._models._calibrations._kept.clear()  # type: ignore[union-attr]

        after = (await service.analyze(UNSURE))["incidents"][0]["diagnosis"]["confidence"]
        theirs = await service.analyze(UNSURE, theirs=True)

        assert after < before - 0.2
        assert theirs["incidents"][0]["diagnosis"]["confidence"] == before

    async def test_metrics_count(self, service: Service) -> None:
        """Calls, tokens, money, answers, and whether the circuit is open."""
        await service.analyze()
        await service.analyze()

        told = (await service.ours.get("/metrics")).text

        assert 'heisenberg_model_calls_total{outcome="answered"} 1.0' in told
        assert 'heisenberg_model_answers_total{source="store"} 1.0' in told
        assert f'heisenberg_model_circuit_open{{model="{MODEL}"}} 0.0' in told


class TestFaults:
    """Every analysis is answered with 200 and stored, whatever the provider does."""

    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        """One engine: what fails here is not the database."""
        return sqlite_url

    @pytest.mark.parametrize(
        ("switch", "tries", "outcome"),
        [
            (UNAUTHORIZED, 1, "unauthorized"),
            (rate_limited(retry_after=0.001), 4, "unavailable"),
            (OVERLOADED, 4, "unavailable"),
            (SERVER_ERROR, 4, "unavailable"),
        ],
        ids=str,
    )
    async def test_the_offline_diagnosis_stands(
        self, service: Service, model_server: ModelServer, switch: Any, tries: int, outcome: str
    ) -> None:
        """It was tried as often as the settings say, and the calls are in the books."""
        model_server.will(*[switch] * 9)
        with capture_logs() as lines:
            found = await service.analyze()

        calls = await service.calls()
        call = calls[0]
        assert "offline/1" == found["incidents"][0]["diagnosis"]["engine"]
        assert "the offline diagnosis stands" in found["problems"][-1]["reason"]
        assert tries == len(model_server.requests) == len(calls)
        assert (outcome, str(call.test_run_id)) == (call.outcome, found["test_run_id"])
        assert call.error
        assert KEY not in str(lines) + str(found) + str(call.error)
        retried = [line for line in lines if line["event"] == "retry_attempt"]
        assert tries - 1 == len(retried)

    async def test_log_lines_of_asking_name_the_run(
        self, service: Service, model_server: ModelServer, log: io.StringIO
    ) -> None:
        """Each wait for a model can be told from those of other runs."""
        model_server.will(OVERLOADED, OVERLOADED)
        found = await service.analyze()

        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        waits = [line for line in lines if line["event"] == "retry_attempt"]
        assert [found["test_run_id"]] * 2 == [line["test_run_id"] for line in waits]

    async def test_invented_evidence_is_paid_and_dropped(
        self, service: Service, model_server: ModelServer
    ) -> None:
        """The tokens are told with the offline diagnosis."""
        model_server.answer = inventing
        found = await service.analyze()

        said = found["incidents"][0]["diagnosis"]
        (call,) = await service.calls()
        assert ("offline/1", "unproven") == (said["engine"], call.outcome)
        assert "prompt" not in said
        assert said["input_tokens"] == call.input_tokens > 0

    async def test_the_circuit_opens(self, service: Service, model_server: ModelServer) -> None:
        """A refused key is not tried again for a while; health and analyses go on."""
        model_server.will(*[UNAUTHORIZED] * 9)
        await service.analyze()
        found = await service.analyze()

        told = (await service.ours.get("/metrics")).text
        usage = await service.usage()
        assert 1 == len(model_server.requests) == usage["total"]["calls"]
        assert 0 == usage["today"]["reserved_usd"]
        assert "not asked, as it kept failing" in found["problems"][-1]["reason"]
        assert f'heisenberg_model_circuit_open{{model="{MODEL}"}} 1.0' in told

    async def test_the_limit_of_the_day(
        self, database_url: str, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """Beyond it the diagnosis goes on offline, and says so; another organization has its own."""
        model_server.answer = agreeing
        settings = settings_for(database_url, tmp_path, model_server, model_cost_per_day_usd=0.06)
        async with running(settings) as service:
            first = await service.analyze()
            async with service.state.database.write() as session:
                await session.execute(text("UPDATE model_spending SET spent_usd = 0.05"))
            second = await service.analyze(TWO)
            theirs = await service.analyze(theirs=True)

        assert MODEL == first["incidents"][0]["diagnosis"]["engine"]
        assert {"offline/1"} == {i["diagnosis"]["engine"] for i in second["incidents"]}
        assert "the limit of spending is reached" in second["problems"][-1]["reason"]
        assert MODEL == theirs["incidents"][0]["diagnosis"]["engine"]

    async def test_a_client_that_leaves_is_booked(
        self, database_url: str, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """What was set aside comes back, and what was asked is an estimate in the books."""
        model_server.will(HANG)
        async with running(settings_for(database_url, tmp_path, model_server)) as service:
            asking = asyncio.create_task(service.analyze())
            await asyncio.to_thread(wait_until, lambda: bool(model_server.requests), "asked")
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await service.state.analyzer.close()
            calls = await service.calls()
            usage = await service.usage()

        assert ["abandoned"] == [call.outcome for call in calls]
        assert calls[0].input_tokens > 1000
        assert 0 == usage["today"]["reserved_usd"]


class TestShared:
    async def test_a_process_asks_no_more_side_by_side(
        self, sqlite_url: str, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """However many runs it analyses at once."""
        beside = most_beside = 0
        lock = threading.Lock()

        def slowly(asked: Asked) -> dict[str, Any]:
            nonlocal beside, most_beside
            with lock:
                beside += 1
                most_beside = max(most_beside, beside)
            time.sleep(0.05)
            with lock:
                beside -= 1
            return agreeing(asked)

        model_server.answer = slowly
        settings = settings_for(sqlite_url, tmp_path, model_server, model_concurrency=1)
        async with running(settings) as service:
            await asyncio.gather(*(service.analyze(TWO, theirs=n == 1) for n in range(2)))

        assert (4, 1) == (len(model_server.requests), most_beside)

    async def test_each_link_of_the_chain_has_its_address(
        self, sqlite_url: str, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """The second one's is its provider's setting."""
        model_server.answer = agreeing
        model_server.will(UNAUTHORIZED)
        settings = settings_for(
            sqlite_url,
            tmp_path,
            model_server,
            model=f"{MODEL},openai:gpt-5-mini",
            HEISENBERG_OPENAI_API_KEY=KEY,
            HEISENBERG_OPENAI_BASE_URL=model_server.openai_url,
        )
        async with running(settings) as service:
            found = await service.analyze()

        assert "openai:gpt-5-mini" == found["incidents"][0]["diagnosis"]["engine"]

    async def test_the_deadline_of_a_run(
        self, sqlite_url: str, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """The offline diagnosis is answered then, and no question stays claimed."""
        model_server.will(HANG)
        model_server.answer = agreeing
        settings = settings_for(sqlite_url, tmp_path, model_server, model_deadline_s=0.3)
        async with running(settings) as service:
            late = await service.analyze()
            async with asyncio.timeout(10):
                found = await service.analyze()

        assert "not all was answered within 0.3 s" in late["problems"][-1]["reason"]
        assert MODEL == found["incidents"][0]["diagnosis"]["engine"]


class TestSettings:
    def test_without_a_model_nothing_is_asked(self, tmp_path: Path) -> None:
        """Offline, without complaint."""
        app = create_app(load_settings(_env_file=None, data_dir=tmp_path))

        assert app.state.shared.analyzer._models is None

    def test_a_missing_key_is_told_at_the_start(
        self, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """By the name of its variable."""
        url = f"sqlite:///{tmp_path}/x.db"
        settings = settings_for(url, tmp_path, model_server, anthropic_api_key=None)

        with pytest.raises(EngineAuthenticationError, match="HEISENBERG_ANTHROPIC_API_KEY"):
            create_app(settings)

    def test_an_unknown_provider_is_told_at_the_start(
        self, tmp_path: Path, model_server: ModelServer
    ) -> None:
        """With those that are known."""
        url = f"sqlite:///{tmp_path}/x.db"

        with pytest.raises(UsageError, match="PROVIDER of anthropic, openai"):
            create_app(settings_for(url, tmp_path, model_server, model="nobody:x"))

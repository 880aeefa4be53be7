"""`POST /api/v1/analyze` and `GET /api/v1/analyses/{id}`, with real worker processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from analyze_requests import case_request
from heisenberg.backend import models
from heisenberg.backend.analyze_schemas import (
    AnalysisResponse,
    AnalyzeRequest,
    AnalyzeResponse,
)
from heisenberg.backend.app import create_app
from heisenberg.backend.auth import Scope
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.services import organizations, worker_pool
from heisenberg.backend.services.analyze import (
    AnalysisFailedError,
    AnalysisTimeoutError,
    Analyzer,
    InvalidRequestError,
    RequestTooLargeError,
)
from heisenberg.backend.services.document import MIGRATIONS, read_document
from heisenberg.backend.services.work import Analysed
from heisenberg.errors import (
    EngineOverloadedError,
    EngineTimeoutError,
    MalformedError,
    TransientEngineError,
)
from servers import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.work import Job

TESTS = Path(__file__).parent
CASES = TESTS / "data" / "cases"
ANALYZE = "/api/v1/analyze"
GREEN = {"repository": "org/repo", "failed_tests": []}
PATIENCE_S = 20.0


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """No rate limit that counts here, and quick retries."""
    return settings_for(database_url, tmp_path)


def settings_for(url: str, folder: Path, **more: Any) -> Settings:
    """The same with other choices."""
    given = {
        "database_url": url,
        "data_dir": folder,
        "rate_limit_per_minute": 100_000,
        "rate_limit_burst": 100_000,
        "retry_base_delay": 0.05,
        "analysis_workers": 1,
    }
    return load_settings(_env_file=None, **{**given, **more})


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an admin key, as ours."""
    async with client_of(app, "ours") as client:
        yield client


@asynccontextmanager
async def client_of(app: FastAPI, name: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a new organization."""
    state = app.state.shared
    founded = await organizations.found(state.database, state.key_hasher, name)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://heisenberg",
        headers={"X-API-Key": founded.key.key},
        timeout=PATIENCE_S,
    ) as client:
        yield client


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application of its own."""
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app, "ours") as client:
        yield client


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that go wrong as their request says."""
    monkeypatch.setattr(worker_pool, "MODULE", "faulty_worker")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


def asking(what: str, path: Path | str = "") -> dict[str, Any]:
    """A request by which a faulty worker goes wrong."""
    return {**GREEN, "repository": f"{what}:{path}"}


def example() -> dict[str, Any]:
    """The example of the OpenAPI document."""
    found: dict[str, Any] = AnalyzeRequest.model_json_schema()["examples"][0]
    return found


def name_of(response: httpx2.Response) -> str:
    """Name of the problem that an answer tells of."""
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["type"]).removeprefix("urn:heisenberg:problem:")


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
            != "Z"
        )
    except FileNotFoundError:
        return False


async def until(ready: Callable[[], bool], what: str) -> None:
    """Wait for it, while the event loop goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while not ready():  # noqa: ASYNC110 (another process's doing)
            await asyncio.sleep(0.01)
    assert ready(), what


def text_of(path: Path | str) -> str:
    """What a file holds."""
    return Path(path).read_text(encoding="utf-8")


def mode_of(path: Path | str) -> int:
    """Who may do what with a file or folder."""
    return Path(path).stat().st_mode & 0o777


def is_there(path: Path | str) -> bool:
    """Whether there is such a file or folder."""
    return Path(path).exists()


async def pid_in(path: Path) -> int:
    """Id of the worker that says there that it hangs."""
    await until(path.exists, "worker hangs")
    return int(text_of(path))


class TestAnalyze:
    async def test_example_is_analysed_and_read_back(
        self, app: FastAPI, api: httpx2.AsyncClient
    ) -> None:
        """The example of the OpenAPI document works, and what is answered is what it says."""
        operation = app.openapi()["paths"][ANALYZE]["post"]
        request = operation["requestBody"]["content"]["application/json"]["example"]

        response = await api.post(ANALYZE, json=request)

        assert 200 == response.status_code
        AnalyzeResponse.model_validate_json(response.content)
        answer = response.json()
        [incident], [analysis] = answer["incidents"], answer["analyses"]
        assert "database_connection" == incident["diagnosis"]["mechanism"]
        assert ("checkout › pays by card", incident["id"]) == (
            analysis["test"],
            analysis["incident_id"],
        )
        found = await api.get(f"/api/v1/analyses/{analysis['id']}")
        AnalysisResponse.model_validate_json(found.content)
        assert {
            "id": analysis["id"],
            "test_run_id": answer["test_run_id"],
            "created_at": answer["created_at"],
            "test": "checkout › pays by card",
            "incident_id": incident["id"],
            "incident": incident,
            "run": {
                **{
                    k: request[k]
                    for k in ("repository", "commit_sha", "branch", "pull_request_number")
                },
                "counts": answer["run"],
            },
            "feedback": None,
        } == found.json()

    async def test_labelled_cases(self, api: httpx2.AsyncClient) -> None:
        """Real runs sent to the service get the diagnoses that are right, and all are stored."""
        for case in sorted(CASES.iterdir()):
            truth = json.loads((case / "truth.json").read_text(encoding="utf-8"))

            answer = (await api.post(ANALYZE, json=case_request(case))).json()

            wanted = {(i["owner"], i["mechanism"], *sorted(i["tests"])) for i in truth["incidents"]}
            assert wanted == {
                (d["owner"], d["mechanism"], *sorted(t["title"] for t in i["tests"]))
                for i in answer["incidents"]
                for d in [i["diagnosis"]]
            }
            for stored in answer["analyses"]:
                found = (await api.get(f"/api/v1/analyses/{stored['id']}")).json()
                assert stored["test"] in {t["title"] for t in found["incident"]["tests"]}

    async def test_what_is_stored(self, app: FastAPI, api: httpx2.AsyncClient) -> None:
        """A row for the run and one for each test, whatever NULs and half characters are in them."""
        odd = "a\0b\ud83d"
        request = {
            **example(), "repository": odd, "branch": odd, "commit_sha": "",
            "failed_tests": [{"title": odd + "x" * 19_000, "file": odd, "errors": [{"message": odd}]}],
        }  # fmt: skip

        response = await api.post(ANALYZE, content=json.dumps(request).encode())

        answer = response.json()
        assert (
            "a\0b\ufffd" == answer["analyses"][0]["test"][:4]
            or "a\ufffdb\ufffd" == answer["analyses"][0]["test"][:4]
        )
        async with app.state.shared.database.read() as session:
            run = (await session.execute(select(models.TestRun))).scalar_one()
            row = (await session.execute(select(models.Analysis))).scalar_one()
        assert ("a\ufffdb\ufffd", "a\ufffdb\ufffd", None) == (
            run.repository,
            run.branch,
            run.commit_sha,
        )
        assert (40, 39, 1, 0, 0) == (
            run.total_tests, run.passed_tests, run.failed_tests, run.flaky_tests, run.skipped_tests
        )  # fmt: skip
        assert "a\0b\ufffd" == run.document["incidents"][0]["tests"][0]["title"][:4]
        assert "a\ufffdb\ufffd" == row.test_title[:4]
        diagnosis = run.document["incidents"][0]["diagnosis"]
        assert diagnosis["owner"] == row.owner
        assert diagnosis["confidence"] == pytest.approx(row.confidence)
        found = await api.get(f"/api/v1/analyses/{row.id}")
        assert 200 == found.status_code

    async def test_green_run_is_stored(self, app: FastAPI, api: httpx2.AsyncClient) -> None:
        """A run without failures has no incidents and no analyses, and is kept."""
        answer = (await api.post(ANALYZE, json=GREEN)).json()

        assert ([], []) == (answer["incidents"], answer["analyses"])
        async with app.state.shared.database.read() as session:
            runs = select(func.count()).select_from(models.TestRun)
            assert 1 == (await session.execute(runs)).scalar_one()

    async def test_ten_thousand_tests(self, app: FastAPI, api: httpx2.AsyncClient) -> None:
        """A run in which everything failed is analysed and stored whole."""
        tests = [
            {"title": f"test {n}", "errors": [{"message": "Connection refused: db:5432"}]}
            for n in range(10_000)
        ]

        response = await api.post(
            ANALYZE, json={**example(), "failed_tests": tests, "total_tests": None}
        )

        assert 10_000 == len(response.json()["analyses"])
        async with app.state.shared.database.read() as session:
            rows = select(func.count()).select_from(models.Analysis)
            assert 10_000 == (await session.execute(rows)).scalar_one()


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "problem", "fields"),
        [
            (b"{", "invalid-json", None),
            (b"", "invalid-json", None),
            (b"[]", "invalid-request", ["body"]),
            (b"{}", "invalid-request", ["repository", "failed_tests"]),
            (
                b'{"repository": "r", "failed_tests": [{"title": "t"}, {"title": 1}]}',
                "invalid-request",
                ["failed_tests[1].title"],
            ),
            (
                b'{"repository": "r", "failed_tests": [], "total_tests": 1, "passed_tests": 2}',
                "invalid-request",
                ["total_tests"],
            ),
            (
                b'{"repository": "r", "failed_tests": [], "passed_tests": 2147483647, "skipped_tests": 1}',
                "invalid-request",
                ["total_tests"],
            ),
        ],
    )
    async def test_body_that_does_not_fit(
        self, api: httpx2.AsyncClient, body: bytes, problem: str, fields: list[str] | None
    ) -> None:
        """422, and each wrong field is named."""
        response = await api.post(ANALYZE, content=body)

        assert (422, problem) == (response.status_code, name_of(response))
        told = response.json().get("errors")
        assert fields == (told and [e["field"] for e in told])

    async def test_analyses_of_others_do_not_exist(
        self, app: FastAPI, api: httpx2.AsyncClient
    ) -> None:
        """Another organization's analysis answers as one that never was."""
        analysis = (await api.post(ANALYZE, json=example())).json()["analyses"][0]["id"]

        async with client_of(app, "theirs") as theirs:
            foreign = await theirs.get(f"/api/v1/analyses/{analysis}")
        unknown = await api.get(f"/api/v1/analyses/{uuid.uuid4()}")

        assert 200 == (await api.get(f"/api/v1/analyses/{analysis}")).status_code
        assert (404, 404) == (foreign.status_code, unknown.status_code)
        same = ("type", "title", "status", "detail")
        assert [foreign.json()[k] for k in same] == [unknown.json()[k] for k in same]

    @pytest.mark.parametrize(
        ("content_type", "status"),
        [
            ("application/json; charset=utf-8", 200),
            ("application/vnd.ci+json", 200),
            ("", 415),
            ("application/x-www-form-urlencoded", 415),
            ("text/plain", 415),
        ],
    )
    async def test_other_media_are_refused(
        self, api: httpx2.AsyncClient, content_type: str, status: int
    ) -> None:
        """What is not called JSON gets one clear answer, as `curl -d` without a header does."""
        answer = await api.post(
            ANALYZE, content=json.dumps(GREEN), headers={"Content-Type": content_type}
        )

        assert status == answer.status_code
        assert (status == 415) == ("Content-Type: application/json" in answer.text)

    async def test_malformed_id(self, api: httpx2.AsyncClient) -> None:
        """422 for what is no id."""
        response = await api.get("/api/v1/analyses/17")

        assert (422, ["analysis_id"]) == (
            response.status_code, [e["field"] for e in response.json()["errors"]]
        )  # fmt: skip

    async def test_scopes(self, api: httpx2.AsyncClient) -> None:
        """Without a key 401; a key that may only read reads and does not analyse."""
        analysis = (await api.post(ANALYZE, json=example())).json()["analyses"][0]["id"]
        made = await api.post("/api/v1/api-keys", json={"name": "reader", "scopes": [Scope.READ]})
        reader = {"X-API-Key": made.json()["key"]}

        statuses = [
            (await api.post(ANALYZE, json=example(), headers={"X-API-Key": ""})).status_code,
            (await api.post(ANALYZE, json=example(), headers=reader)).status_code,
            (await api.get(f"/api/v1/analyses/{analysis}", headers=reader)).status_code,
        ]

        assert [401, 403, 200] == statuses


class TestStoredVersions:
    async def test_unknown_version_is_an_error_of_ours(
        self, app: FastAPI, api: httpx2.AsyncClient
    ) -> None:
        """A document that a newer service wrote is not guessed at."""
        answer = (await api.post(ANALYZE, json=example())).json()
        async with app.state.shared.database.write() as session:
            await session.execute(
                update(models.TestRun).values(document={"schema": "heisenberg.analysis/9"})
            )

        response = await api.get(f"/api/v1/analyses/{answer['analyses'][0]['id']}")

        assert (500, "internal-error") == (response.status_code, name_of(response))

    def test_old_version_is_migrated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Documents go from version to version up to today's."""
        monkeypatch.setitem(MIGRATIONS, "old/1", ("old/2", lambda d: {**d, "one": 1}))
        monkeypatch.setitem(
            MIGRATIONS, "old/2", ("heisenberg.analysis/1", lambda d: {**d, "two": 2})
        )

        document = read_document({"schema": "old/1"})

        assert {"schema": "heisenberg.analysis/1", "one": 1, "two": 2} == document
        with pytest.raises(MalformedError, match="old/0"):
            read_document({"schema": "old/0"})


@pytest.mark.usefixtures("faulty")
class TestFaults:
    async def test_worker_killed_in_mid_analysis(self, sqlite_url: str, tmp_path: Path) -> None:
        """The request is tried again with another worker, and answered."""
        mark = tmp_path / "mark"
        async with serving(settings_for(sqlite_url, tmp_path)) as api:
            request = asyncio.ensure_future(api.post(ANALYZE, json=asking("hang-once", mark)))
            os.kill(await pid_in(mark), signal.SIGKILL)

            response = await request

            assert 200 == response.status_code
            metrics = (await api.get("/metrics")).text
            assert "heisenberg_retries_total 1.0" in metrics

    async def test_worker_that_always_dies(self, sqlite_url: str, tmp_path: Path) -> None:
        """After all tries 503 with Retry-After, and the next request is served."""
        async with serving(settings_for(sqlite_url, tmp_path, retry_max_retries=1)) as api:
            response = await api.post(ANALYZE, json=asking("exit"))

            assert (503, "analysis-unavailable") == (response.status_code, name_of(response))
            assert 0 < int(response.headers["retry-after"])
            assert 200 == (await api.post(ANALYZE, json=GREEN)).status_code

    async def test_worker_killed_while_idle(self, sqlite_url: str, tmp_path: Path) -> None:
        """Nobody notices."""
        app = create_app(settings_for(sqlite_url, tmp_path, retry_max_retries=0))
        async with app.router.lifespan_context(app), client_of(app, "ours") as api:
            await api.post(ANALYZE, json=GREEN)
            [worker] = app.state.shared.analyzer._engine._pool._idle
            worker.process.kill()
            await until(lambda: not is_running(worker.process.pid), "killed")

            response = await api.post(ANALYZE, json=GREEN)

            assert 200 == response.status_code

    @pytest.mark.parametrize("how", ["hang", "spin"])
    async def test_analysis_that_takes_too_long(
        self, sqlite_url: str, tmp_path: Path, how: str
    ) -> None:
        """Its worker is killed, it is not tried again, and the next request is served."""
        mark = tmp_path / "mark"
        settings = settings_for(sqlite_url, tmp_path, analysis_timeout_s=4)
        async with serving(settings) as api:
            response = await api.post(ANALYZE, json=asking(how, mark))

            assert (503, "analysis-timed-out") == (response.status_code, name_of(response))
            assert not is_running(await pid_in(mark))
            assert 200 == (await api.post(ANALYZE, json=GREEN)).status_code
            metrics = (await api.get("/metrics")).text
            assert "heisenberg_retries_total 0.0" in metrics

    async def test_too_many_wait(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beyond the queue's length 503 with Retry-After, at once; who waits is served."""
        monkeypatch.setattr(worker_pool, "WAITING_PER_WORKER", 1)
        monkeypatch.setattr(worker_pool, "RETRY_AFTER_S", 0.1)
        mark = tmp_path / "mark"
        settings = settings_for(sqlite_url, tmp_path, retry_max_retries=1)
        async with serving(settings) as api:
            first = asyncio.ensure_future(api.post(ANALYZE, json=asking("hang-once", mark)))
            worker = await pid_in(mark)
            second = asyncio.ensure_future(api.post(ANALYZE, json=GREEN))
            await asyncio.sleep(0)

            third = await asyncio.wait_for(api.post(ANALYZE, json=GREEN), PATIENCE_S)

            assert (503, "analysis-overloaded") == (third.status_code, name_of(third))
            assert "1" == third.headers["retry-after"]
            os.kill(worker, signal.SIGKILL)
            assert {200} == {r.status_code for r in await asyncio.gather(first, second)}

    async def test_others_are_answered_meanwhile(self, sqlite_url: str, tmp_path: Path) -> None:
        """While a worker computes the service answers others; a stop cuts the analysis."""
        mark = tmp_path / "mark"
        async with serving(settings_for(sqlite_url, tmp_path)) as api:
            request = asyncio.ensure_future(api.post(ANALYZE, json=asking("spin", mark)))
            worker = await pid_in(mark)

            response = await api.get(f"/api/v1/analyses/{uuid.uuid4()}")

            assert 404 == response.status_code
            assert not request.done()
            request.cancel()
            assert "stopping" == name_of(await request)
            assert not is_running(worker)

    async def test_client_that_leaves(self, sqlite_url: str, tmp_path: Path) -> None:
        """Nobody wants the answer, so the work is stopped and nothing is stored."""
        mark = tmp_path / "mark"
        app = create_app(settings_for(sqlite_url, tmp_path))
        async with app.router.lifespan_context(app), client_of(app, "ours") as api:
            body = json.dumps(asking("hang", mark)).encode()
            key = api.headers["x-api-key"].encode()
            messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "http", "http_version": "1.1", "method": "POST", "path": ANALYZE,
                "raw_path": ANALYZE.encode(), "query_string": b"", "root_path": "", "scheme": "http",
                "headers": [(b"x-api-key", key), (b"content-length", str(len(body)).encode())],
                "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            }  # fmt: skip
            request = asyncio.ensure_future(app(scope, messages.get, send))
            worker = await pid_in(mark)

            messages.put_nowait({"type": "http.disconnect"})
            await asyncio.wait_for(request, PATIENCE_S)

            assert not is_running(worker)
            assert [] == sent
            async with app.state.shared.database.read() as session:
                runs = select(func.count()).select_from(models.TestRun)
                assert 0 == (await session.execute(runs)).scalar_one()

    async def test_too_large_for_the_memory(self, sqlite_url: str, tmp_path: Path) -> None:
        """An analysis that needs more than it may have is refused, and its worker lives on."""
        async with serving(settings_for(sqlite_url, tmp_path)) as api:
            response = await api.post(ANALYZE, json=asking("eat"))

            assert (413, "analysis-too-large") == (response.status_code, name_of(response))
            assert 200 == (await api.post(ANALYZE, json=GREEN)).status_code

    async def test_error_of_ours(
        self, sqlite_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """500 without a word of the trace, which is in the log under the request's id."""
        async with serving(settings_for(sqlite_url, tmp_path)) as api:
            capfd.readouterr()
            response = await api.post(
                ANALYZE, json=asking("raise", "a bug"), headers={"X-Request-ID": "r-1"}
            )

        assert (500, "internal-error") == (response.status_code, name_of(response))
        assert "a bug" not in response.text
        written = capfd.readouterr().err.splitlines()
        [line] = [x for x in written if '"level":"error"' in x or "a bug" in x]
        assert "request.failed" == json.loads(line)["event"]
        assert "r-1" == json.loads(line)["request_id"]
        assert "a bug" in line
        assert "faulty_worker.py" in line

    async def test_request_id_is_on_the_worker_s_lines(
        self, sqlite_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What a worker logs of a request carries the request's id."""
        async with serving(settings_for(sqlite_url, tmp_path)) as api:
            await api.post(ANALYZE, json=GREEN, headers={"X-Request-ID": "r-2"})

        [line] = [x for x in capfd.readouterr().err.splitlines() if "pipeline.finished" in x]
        assert "r-2" == json.loads(line)["request_id"]

    async def test_worker_holds_no_secret(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What reads untrusted input does not know the settings, and writes where only it may."""
        monkeypatch.setenv("HEISENBERG_SECRET_KEY", "s" * 40)
        monkeypatch.setenv("DATABASE_URL", sqlite_url)
        monkeypatch.setenv("anthropic_api_key", "hunter2")
        monkeypatch.setenv("heisenberg_otlp_endpoint", "")  # settings have no case
        app = create_app(settings_for(sqlite_url, tmp_path))
        async with app.router.lifespan_context(app), client_of(app, "ours") as api:
            await api.post(ANALYZE, json=GREEN)
            [worker] = app.state.shared.analyzer._engine._pool._idle

            told = text_of(f"/proc/{worker.process.pid}/environ")

            assert "HEISENBERG_" not in told.upper()
            assert "DATABASE_URL" not in told
            assert "hunter2" not in told
            assert 0o700 == mode_of(worker.folder)

    async def test_nothing_is_left_behind(self, sqlite_url: str, tmp_path: Path) -> None:
        """When the service stops its workers end, and what they wrote is gone."""
        app = create_app(settings_for(sqlite_url, tmp_path))
        async with app.router.lifespan_context(app), client_of(app, "ours") as api:
            await api.post(ANALYZE, json=GREEN)
            [worker] = app.state.shared.analyzer._engine._pool._idle
            # A signal to the whole process group is for the service.
            os.kill(worker.process.pid, signal.SIGTERM)
            os.kill(worker.process.pid, signal.SIGINT)
            assert 200 == (await api.post(ANALYZE, json=GREEN)).status_code

        assert 0 == worker.process.returncode
        assert not is_there(worker.folder)


class Stub:
    """An engine that does what it is told."""

    name = "stub"

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    async def analyse(self, job: Job) -> Analysed:
        """Do it."""
        assert job.body == b"{}"
        done = self._act()
        found: Analysed = await done if asyncio.iscoroutine(done) else done
        return found

    async def close(self) -> None:
        """Nothing is held."""


def raising(error: BaseException) -> Callable[[], Any]:
    """What raises it."""

    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (raising(InvalidRequestError([])), "invalid"),
        (raising(RequestTooLargeError("too large")), "invalid"),
        (raising(EngineOverloadedError("full")), "refused"),
        (raising(AnalysisTimeoutError("4 s")), "timed_out"),
        (raising(EngineTimeoutError("slow")), "timed_out"),
        (lambda: asyncio.sleep(60), "timed_out"),
        (raising(asyncio.CancelledError()), "abandoned"),
        (raising(TransientEngineError("died")), "failed"),
        (raising(AnalysisFailedError("trace")), "failed"),
        # The document cannot be kept: there are no tables.
        (lambda: Analysed(EMPTY, "r", None, None, None), "failed"),
    ],
)
async def test_outcome_of_an_analysis(act: Callable[[], Any], outcome: str, tmp_path: Path) -> None:
    """What clients do wrong or leave alone is not counted as a failure of ours."""
    settings = settings_for(
        f"sqlite+aiosqlite:///{tmp_path}/none.db",
        tmp_path,
        retry_max_retries=0,
        retry_deadline_s=0.1,
    )
    database, metrics = Database(settings), Metrics()
    analyzer = Analyzer(settings, database, metrics, Stub(act))

    with pytest.raises(BaseException) as raised:  # noqa: PT011 (a cancellation is no Exception)
        await analyzer.analyze(uuid.uuid4(), b"{}")

    await database.close()
    assert not isinstance(raised.value, AssertionError)
    told = metrics.registry.get_sample_value(
        "heisenberg_analyses_total", {"outcome": outcome, "engine": "stub"}
    )
    assert 1 == told


EMPTY: bytes = json.dumps(
    {"run": dict.fromkeys(("total", "passed", "failed", "flaky", "skipped"), 0), "incidents": []}
).encode()


SERVICE = """
import asyncio, json, sys
from heisenberg.backend.config import load_settings
from heisenberg.backend.services import worker_pool
from heisenberg.backend.services.work import Job

async def main(mark):
    worker_pool.MODULE = "faulty_worker"
    pool = worker_pool.WorkerPool(load_settings(_env_file=None, data_dir="."))
    request = {"repository": "r", "failed_tests": []}
    if mark:
        request["repository"] = f"hang:{mark}"
        print(flush=True)
    else:
        await pool.run(Job("", json.dumps(request).encode()))
        print(pool._idle[0].process.pid, pool._idle[0].folder, flush=True)
        await asyncio.sleep(600)
    await pool.run(Job("", json.dumps(request).encode()))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("busy", [True, False])
def test_kill_9_of_the_service_leaves_no_worker(busy: bool, tmp_path: Path) -> None:
    """Workers, busy or idle, end with the service, however it ends, and leave no files."""
    mark, temporary = tmp_path / "mark", tmp_path / "tmp"
    temporary.mkdir()
    service = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVICE), str(mark) if busy else ""],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(temporary)},
    )  # fmt: skip
    with service:
        assert service.stdout is not None
        line = service.stdout.readline()
        if busy:
            wait_until(mark.exists, "worker hangs")
        worker = int(mark.read_text(encoding="ascii") if busy else line.split()[0])
        assert is_running(worker)
        assert list(temporary.iterdir())

        service.kill()

    wait_until(lambda: not is_running(worker), "worker ended")
    assert [] == list(temporary.iterdir())


CONFINED = """
import os, resource, socket, tempfile
import msgspec
from heisenberg.backend.services import worker
from heisenberg.backend.services.work import Analysed, Job, Reply

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
if os.getuid() == 0:
    os.setuid(65534)  # the superuser may go beyond a hard limit
ours, theirs = socket.socketpair()
job = Job("", b'{"repository": "r", "failed_tests": []}')
worker.send(ours, msgspec.msgpack.encode(job))
ours.shutdown(socket.SHUT_WR)
folder = tempfile.mkdtemp(dir="/tmp")
worker.main(worker.Terms(theirs.detach(), os.getppid(), folder, "INFO", True, 4 << 30, 60.0))
reply = msgspec.msgpack.decode(worker.receive(ours), type=Reply)
assert isinstance(reply.outcome, Analysed), reply
print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU))
"""


def test_worker_lives_under_lower_hard_limits() -> None:
    """Where the system allows less memory and time than the settings, that much is what it has."""
    done = subprocess.run(
        [sys.executable, "-c", CONFINED], capture_output=True, text=True, check=False
    )

    assert (0, f"{(2 << 30, 2 << 30)} (20, 20)\n") == (done.returncode, done.stdout), done.stderr

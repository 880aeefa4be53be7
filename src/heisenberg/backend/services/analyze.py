"""Analyse a red run, keep what was found, and find it again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from heisenberg.backend.analyze_schemas import FeedbackResponse
from heisenberg.backend.database import storable
from heisenberg.backend.logging import get_logger, log_context, request_id_ctx
from heisenberg.backend.models import TestRun, new_id, now
from heisenberg.backend.repositories import analyses, feedback, test_runs
from heisenberg.backend.retry import retry_from_settings
from heisenberg.backend.services.document import read_document
from heisenberg.backend.services.work import Analysed, Failed, Invalid, Job, TooLarge
from heisenberg.backend.services.worker_pool import JobTimeoutError
from heisenberg.backend.tracing import NoTracing
from heisenberg.delivery import json_report
from heisenberg.errors import (
    EngineError,
    EngineOverloadedError,
    EngineRejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from heisenberg.backend.config import Settings
    from heisenberg.backend.database import Database
    from heisenberg.backend.metrics import Metrics
    from heisenberg.backend.services.consulting import Models
    from heisenberg.backend.services.work import Wrong
    from heisenberg.backend.services.worker_pool import WorkerPool
    from heisenberg.diagnosis.consult import Consultation

OFFLINE = "offline/1"

log = get_logger(__name__)


class InvalidRequestError(EngineRejectedError):
    """The request does not fit the schema."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__("the request does not fit the schema")
        self.wrong = wrong


class RequestTooLargeError(EngineRejectedError):
    """The request needs more memory than a worker may have."""


class AnalysisTimeoutError(EngineRejectedError):
    """The analysis takes longer than it may."""


class AnalysisFailedError(EngineError):
    """An error of ours in the analysis; the message is the worker's trace."""


class Engine(Protocol):
    """What diagnoses: the offline pipeline in worker processes, or a model provider."""

    @property
    def name(self) -> str:
        """`offline/1`, or provider and model."""

    async def analyse(self, job: Job) -> Analysed:
        """Analyse a request once; whoever calls repeats it after a `TransientEngineError`.

        Raises:
            EngineError: It gave no answer.
        """

    async def close(self) -> None:
        """Give up what it holds."""


class OfflineEngine:
    """The pipeline, without a model, in worker processes."""

    name = OFFLINE

    def __init__(self, pool: WorkerPool) -> None:
        """Take the processes."""
        self._pool = pool

    async def analyse(self, job: Job) -> Analysed:
        """Analyse a request once.

        Raises:
            TransientEngineError: No worker took it, or its worker was killed.
            InvalidRequestError: It does not fit the schema.
            RequestTooLargeError: It needs too much memory.
            AnalysisTimeoutError: It takes too long; it would again, so it is not transient.
            AnalysisFailedError: An error of ours.
        """
        try:
            outcome = await self._pool.run(job)
        except JobTimeoutError as error:
            raise AnalysisTimeoutError(f"{error}; send fewer tests or logs") from error
        match outcome:
            case Invalid(wrong):
                raise InvalidRequestError(wrong)
            case TooLarge():
                raise RequestTooLargeError(
                    "the analysis needs more memory than it may have; send fewer tests or logs"
                )
            case Failed(trace):
                raise AnalysisFailedError(trace)
        return outcome

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class StoredAnalysis:
    """What was kept for one failed test."""

    id: UUID
    test: str
    incident_id: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What was kept of a run."""

    test_run_id: UUID
    created_at: datetime
    analyses: list[StoredAnalysis]
    document: dict[str, Any]

    def encode(self) -> bytes:
        """The answer to `POST /analyze`."""
        return msgspec.json.encode(
            {
                **self.document,
                "test_run_id": self.test_run_id,
                "created_at": self.created_at,
                "analyses": self.analyses,
            }
        )


class Analyzer:
    """Takes requests, asks the engine and then the models, and keeps the answers."""

    def __init__(  # noqa: PLR0913 (the parts it brings together)
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        engine: Engine,
        *,
        models: Models | None = None,
        tracing: NoTracing | None = None,
    ) -> None:
        """Put the parts together; nothing is started."""
        self._database = database
        self._metrics = metrics
        self._engine = engine
        self._models = models
        self._tracing = tracing or NoTracing()
        self._ask = retry_from_settings(settings, metrics.retried)(self._try)

    async def analyze(self, organization_id: UUID, body: bytes) -> StoredRun:
        """Analyse a request and keep what was found.

        Args:
            organization_id: Whose it is.
            body: JSON as `AnalyzeRequest` has it.

        Raises:
            EngineError: There is no answer, after all tries.
        """
        began = time.perf_counter()
        outcome = "failed"
        try:
            with self._tracing.span("analysis", engine=self._engine.name):
                try:
                    found = await self._ask(self._job(body))
                except Exception as error:
                    outcome = _ending(error)
                    raise
                run_id = new_id()
                consultation = await self._consult(organization_id, run_id, found)
                stored = await self._keep(organization_id, run_id, found, consultation)
            outcome = "finished"
        except asyncio.CancelledError:
            outcome = "abandoned"
            raise
        finally:
            seconds = time.perf_counter() - began
            self._metrics.analysis_finished(outcome, self._engine.name, seconds)
        log.info(
            "analysis.finished",
            test_run_id=str(stored.test_run_id),
            engine=self._engine.name,
            incidents=len(stored.document["incidents"]),
            duration_ms=round(seconds * 1000, 1),
        )
        return stored

    async def find(self, organization_id: UUID, analysis_id: UUID) -> dict[str, Any] | None:
        """What was found for one test, as `AnalysisResponse` has it; None when there is none."""
        async with self._database.read() as session:
            analysis = await analyses.get(session, organization_id, analysis_id)
            said = await feedback.latest(session, organization_id, analysis_id)
        if analysis is None:
            return None
        run = analysis.test_run
        document = read_document(run.document)
        return {
            "id": analysis.id,
            "test_run_id": run.id,
            "created_at": analysis.created_at,
            "test": analysis.test_title,
            "incident_id": analysis.incident_id,
            "incident": next(i for i in document["incidents"] if i["id"] == analysis.incident_id),
            "run": {
                "repository": run.repository,
                "commit_sha": run.commit_sha,
                "branch": run.branch,
                "pull_request_number": run.pull_request_number,
                "counts": document["run"],
            },
            "feedback": said and FeedbackResponse.model_validate(said).model_dump(),
        }

    async def close(self) -> None:
        """Give up the engine and the models."""
        await self._engine.close()
        if self._models is not None:
            await self._models.close()

    def _job(self, body: bytes) -> Job:
        context_tokens = self._models.context_tokens if self._models else None
        return Job(request_id_ctx.get(), body, context_tokens)

    async def _consult(
        self, organization_id: UUID, run_id: UUID, found: Analysed
    ) -> Consultation | None:
        """Have the models asked, where there are any; that fails nothing."""
        if self._models is None or not found.questions:
            return None
        with (
            log_context(test_run_id=str(run_id)),
            self._tracing.span("models.consulted", questions=len(found.questions)),
        ):
            return await self._models.consult(organization_id, run_id, found.questions)

    async def _try(self, job: Job) -> Analysed:
        with self._tracing.span("engine.call", engine=self._engine.name):
            return await self._engine.analyse(job)

    async def _keep(
        self,
        organization_id: UUID,
        run_id: UUID,
        found: Analysed,
        consultation: Consultation | None,
    ) -> StoredRun:
        document = msgspec.json.decode(found.document)
        stated = _put_in(document, consultation) if consultation else {}
        counts = document["run"]
        run = TestRun(
            id=run_id,
            repository=storable(found.repository),
            commit_sha=found.commit_sha and storable(found.commit_sha),
            branch=found.branch and storable(found.branch),
            pull_request_number=found.pull_request_number,
            total_tests=counts["total"],
            passed_tests=counts["passed"],
            failed_tests=counts["failed"],
            flaky_tests=counts["flaky"],
            skipped_tests=counts["skipped"],
            document=document,
            created_at=now(),
        )
        rows = list(_rows(document, run.id, run.created_at, stated))
        async with self._database.write() as session:
            await test_runs.add(session, organization_id, run)
            await analyses.add_all(session, organization_id, rows)
        kept = [StoredAnalysis(r["id"], r["test_title"], r["incident_id"]) for r in rows]
        return StoredRun(run.id, run.created_at, kept, document)


def _ending(error: Exception) -> str:
    """How an analysis ended whose engine raised this: one of `metrics.OUTCOMES`."""
    match error:
        case InvalidRequestError() | RequestTooLargeError():
            return "invalid"
        case EngineOverloadedError():
            return "refused"
        case AnalysisTimeoutError() | TimeoutError():
            return "timed_out"
    return "failed"


def _put_in(document: dict[str, Any], consultation: Consultation) -> dict[str, float]:
    """Put the models' diagnoses into the document, and what there is to say about them.

    Returns:
        By incident, the confidence that was stated before it was calibrated.
    """
    found = {exchange.question.incident: exchange for exchange in consultation.exchanges}
    for incident in document["incidents"]:
        if exchange := found.get(incident["id"]):
            incident["diagnosis"] = json_report.diagnosis_document(exchange.diagnosis)
    document["problems"] += [
        {"source": problem.source, "reason": problem.reason} for problem in consultation.problems
    ]
    return {incident: exchange.judgement.stated for incident, exchange in found.items()}


def _rows(
    document: dict[str, Any], run_id: UUID, moment: datetime, stated: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """A row of `analyses` for each test of each incident."""
    for incident in document["incidents"]:
        diagnosis = incident["diagnosis"]
        same = {
            "test_run_id": run_id,
            "incident_id": incident["id"],
            "fingerprint": incident["fingerprint"],
            "component": storable(diagnosis["component"]),
            "prompt": diagnosis.get("prompt"),
            "stated_confidence": stated.get(incident["id"], diagnosis["confidence"]),
            "created_at": moment,
        } | {key: diagnosis[key] for key in _COPIED}
        for test in incident["tests"]:
            title, test_id = storable(test["title"]), storable(test["id"])
            yield {"id": new_id(), "test_id": test_id, "test_title": title, **same}


_COPIED = (
    "state",
    "owner",
    "mechanism",
    "symptom",
    "confidence",
    "engine",
    "input_tokens",
    "output_tokens",
    "cost_usd",
)

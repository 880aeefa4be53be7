"""What `POST /analyze` takes, and the analysis document that it answers.

On its own, because worker processes read it too, and start faster without the web stack.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from heisenberg.model.diagnosis import Mechanism, Owner, State, Symptom
from heisenberg.model.feedback import Verdict
from heisenberg.model.report import SCHEMA
from heisenberg.model.run import Outcome

MAX_FAILED_TESTS = 10_000
MAX_ERRORS = 100
"""Of one test."""
MAX_CONTAINER_LOGS = 500
MAX_LOG_ENTRIES = 500_000
"""Of one container."""
MAX_INT32 = 2**31 - 1
MAX_DURATION_MS = 366 * 24 * 3600 * 1000
"""A year and a day."""


def as_integer(value: object) -> object:
    """Take `40.0` for 40: JSON has one kind of number, and JSON Schema calls that an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count: TypeAlias = Annotated[int, Field(ge=0, le=MAX_INT32), BeforeValidator(as_integer)]
Name: TypeAlias = Annotated[str, Field(max_length=1000)]


class Request(BaseModel):
    """Base of what a CI client sends: strict types; a key that is not known is told of."""

    model_config = ConfigDict(
        extra="allow", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class FailedTestError(Request):
    """One error of a failed test, as its framework printed it; terminal colours may be in it."""

    message: str | None = None
    stack: str | None = None
    """Stack trace; it may repeat the message."""


class FailedTest(Request):
    """One try of a test that failed. The same test listed again is a further try of it."""

    title: Annotated[str, Field(min_length=1, max_length=20_000)]
    file: Name | None = None
    suite: Name | None = None
    """Titles of the suites around it, outermost first, joined with ` › ` or ` > `."""
    project: Name | None = None
    """Playwright project, browser or other parameter set."""
    duration_ms: Annotated[float, Field(ge=0, le=MAX_DURATION_MS)] | None = None
    start_time: str | None = None
    """ISO 8601; UTC when it names no zone. One that cannot be read is told of and not used."""
    errors: Annotated[list[FailedTestError], Field(max_length=MAX_ERRORS)] | None = None


class LogEntry(BaseModel):
    """One line, or one multi-line record, of a container's log."""

    model_config = ConfigDict(
        extra="ignore", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    message: str
    timestamp: str | int | float | None = None
    """ISO 8601, UTC when it names no zone, or a number since 1970. Not given or not readable, it is
    taken from the message or from the entry before."""
    stream: Annotated[str, Field(max_length=100)] | None = None
    """`stdout` or `stderr`: their lines may be interleaved."""


class ContainerLog(Request):
    """What one container wrote."""

    container_name: str
    """Evidence names it: `container_logs/NAME`."""
    entries: Annotated[list[LogEntry], Field(max_length=MAX_LOG_ENTRIES)]


class AnalyzeRequest(Request):
    """A red run: the tests that failed, and what its services wrote meanwhile."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "repository": "shop/checkout",
                    "commit_sha": "4f2a9c1d7e",
                    "branch": "main",
                    "pull_request_number": 7,
                    "total_tests": 40,
                    "passed_tests": 39,
                    "skipped_tests": 0,
                    "failed_tests": [
                        {
                            "title": "pays by card",
                            "file": "checkout.spec.ts",
                            "suite": "checkout",
                            "project": "chromium",
                            "duration_ms": 5012,
                            "start_time": "2026-01-01T12:00:01.000Z",
                            "errors": [
                                {
                                    "message": "Error: expect(received).toBe(expected)\n\n"
                                    "Expected: 200\nReceived: 500"
                                }
                            ],
                        }
                    ],
                    "container_logs": [
                        {
                            "container_name": "payments",
                            "entries": [
                                {
                                    "timestamp": "2026-01-01T12:00:03.120Z",
                                    "message": "ERROR POST /charge 500 connection to server at "
                                    '"db" failed: Connection refused',
                                    "stream": "stderr",
                                }
                            ],
                        }
                    ],
                }
            ]
        }
    )

    repository: Annotated[str, Field(min_length=1, max_length=512, pattern=r"\S")]
    """`org/repo`, or whatever names it."""
    commit_sha: Name | None = None
    branch: Name | None = None
    pull_request_number: (
        Annotated[int, Field(ge=1, le=MAX_INT32), BeforeValidator(as_integer)] | None
    ) = None
    start_time: str | None = None
    """When the run began, as for a test. With it, what went wrong before the first failure counts."""
    duration_ms: Annotated[float, Field(ge=0, le=MAX_DURATION_MS)] | None = None
    """How long the run took."""
    total_tests: Count | None = None
    """At least the passed, skipped and failed ones together; not given, as many as these."""
    passed_tests: Count | None = None
    """Not given, what the total leaves."""
    skipped_tests: Count | None = None
    failed_tests: Annotated[list[FailedTest], Field(max_length=MAX_FAILED_TESTS)]
    container_logs: Annotated[list[ContainerLog], Field(max_length=MAX_CONTAINER_LOGS)] | None = (
        None
    )


# The analysis document, as `heisenberg analyze --format json` prints it, too.


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DocumentCounts(Answer):
    """Tests of the run by outcome."""

    total: int
    passed: int
    failed: int
    flaky: int
    skipped: int
    duration_ms: int | None
    """None when it is not known."""


class DocumentTest(Answer):
    """A failed or flaky test."""

    id: str
    title: str
    """Full title path joined with ` › `, without file and project."""
    file: str
    project: str
    outcome: Literal[Outcome.FAILED, Outcome.FLAKY]
    attempts: int


class DocumentEvidence(Answer):
    """A place in what was given, quoted exactly."""

    source: str
    """`container_logs/NAME`, or `failed_tests`."""
    line: Annotated[int, Field(ge=1)]
    """Number of the log's entry, or of the failed test, from 1; of several entries, the first."""
    timestamp: datetime | None
    quote: str


class DocumentAlternative(Answer):
    """Another reading of the same evidence."""

    owner: Owner
    mechanism: Mechanism
    confidence: Annotated[float, Field(ge=0, le=1)]


class DocumentDiagnosis(Answer):
    """What is wrong, whose it is, and the lines that prove it."""

    state: State
    owner: Owner
    mechanism: Mechanism
    symptom: Symptom
    component: str
    root_cause: str
    suggested_fix: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    evidence: list[DocumentEvidence]
    alternatives: list[DocumentAlternative]
    missing: list[str]
    """Which artefact would settle it."""
    engine: str
    """`offline/1`, or the provider and model that diagnosed."""
    prompt: str | None = None
    """Version of the prompt that the model answered; absent offline."""
    input_tokens: int
    output_tokens: int
    cost_usd: float


class DocumentIncident(Answer):
    """Failures of one run that share a cause."""

    id: str
    fingerprint: str
    tests: list[DocumentTest]
    diagnosis: DocumentDiagnosis


class DocumentProblem(Answer):
    """A part of what was given that could not be used."""

    source: str
    reason: str


class AnalysisDocument(Answer):
    """A run, its incidents, worst first, and what could not be used."""

    schema_: Annotated[Literal["heisenberg.analysis/1"], Field(alias="schema")] = SCHEMA  # type: ignore[assignment]
    run: DocumentCounts
    incidents: list[DocumentIncident]
    problems: list[DocumentProblem]


class TestAnalysis(Answer):
    """What was stored for one failed test."""

    __test__ = False

    id: UUID
    test: str
    """Its title."""
    incident_id: str
    """Of one of `incidents`."""


class AnalyzeResponse(AnalysisDocument):
    """The analysis document, and where it is kept."""

    test_run_id: UUID
    created_at: datetime
    analyses: list[TestAnalysis]


class AnalyzedRun(Answer):
    """The run that an analysis is of."""

    repository: str
    commit_sha: str | None
    branch: str | None
    pull_request_number: int | None
    counts: DocumentCounts


class FeedbackResponse(Answer):
    """What somebody who knows says about an analysis."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    analysis_id: UUID
    api_key_id: UUID
    """The key that says so."""
    verdict: Verdict
    owner: Owner | None
    """Whose it really was; null when that was not said."""
    mechanism: Mechanism | None
    """What it really was, likewise."""
    comment: str | None
    created_at: datetime
    """When it was said last."""


class AnalysisResponse(Answer):
    """What was found for one failed test."""

    id: UUID
    test_run_id: UUID
    created_at: datetime
    test: str
    incident_id: str
    incident: DocumentIncident
    run: AnalyzedRun
    feedback: FeedbackResponse | None
    """The latest, by whatever key; null while there is none."""

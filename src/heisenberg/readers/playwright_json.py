"""Read the report of Playwright's JSON reporter."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from heisenberg.errors import MalformedError
from heisenberg.model.failure import Failure
from heisenberg.model.run import (
    Attachment,
    Attempt,
    Location,
    Place,
    Run,
    Status,
    Step,
    Test,
    TestId,
)
from heisenberg.readers import playwright_schema as schema
from heisenberg.readers.content import no_collection
from heisenberg.readers.json_text import as_object, decode, decode_part
from heisenberg.text import first_line, strip_escapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heisenberg.model.run import Artefact
    from heisenberg.readers.json_head import Shape

MAX_TEXT = 256 * 1024
"""Characters kept of one output or attachment; the middle of a longer one is dropped."""

_CONFIG_KEYS = frozenset({"rootDir", "fullyParallel", "forbidOnly", "reportSlowTests"})
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/x-ndjson")

_STATUS = {
    "passed": Status.PASSED,
    "failed": Status.FAILED,
    "timedOut": Status.TIMED_OUT,
    "interrupted": Status.INTERRUPTED,
    "skipped": Status.SKIPPED,
}

_UNTOLD = {
    Status.PASSED: "Expected the test to fail, but it passed.",
    Status.FAILED: "Failed; the report holds no error text.",
    Status.TIMED_OUT: "Test timed out; the report holds no error text.",
    Status.INTERRUPTED: "Test was interrupted before it ended.",
}
"""What is said of an attempt that went wrong without an error."""


def sniff(shape: Shape) -> bool:
    """Tell by the first keys whether JSON is this format."""
    suites = shape.get("suites")
    if suites is not None and suites & {"specs", "suites"}:
        return True
    return len(shape.get("config", frozenset()) & _CONFIG_KEYS) > 0


def read(artefact: Artefact) -> Run:
    """Read every attempt of every test, project and repetition.

    Output, steps and attachments are kept for tests with an attempt that went wrong.

    Raises:
        MalformedError: The JSON is broken, or no report of Playwright.
        TooLargeError: It is beyond what can be held.
    """
    with no_collection():
        report = decode(artefact, schema.Report)
        if report.config is None and report.stats is None and not report.suites:
            raise MalformedError("no 'suites' key; is this a Playwright JSON report?")
        return _Reader(artefact.source).run(report)


class _Reader:
    """Converts one report; holds what its tests share."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tests: list[Test] = []
        self.repeats: dict[TestId, int] = {}
        self.files: dict[str, str] = {}
        self.projects: dict[str, str] = {}
        self.interrupted = False

    def run(self, report: schema.Report) -> Run:
        for suite in _taken(report.suites):
            is_file = not suite.file or suite.title.replace("\\", "/").endswith(suite.file)
            is_file = is_file or suite.file.endswith(suite.title.replace("\\", "/"))
            file = self.file(suite.file or suite.title)
            self.add_suite(suite, () if is_file else (suite.title,), file)
        place = Place(self.source, near='"errors"')
        stats = report.stats or schema.Stats()
        config = report.config or schema.Config()
        return Run(
            tests=tuple(self.tests),
            failures=tuple(failure_of(error, place) for error in report.errors),
            started_at=_utc(stats.start_time),
            duration_ms=stats.duration,
            workers=_workers(config),
            interrupted=self.interrupted,
            sources=(self.source,),
            metadata=_metadata(config),
        )

    def add_suite(self, suite: schema.Suite, titles: tuple[str, ...], file: str) -> None:
        for spec in suite.specs:
            self.add_spec(spec, (*titles, spec.title), self.file(spec.file) or file)
        for inner in suite.suites:
            self.add_suite(inner, (*titles, inner.title), self.file(inner.file) or file)

    def add_spec(self, spec: schema.Spec, titles: tuple[str, ...], file: str) -> None:
        location = Location(file, spec.line, spec.column) if spec.line is not None else None
        for test in spec.tests:
            project = self.projects.setdefault(test.project_name, test.project_name)
            test_id = TestId(file, titles, project)
            repeat = self.repeats.get(test_id, 0)
            self.repeats[test_id] = repeat + 1
            if repeat:
                test_id = TestId(file, titles, project, repeat)
            expected = _STATUS.get(test.expected_status, Status.PASSED)
            attempts = self.attempts(test, expected, spec.title)
            tags = _tags(spec, test) if spec.tags or test.annotations else ()
            self.tests.append(Test(test_id, attempts, expected, location, tags, test.timeout))

    def file(self, name: str) -> str:
        """A file's name with forward slashes, of which there is one in memory."""
        known = self.files.get(name)
        if known is None:
            known = self.files[name] = name.replace("\\", "/")
        return known

    def attempts(self, test: schema.Test, expected: Status, title: str) -> tuple[Attempt, ...]:
        """Convert a test's results, in order of retry."""
        results = test.results
        if len(results) == 1 and results[0].status == "passed" and expected is Status.PASSED:
            (result,) = results
            started_at = _utc(result.start_time)
            worker = result.parallel_index
            return (
                Attempt(Status.PASSED, result.retry, started_at, result.duration, (), (), worker),
            )
        if not results and expected is not Status.SKIPPED:
            self.interrupted = True
        if len(results) > 1:
            results = sorted(results, key=lambda r: r.retry)
        place = Place(self.source, near=msgspec.json.encode(title).decode()[1:-1])
        return tuple(self.attempt(result, expected, place) for result in results)

    def attempt(self, result: schema.Result, expected: Status, place: Place) -> Attempt:
        """Convert one result with all that it carries."""
        errors = decode_part(result.errors, schema.Error)
        if not errors:
            errors = decode_part(msgspec.Raw(b"[%b]" % bytes(result.error)), schema.Error)
        status = _STATUS.get(result.status or "", Status.FAILED if errors else Status.SKIPPED)
        if status is Status.INTERRUPTED or result.status is None:
            self.interrupted = True
        failures = tuple(failure_of(error, place) for error in errors if _says(error))
        if not failures and not _is_fine(status, expected):
            failures = (Failure(_UNTOLD.get(status, "Failed."), place),)
        return Attempt(
            status=status,
            retry=result.retry,
            started_at=_utc(result.start_time),
            duration_ms=_duration(result.duration),
            failures=failures,
            steps=tuple(_step(s) for s in decode_part(result.steps, schema.Step)),
            worker=result.worker_index if result.parallel_index is None else result.parallel_index,
            stdout=_output(result.stdout),
            stderr=_output(result.stderr),
            attachments=tuple(
                _attachment(a) for a in decode_part(result.attachments, schema.Attachment)
            ),
        )


def _taken(suites: list[schema.Suite]) -> Iterator[schema.Suite]:
    """The suites in order, each let go of once it is read: the model takes its memory."""
    suites.reverse()
    while suites:
        yield suites.pop()


def _is_fine(status: Status, expected: Status) -> bool:
    """Whether an attempt ended as was meant."""
    return status is Status.SKIPPED or status is expected


def _duration(value: float | None) -> float | None:
    """A duration in ms; Playwright writes -1 for an attempt that did not end."""
    return value if value is not None and value >= 0 else None


def _utc(moment: datetime | None) -> datetime | None:
    """An aware time in UTC; one without a zone is taken as UTC."""
    if moment is None or moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return None


def _tags(spec: schema.Spec, test: schema.Test) -> tuple[str, ...]:
    """Tags of the test as written, then its annotations as `type` or `type: description`."""
    notes = (f"{a.type}: {a.description}" if a.description else a.type for a in test.annotations)
    return tuple(dict.fromkeys((*spec.tags, *(strip_escapes(n) for n in notes if n))))


def _says(error: schema.Error) -> bool:
    return bool(error.message or error.value or error.stack)


def failure_of(error: schema.Error, place: Place) -> Failure:
    """Convert an error; its stack and snippet only as far as the message lacks them."""
    message = strip_escapes(error.message or error.value or error.stack or "").strip("\n")
    snippet = strip_escapes(error.snippet or "").strip("\n")
    frames = [
        line
        for line in strip_escapes(error.stack or "").splitlines()
        if line.strip() and line.strip() not in message
    ]
    where = error.location
    return Failure(
        message=message if message.strip() else "An error without a message.",
        place=place,
        stack="\n".join(frames),
        snippet="" if snippet in message else snippet,
        location=Location(where.file, where.line, where.column) if where else None,
    )


def _step(step: schema.Step) -> Step:
    """Convert a step and those inside it."""
    return Step(
        title=strip_escapes(step.title),
        category=step.category,
        started_at=_utc(step.startTime),
        duration_ms=_duration(step.duration),
        error=first_line(strip_escapes((step.error and step.error.message) or "")),
        steps=tuple(_step(inner) for inner in step.steps),
    )


def _output(raw: msgspec.Raw) -> str:
    """Join what was written, terminal colours undone."""
    parts = decode_part(raw, schema.Output)
    if not parts:
        return ""
    return _bounded(strip_escapes("".join(p.text or _unpacked(p.buffer) for p in parts)))


def _unpacked(body: str | None) -> str:
    """Decode base64 of text; nothing when it is neither."""
    try:
        return base64.b64decode(body or "").decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _bounded(text: str) -> str:
    """Cut the middle out of a text beyond `MAX_TEXT`."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _attachment(attachment: schema.Attachment) -> Attachment:
    """Convert an attachment; a body only when it is text and small."""
    body = attachment.body or ""
    is_text = attachment.content_type.startswith(_TEXT_TYPES) and 0 < len(body) <= 2 * MAX_TEXT
    return Attachment(
        name=attachment.name,
        content_type=attachment.content_type,
        path=(attachment.path or "").replace("\\", "/"),
        body=_bounded(strip_escapes(_unpacked(body))) if is_text else "",
    )


def _workers(config: schema.Config) -> int | None:
    """How many workers really ran, else how many might."""
    actual = as_object(config.metadata).get("actualWorkers")
    return actual if isinstance(actual, int) else config.workers


def _metadata(config: schema.Config) -> dict[str, str]:
    """What the configuration says of the run."""
    shard = as_object(config.shard)
    facts = {
        "producer": "playwright",
        "version": config.version or "",
        "root_dir": (config.root_dir or "").replace("\\", "/"),
        "config_file": (config.config_file or "").replace("\\", "/"),
        "projects": ", ".join(p.name for p in config.projects if p.name),
        "shard": f"{shard['current']}/{shard['total']}"
        if {"current", "total"} <= set(shard)
        else "",
    }
    facts |= {k: v for k, v in as_object(config.metadata).items() if isinstance(v, str)}
    return {key: value for key, value in facts.items() if value}

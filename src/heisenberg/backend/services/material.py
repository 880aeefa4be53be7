"""Lay a request out as the pipeline wants it: a run, and its artefacts as files.

Each container's log becomes a file with one line an entry, and the failed tests one with a line a
test, so that a citation's line number is the number of the entry or test. Files are numbered:
nothing that a client names becomes a file's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from heisenberg import text
from heisenberg.backend.analyze_schemas import MAX_INT32
from heisenberg.model.report import Counts, Problem
from heisenberg.model.run import Artefact, Attempt, Place, Run, Status, Test, TestId
from heisenberg.readers.logs.lines import MAX_LINE_BYTES
from heisenberg.readers.logs.times import from_epoch, from_text
from heisenberg.readers.told import split_suite, title_path, told_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from heisenberg.backend.analyze_schemas import (
        AnalyzeRequest,
        ContainerLog,
        FailedTest,
        LogEntry,
    )

TESTS_SOURCE = "failed_tests"
LOGS_SOURCE = "container_logs"
REQUEST_SOURCE = "request"
"""Of problems with the request as a whole."""
MAX_NAME_CHARS = 200
"""Of a container, as it is cited."""
MAX_KEYS_TOLD = 20
"""Unknown keys that are told of."""
MAX_TIME_CHARS = 100
ESCAPED_BYTES = 6
"""That one character of a message may take in the file, at most."""
ROOM_BYTES = 1000
"""For what stands beside the message in its line."""


class InconsistentError(ValueError):
    """A number of the request contradicts the others."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(slots=True)
class Material:
    """What the pipeline is given."""

    run: Run
    counts: Counts
    logs: list[Artefact] = field(default_factory=list)
    sources: dict[str, Artefact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def lay_out(request: AnalyzeRequest, folder: Path) -> Material:
    """Write the request's artefacts into a folder.

    Args:
        request: As it was validated.
        folder: Empty, private, and there as long as the material is used.

    Raises:
        InconsistentError: Its numbers of tests contradict each other.
    """
    problems: list[Problem] = []
    tests = _tests(request.failed_tests, problems)
    start = _time(request.start_time)
    if start is None and request.start_time:
        problems.append(Problem(REQUEST_SOURCE, "start_time cannot be read, so it was not used"))
    run = Run(tests, started_at=start, duration_ms=request.duration_ms, sources=(TESTS_SOURCE,))
    material = Material(run, _counts(request, len(tests)))
    path = folder / "tests"
    path.write_bytes(b"\n".join(_lines_of_tests(request.failed_tests)))
    _add(material, TESTS_SOURCE, path)
    containers = request.container_logs or []
    for number, (log, name) in enumerate(zip(containers, _names(containers), strict=True), 1):
        source = f"{LOGS_SOURCE}/{name}"
        if name != _safe(log.container_name):
            reason = "another log has the same container name; this one is told apart by a number"
            problems.append(Problem(source, reason))
        if not log.entries:
            continue
        path = folder / f"log-{number}"
        problems += [Problem(source, reason) for reason in _write(log.entries, path)]
        material.logs.append(_add(material, source, path))
    material.problems = [*_unknown(request), *problems]
    return material


def _add(material: Material, source: str, path: Path) -> Artefact:
    artefact = Artefact(source, path, path.stat().st_size)
    material.sources[source] = artefact
    return artefact


def _counts(request: AnalyzeRequest, failed: int) -> Counts:
    """Tests by outcome; what is not told is taken from what is."""
    skipped = request.skipped_tests or 0
    passed = request.passed_tests
    total = request.total_tests
    if total is None:
        total = failed + skipped + (passed or 0)
    known = failed + skipped + (passed or 0)
    if total < known:
        parts = f"{failed} failed, {skipped} skipped and {passed or 0} passed tests"
        raise InconsistentError("total_tests", f"{total} is less than {parts} together")
    if total > MAX_INT32:
        raise InconsistentError("total_tests", f"{total} tests are more than {MAX_INT32}")
    if passed is None:
        passed = total - failed - skipped
    return Counts(total, passed, failed, 0, skipped, request.duration_ms)


def _tests(told: Sequence[FailedTest], problems: list[Problem]) -> tuple[Test, ...]:
    """Tests in the order in which they are first told of; one told of again was tried again."""
    attempts: dict[TestId, list[Attempt]] = {}
    timeless: list[int] = []
    for number, test in enumerate(told, 1):
        start = _time(test.start_time)
        if start is None and test.start_time:
            timeless.append(number)
        place = Place(TESTS_SOURCE, line=number)
        failures = [told_failure(e.message, e.stack, place) for e in test.errors or ()]
        if not failures:
            failures = [told_failure(None, None, place)]
        attempts.setdefault(_identity(test), []).append(
            Attempt(Status.FAILED, 0, start, test.duration_ms, tuple(failures))
        )
    if timeless:
        reason = f"start_time cannot be read, so it was not used: {_numbered('test', timeless)}"
        problems.append(Problem(TESTS_SOURCE, reason))
    return tuple(Test(test_id, _ordered(tries)) for test_id, tries in attempts.items())


def _identity(test: FailedTest) -> TestId:
    file = (test.file or "").replace("\\", "/")
    titles = title_path(split_suite(test.suite or ""), test.title, file)
    return TestId(file, titles, test.project or "")


def _ordered(attempts: list[Attempt]) -> tuple[Attempt, ...]:
    """By time when each tells it, else as they were told; numbered."""
    dated = [(a.started_at, a) for a in attempts if a.started_at is not None]
    if len(dated) == len(attempts):
        attempts = [a for _, a in sorted(dated, key=lambda pair: pair[0])]
    return tuple(
        msgspec.structs.replace(attempt, retry=retry) for retry, attempt in enumerate(attempts)
    )


def _lines_of_tests(tests: Iterable[FailedTest]) -> Iterator[bytes]:
    """The failed tests as JSON, a line each."""
    for test in tests:
        yield msgspec.json.encode(
            {
                "title": test.title,
                "errors": [{"message": e.message, "stack": e.stack} for e in test.errors or ()],
            }
        )


def _names(logs: Iterable[ContainerLog]) -> Iterator[str]:
    """Each log's name as it is cited, no two alike: `api`, `api-2`."""
    safe = [_safe(log.container_name) for log in logs]
    taken = set(safe)
    numbers: dict[str, int] = {}
    for name in safe:
        number = numbers.get(name, 0) + 1
        unique = name
        while number > 1 and (unique := f"{name}-{number}") in taken:
            number += 1
        numbers[name] = number
        taken.add(unique)
        yield unique


def _safe(name: str) -> str:
    """A container's name, fit to be shown, and no way out of a folder for whoever takes it for a path."""
    shown = text.one_line(name[: MAX_NAME_CHARS * 2])
    parts = [part.strip() for part in shown.split("/")]
    kept = "/".join("_" if part in {".", ".."} else part for part in parts if part)
    return text.truncate(kept, MAX_NAME_CHARS) or "unnamed"


def _write(entries: Iterable[LogEntry], path: Path) -> Iterator[str]:
    """Write a log, one line an entry, and tell what was odd, a reason each."""
    cut: list[int] = []
    timeless: list[int] = []
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number, entry in enumerate(entries, 1):
            when = _time(entry.timestamp)
            if when is None and entry.timestamp not in {None, ""}:
                timeless.append(number)
            line = {
                "log": entry.message,
                "stream": entry.stream or "",
                "time": when.isoformat() if when else "",
            }
            data = encode(line)
            if len(data) >= MAX_LINE_BYTES:
                cut.append(number)
                line["log"] = entry.message[: (MAX_LINE_BYTES - ROOM_BYTES) // ESCAPED_BYTES]
                data = encode(line)
            file.write(data)
            file.write(b"\n")
    if timeless:
        yield f"timestamp cannot be read, so it was not used: {_numbered('entry', timeless)}"
    if cut:
        yield f"message is too long, so its end was left out: {_numbered('entry', cut)}"


def _time(value: str | float | None) -> datetime | None:
    """A time as a client gives it, aware UTC; None when it gives none or none that can be read."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return from_text(value) if len(value) <= MAX_TIME_CHARS else None
        return from_epoch(value) if math.isfinite(value) else None
    except (ValueError, OverflowError, OSError):
        return None


def _numbered(noun: str, numbers: list[int]) -> str:
    """`entry 3`, `entry 3 and 17 more`."""
    more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
    return f"{noun} {numbers[0]}{more}"


def _unknown(request: AnalyzeRequest) -> Iterator[Problem]:
    """Tell of keys that are not known: a newer client's, or a typing mistake."""
    found = dict.fromkeys(request.model_extra or {})
    for test in request.failed_tests:
        if test.model_extra:
            found |= dict.fromkeys(f"failed_tests[].{key}" for key in test.model_extra)
        for error in test.errors or ():
            if error.model_extra:
                found |= dict.fromkeys(f"failed_tests[].errors[].{k}" for k in error.model_extra)
    for log in request.container_logs or ():
        if log.model_extra:
            found |= dict.fromkeys(f"container_logs[].{key}" for key in log.model_extra)
    if found:
        told = [text.truncate(text.one_line(key), MAX_NAME_CHARS) for key in found]
        more = f" and {len(told) - MAX_KEYS_TOLD} more" if len(told) > MAX_KEYS_TOLD else ""
        keys = ", ".join(told[:MAX_KEYS_TOLD])
        yield Problem(REQUEST_SOURCE, f"unknown keys were passed over: {keys}{more}")

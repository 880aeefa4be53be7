"""Read a report in the Common Test Report Format (CTRF).

Source:
    https://ctrf.io/docs/specification
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from heisenberg.errors import MalformedError
from heisenberg.model.failure import Failure
from heisenberg.model.run import Attempt, Location, Place, Run, Status, Test, TestId
from heisenberg.readers.content import no_collection
from heisenberg.readers.json_text import as_object, decode, decode_part
from heisenberg.readers.told import split_suite, title_path, told_failure
from heisenberg.text import strip_escapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heisenberg.model.run import Artefact
    from heisenberg.readers.json_head import Shape

_EMPTY = Raw(b"[]")
_KEYS = frozenset({"tool", "summary", "tests"})
_STATUS = {
    "passed": Status.PASSED,
    "failed": Status.FAILED,
    "skipped": Status.SKIPPED,
    "pending": Status.SKIPPED,
}
_UNTOLD_TRY = (
    "This try failed and a retry passed; the report keeps no error text of a try that was retried."
)


class _Try(Struct, gc=False):
    """An element of `retryAttempts`."""

    attempt: int | None = None
    status: str = ""
    duration: float | None = None
    message: str | None = None
    trace: str | None = None
    snippet: str | None = None
    start: float | None = None
    stdout: Raw = _EMPTY
    stderr: Raw = _EMPTY


class _Test(Struct, gc=False, rename="camel"):
    """An element of `tests`."""

    name: str = ""
    status: str = ""
    duration: float | None = None
    start: float | None = None
    suite: str | list[str] | None = None
    message: str | None = None
    trace: str | None = None
    snippet: str | None = None
    line: int | None = None
    raw_status: str | None = None
    tags: list[str] = []
    file_path: str | None = None
    retries: int | None = None
    flaky: bool | None = None
    browser: str | None = None
    thread_id: str | None = None
    retry_attempts: Raw = _EMPTY
    stdout: Raw = _EMPTY
    stderr: Raw = _EMPTY


class _Tool(Struct, gc=False):
    name: str = ""
    version: str | None = None


class _Summary(Struct, gc=False):
    start: float | None = None
    stop: float | None = None


class _Results(Struct, gc=False):
    tool: _Tool | None = None
    summary: _Summary | None = None
    tests: list[_Test] | None = None
    environment: Raw = Raw(b"{}")


class _Report(Struct, gc=False):
    results: _Results | None = None


def sniff(shape: Shape) -> bool:
    """Tell by the first keys whether JSON is this format."""
    return "reportFormat" in shape or len(shape.get("results", frozenset()) & _KEYS) > 1


def read(artefact: Artefact) -> Run:
    """Read every test and its attempts.

    Raises:
        MalformedError: The JSON is broken, or has no tests.
        TooLargeError: It is beyond what can be held.
    """
    with no_collection():
        results = decode(artefact, _Report).results
        if results is None or results.tests is None:
            raise MalformedError("no 'results.tests' array; is this a CTRF report?")
        repeats: Counter[TestId] = Counter()
        tests = tuple(_test(test, artefact.source, repeats) for test in results.tests)
        return _run(results, tests, artefact.source)


def _run(results: _Results, tests: tuple[Test, ...], source: str) -> Run:
    """Put the run together."""
    summary = results.summary or _Summary()
    start, stop = summary.start, summary.stop
    return Run(
        tests=tests,
        started_at=_moment(start),
        duration_ms=stop - start if start and stop and stop >= start else None,
        sources=(source,),
        metadata=_metadata(results),
    )


def _metadata(results: _Results) -> Mapping[str, str]:
    """The tool and what is said of its environment."""
    tool = results.tool or _Tool()
    facts = {"producer": tool.name, "version": tool.version or ""}
    for key, value in as_object(results.environment).items():
        if isinstance(value, (str, int, float)):
            facts.setdefault(key, str(value))
    return {key: value for key, value in facts.items() if value}


def _test(test: _Test, source: str, repeats: Counter[TestId]) -> Test:
    """Convert a test; the same one again is a repetition."""
    file = (test.file_path or "").replace("\\", "/")
    plain = TestId(file, _titles(test, file), test.browser or "")
    test_id = TestId(plain.file, plain.titles, plain.project, repeats[plain])
    repeats[plain] += 1
    return Test(
        test_id,
        _attempts(test, Place(source, near=msgspec.json.encode(test.name).decode()[1:-1])),
        location=Location(file, test.line) if file and test.line else None,
        tags=tuple(test.tags),
    )


def _titles(test: _Test, file: str) -> tuple[str, ...]:
    suite = test.suite or []
    return title_path(split_suite(suite) if isinstance(suite, str) else suite, test.name, file)


def _attempts(test: _Test, place: Place) -> tuple[Attempt, ...]:
    """Tries before the last, as told or as counted, then the last."""
    status = _status(test)
    told = decode_part(test.retry_attempts, _Try)
    earlier = [_try(one, place) for one in sorted(told, key=lambda one: one.attempt or 0)]
    is_flaky = status is Status.PASSED and bool(test.flaky)
    if earlier and earlier[-1].status is status and len(earlier) > (test.retries or 0):
        earlier.pop()  # some tools list the last try among the retries, too
    if not earlier and status is not Status.SKIPPED and (is_flaky or status is Status.FAILED):
        count = max(test.retries or 0, int(is_flaky))
        text = _UNTOLD_TRY if is_flaky else test.message or _UNTOLD_TRY
        failure = Failure(strip_escapes(text), place)
        earlier = [Attempt(Status.FAILED, failures=(failure,))] * min(count, 100)
    last = _attempt(test, status, place, keep=bool(earlier) or status is Status.FAILED)
    return tuple(
        Attempt(
            a.status, i, a.started_at, a.duration_ms, a.failures, stdout=a.stdout, stderr=a.stderr
        )
        if i
        else a
        for i, a in enumerate((*earlier, last))
    )


def _status(test: _Test) -> Status:
    """Status of the last try; `other` is what the tool's own word for it says."""
    known = _STATUS.get(test.status)
    if known is not None:
        return known
    word = (test.raw_status or "").lower().replace("_", "").replace(" ", "")
    if word in {"timedout", "timeout"}:
        return Status.TIMED_OUT
    if word == "interrupted":
        return Status.INTERRUPTED
    return Status.FAILED if test.message or test.trace else Status.SKIPPED


def _try(one: _Try, place: Place) -> Attempt:
    """An earlier try; one without a known status failed, else there would be no retry."""
    return _attempt(one, _STATUS.get(one.status, Status.FAILED), place, keep=True)


def _attempt(one: _Test | _Try, status: Status, place: Place, *, keep: bool) -> Attempt:
    """Convert a try; output only where it is asked for."""
    red = status not in {Status.PASSED, Status.SKIPPED}
    return Attempt(
        status,
        0,
        _moment(one.start),
        one.duration if one.duration is not None and one.duration >= 0 else None,
        (told_failure(one.message, one.trace, place, snippet=one.snippet),) if red else (),
        stdout=_output(one.stdout) if keep else "",
        stderr=_output(one.stderr) if keep else "",
    )


def _output(raw: Raw) -> str:
    """Lines of output, given as an array of strings or as one."""
    try:
        value = msgspec.json.decode(bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    lines = value if isinstance(value, list) else [value]
    return strip_escapes("\n".join(line for line in lines if isinstance(line, str)))


def _moment(milliseconds: float | None) -> datetime | None:
    """Aware UTC of an epoch time in ms; of one in seconds, as some tools write, too."""
    if not milliseconds or milliseconds < 0:
        return None
    seconds = milliseconds / 1000 if milliseconds > 1e11 else milliseconds  # noqa: PLR2004 (year 5138)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None

"""Small builders of what the analysis and the diagnosis take in, for their tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from heisenberg.analysis.facts import read_facts
from heisenberg.diagnosis.context import Context
from heisenberg.model.correlation import FailedTest, Suspect, SuspectKind
from heisenberg.model.diagnosis import Evidence
from heisenberg.model.failure import Failure
from heisenberg.model.logs import Level, LogRecord
from heisenberg.model.run import Attempt, Place, Run, Status, Test, TestId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heisenberg.diagnosis.claim import Citation
    from heisenberg.model.facts import Facts

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment, in seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def a_failure(message: str = "Error: boom", **changes: str) -> Failure:
    """A failure of a report."""
    return Failure(
        message,
        Place("report.json"),
        type=changes.get("type", ""),
        stack=changes.get("stack", ""),
        snippet=changes.get("snippet", ""),
    )


def facts_of(message: str, status: Status | None = None, **changes: str) -> Facts:
    """A failure, read."""
    return read_facts(a_failure(message, **changes), status)


def an_attempt(
    start: float | None = None,
    seconds: float = 1.0,
    message: str = "",
    *,
    retry: int = 0,
    status: Status | None = None,
) -> Attempt:
    """An attempt that passed, or failed with the message."""
    return Attempt(
        status or (Status.FAILED if message else Status.PASSED),
        retry,
        started_at=None if start is None else at(start),
        duration_ms=None if start is None else seconds * 1000,
        failures=(a_failure(message),) if message else (),
    )


def a_test(title: str, *attempts: Attempt, file: str = "shop.spec.ts") -> Test:
    """A test with its attempts."""
    return Test(TestId(file, (title,)), attempts)


def a_run(*tests: Test) -> Run:
    """A run of the tests, with the times of their attempts."""
    return Run(tests)


def a_record(
    seconds: float | None,
    message: str,
    level: Level = Level.INFO,
    *,
    request: tuple[str, str, int] | None = None,
    **changes: Any,
) -> LogRecord:
    """A record of a service's log, `request` being (method, path, status)."""
    method, path, status = request or ("", "", None)
    exception = changes.get("exception", "")
    service = changes.setdefault("service", "api")
    return LogRecord(
        source=f"logs/{service}.log",
        offset=0,
        timestamp=None if seconds is None else at(seconds),
        level=level,
        message=message,
        text=f"{message}\n{exception}" if exception else message,
        method=method,
        path=path,
        status=status,
        **changes,
    )


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """A log source in memory, its records in the order of time."""

    service: str
    entries: Sequence[LogRecord] = field(default_factory=tuple)
    zone_assumed: bool = False

    @property
    def source(self) -> str:
        """As its records name it."""
        return f"logs/{self.service}.log"

    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time; None when it has none."""
        times = [r.timestamp for r in self.entries if r.timestamp]
        return (min(times), max(times)) if times else None

    def window(self, start: datetime, end: datetime) -> Iterator[LogRecord]:
        """Records from `start` to `end`, both included."""
        return (r for r in self.entries if r.timestamp and start <= r.timestamp <= end)

    def head(self, n: int) -> list[LogRecord]:
        """Its first `n` records."""
        return list(self.entries[:n])


def a_suspect(
    kind: SuspectKind = SuspectKind.EXCEPTION, root: LogRecord | None = None, **changes: Any
) -> Suspect:
    """A suspect, well suspected unless told otherwise."""
    record = root or a_record(1, "it broke", Level.ERROR)
    assert record.timestamp is not None
    suspect = Suspect(
        kind=kind,
        service=record.service,
        signature=f"{record.service}: {record.message}",
        root=record,
        chain=(),
        time=record.timestamp,
        fit=1.0,
        noise=0.0,
        score=0.9,
    )
    return replace(suspect, **changes)


def failed(
    title: str,
    message: str = "Error: boom",
    *suspects: Suspect,
    start: float = 0.0,
    is_flaky: bool = False,
    file: str = "shop.spec.ts",
) -> FailedTest:
    """A failed test, or one that passed when it was tried again."""
    bad = an_attempt(start, 2.0, message)
    again = (an_attempt(start + 3, retry=1),) if is_flaky else ()
    test = a_test(title, bad, *again, file=file)
    return FailedTest(test, bad, facts_of(message), suspects, ((at(start), at(start + 2)),))


def a_context(
    message: str, cause: Suspect | None = None, *, is_flaky: bool = False, **changes: Any
) -> Context:
    """An incident of one test that failed with the message."""
    test = failed("a test", message, is_flaky=is_flaky)
    context = Context(
        facts=(test.facts,),
        tests=(test,),
        cause=cause,
        related=(),
        services=("api", "web"),
        offsets=(),
        answering=("api",),
        run_passed=20,
    )
    return replace(context, **changes)


def accept_all(citations: Sequence[Citation]) -> list[Evidence]:
    """A verify that finds every quote."""
    return [Evidence(where.source, 1, c.quote) for c in citations if (where := c.record or c.place)]

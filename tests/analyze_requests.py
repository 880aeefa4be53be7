"""Labelled cases as a CI job would send them to the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heisenberg.model.run import Artefact, Outcome
from heisenberg.readers import registry
from heisenberg.readers.logs import open_log

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "shop/checkout"


def case_request(case: Path, *, with_times: bool = True) -> dict[str, Any]:
    """A labelled case as the body of `POST /analyze`.

    Args:
        case: Its folder.
        with_times: Whether each entry tells its time beside its message, which has its own.
    """
    report = next(p for p in (case / "report.json", case / "junit.xml") if p.exists())
    run = registry.read(artefact(report))
    outcomes = [t.outcome for t in run.tests]
    return {
        "repository": REPOSITORY,
        "commit_sha": "4f2a9c1d7e",
        "branch": "main",
        "pull_request_number": 7,
        "start_time": run.started_at and run.started_at.isoformat(),
        "duration_ms": run.duration_ms,
        "total_tests": len(outcomes),
        "passed_tests": outcomes.count(Outcome.PASSED) + outcomes.count(Outcome.FLAKY),
        "skipped_tests": outcomes.count(Outcome.SKIPPED),
        "failed_tests": [
            {
                "title": test.id.title,
                "file": test.id.file,
                "project": test.id.project,
                "duration_ms": attempt.duration_ms,
                "start_time": attempt.started_at and attempt.started_at.isoformat(),
                "errors": [{"message": f.message, "stack": f.stack} for f in attempt.failures],
            }
            for test in run.tests
            if test.outcome is Outcome.FAILED
            for attempt in test.bad_attempts
        ],
        "container_logs": [
            {"container_name": path.stem, "entries": _entries(path, with_times=with_times)}
            for path in sorted((case / "logs").iterdir())
        ],
    }


def artefact(path: Path) -> Artefact:
    """A file under its own name."""
    return Artefact(path.name, path, path.stat().st_size)


def _entries(path: Path, *, with_times: bool) -> list[dict[str, Any]]:
    times: dict[int, str] = {}
    if with_times:
        with open_log(artefact(path)) as log:
            times = {r.offset: r.timestamp.isoformat() for r in log.records() if r.timestamp}
    entries, offset, time = [], 0, None
    for line in path.read_bytes().split(b"\n")[:-1]:
        time = times.get(offset, time)
        entries.append({"timestamp": time, "message": line.decode(), "stream": "stdout"})
        offset += len(line) + 1
    return entries

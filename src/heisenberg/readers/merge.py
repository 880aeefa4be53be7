"""Make one run of what several reports tell: shards, repeated jobs, one run in two formats."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from heisenberg.model.run import Outcome, Run, Status, Test, TestId
from heisenberg.text import fold_whitespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heisenberg.model.run import Attempt

_SAME_MS = 1.5
"""Reports of one run round durations differently, by no more than this."""
_SAME_START = timedelta(seconds=10)
"""Reporters note the start of one run at slightly different moments."""
_ZONE_STEP = timedelta(minutes=15)
"""Zones differ by multiples of this: so may times of one run when one names no zone."""
_MOST = 0.9
"""Share of durations that must agree: some formats give the last try's, some the sum."""
_LATEST = datetime.max.replace(tzinfo=UTC)


def merge(runs: Sequence[Run]) -> Run:
    """Merge reports of one execution.

    A run that two reports tell of counts once, as the richer tells it. The same test in several
    runs has the attempts of all of them, in order of time; where the runs went on at the same time
    and the test failed in one, it is two tests, told apart by the project.

    Args:
        runs: Any number, in any order, which does not matter.

    Returns:
        One run; without tests when there are none.
    """
    ordered = sorted(runs, key=_order)
    if not ordered:
        return Run(tests=())
    kept: list[Run] = []
    for run in ordered:
        twin = next((i for i, other in enumerate(kept) if is_same_run(other, run)), None)
        if twin is None:
            kept.append(run)
        else:
            kept[twin] = _richer(kept[twin], run)
    return kept[0] if len(kept) == 1 else _joined(kept)


def _order(run: Run) -> tuple[datetime, tuple[str, ...], int, str]:
    """By time; runs without one by name."""
    first = str(run.tests[0].id) if run.tests else ""
    return (run.started_at or _LATEST, run.sources, len(run.tests), first)


def is_same_run(one: Run, other: Run) -> bool:
    """Whether two reports tell of the same execution.

    The tests must pair up by the ends of their titles, fail alike, and have taken as long.
    """
    if len(one.tests) != len(other.tests) or not one.tests or not _may_start_together(one, other):
        return False
    known = agreeing = 0
    for a, b in zip(_by_title(one.tests), _by_title(other.tests), strict=True):
        if not a[0].startswith(b[0]) and not b[0].startswith(a[0]):
            return False
        if not _alike(a[1], b[1]):
            return False
        if a[1].id.project and b[1].id.project and a[1].id.project != b[1].id.project:
            return False
        durations = _duration(a[1]), _duration(b[1])
        if durations[0] is not None and durations[1] is not None:
            known += 1
            agreeing += abs(durations[0] - durations[1]) <= _SAME_MS
    if not known:
        return _without_places(one) == _without_places(other)
    return agreeing >= _MOST * known


def _by_title(tests: Iterable[Test]) -> list[tuple[str, Test]]:
    """Tests with their titles backwards, sorted, so that equal endings meet."""
    items = ((fold_whitespace(" ".join(t.id.titles))[::-1], t) for t in tests)
    return sorted(items, key=lambda i: (i[0], i[1].id.project, _duration(i[1]) or 0))


def _alike(one: Test, other: Test) -> bool:
    """Whether the outcomes can be of one test: poorer formats take flaky for passed."""
    pair = {one.outcome, other.outcome}
    return len(pair) == 1 or pair == {Outcome.FLAKY, Outcome.PASSED}


def _duration(test: Test) -> float | None:
    """Time that all attempts took, when all tell."""
    total = 0.0
    for attempt in test.attempts:
        if attempt.duration_ms is None:
            return None
        total += attempt.duration_ms
    return total


def _may_start_together(one: Run, other: Run) -> bool:
    """Whether the starts do not speak against it."""
    if one.started_at is None or other.started_at is None:
        return True
    apart = abs(one.started_at - other.started_at)
    if "timezone" in one.metadata or "timezone" in other.metadata:
        apart %= _ZONE_STEP
        apart = min(apart, _ZONE_STEP - apart)
    return apart <= _SAME_START


def _without_places(run: Run) -> list[tuple[TestId, tuple[tuple[Status, float | None], ...]]]:
    """What a copy of the report would say, too."""
    return [(t.id, tuple((a.status, a.duration_ms) for a in t.attempts)) for t in run.tests]


def _richer(one: Run, other: Run) -> Run:
    """The run that tells more, credited to the sources of both."""
    best, second = (one, other) if _wealth(one) >= _wealth(other) else (other, one)
    return dataclasses.replace(best, sources=tuple(dict.fromkeys((*best.sources, *second.sources))))


def _wealth(run: Run) -> tuple[int, int, int, int]:
    """How much a run tells: attempts and their times first."""
    attempts = [a for t in run.tests for a in t.attempts]
    return (
        len(attempts),
        sum(a.started_at is not None for a in attempts),
        sum(len(a.steps) + len(a.attachments) for a in attempts),
        sum(len(f.message) for a in attempts for f in a.failures),
    )


def _joined(runs: list[Run]) -> Run:
    """Put together runs of which no two are the same."""
    tests: dict[TestId, Test] = {}
    origin: dict[TestId, Run] = {}
    offset = 0
    for run in runs:
        top = -1
        for test in run.tests:
            top = max(top, *(-1 if a.worker is None else a.worker for a in test.attempts), -1)
            moved = _with_workers(test, offset)
            known = tests.get(test.id)
            if known is None:
                tests[test.id] = moved
                origin[test.id] = run
            elif _side_by_side(origin[test.id], run) and Outcome.FAILED in {
                known.outcome,
                test.outcome,
            }:
                _add_beside(tests, moved, run)
            else:
                tests[test.id] = _with_all_attempts(known, moved)
        offset += top + 1
    return _summary(runs, tuple(tests.values()))


def _with_workers(test: Test, offset: int) -> Test:
    """Number a run's workers on from those of the runs before: they are other processes."""
    if not offset or all(a.worker is None for a in test.attempts):
        return test
    attempts = tuple(
        a if a.worker is None else replace(a, worker=a.worker + offset) for a in test.attempts
    )
    return replace(test, attempts=attempts)


def _side_by_side(one: Run, other: Run) -> bool:
    """Whether two runs went on at the same time, so that neither can be the other's retry."""
    spans = _span(one), _span(other)
    if spans[0] is None or spans[1] is None:
        return False
    return spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def _span(run: Run) -> tuple[datetime, datetime] | None:
    """Start and end."""
    if run.started_at is None or run.duration_ms is None:
        return None
    try:
        return run.started_at, run.started_at + timedelta(milliseconds=run.duration_ms)
    except OverflowError:
        return None


def _add_beside(tests: dict[TestId, Test], test: Test, run: Run) -> None:
    """Add a test as another project, named by where it comes from."""
    label = run.sources[0].rpartition(".")[0] or run.sources[0] if run.sources else "other"
    project = f"{test.id.project} {label}".strip()
    test_id = replace(test.id, project=project)
    while test_id in tests:
        test_id = replace(test_id, repeat=test_id.repeat + 1)
    tests[test_id] = replace(test, id=test_id)


def _with_all_attempts(one: Test, other: Test) -> Test:
    """Join the attempts of one test, in order of time, each once."""
    attempts = list(one.attempts)
    for attempt in other.attempts:
        twin = next((i for i, a in enumerate(attempts) if _is_same_attempt(a, attempt)), None)
        if twin is None:
            attempts.append(attempt)
        elif _is_fuller(attempt, attempts[twin]):
            attempts[twin] = attempt
    if all(a.started_at for a in attempts):
        attempts.sort(key=lambda a: a.started_at or _LATEST)
    numbered = tuple(replace(a, retry=i) if a.retry != i else a for i, a in enumerate(attempts))
    return replace(one, attempts=numbered)


def _is_same_attempt(one: Attempt, other: Attempt) -> bool:
    """Whether two reports tell of one attempt: a shard's and the whole run's."""
    if one.status is not other.status:
        return False
    if one.started_at is not None and other.started_at is not None:
        return one.started_at == other.started_at and one.duration_ms == other.duration_ms
    if not one.duration_ms or not other.duration_ms or one.started_at is other.started_at:
        return False
    return abs(one.duration_ms - other.duration_ms) <= _SAME_MS


def _is_fuller(one: Attempt, other: Attempt) -> bool:
    """Whether an attempt tells more than its twin."""
    return (one.started_at is not None, len(one.steps)) > (
        other.started_at is not None,
        len(other.steps),
    )


def _summary(runs: list[Run], tests: tuple[Test, ...]) -> Run:
    """The run around the tests."""
    starts = [run.started_at for run in runs if run.started_at is not None]
    spans = [span for span in map(_span, runs) if span is not None]
    durations = [run.duration_ms for run in runs if run.duration_ms is not None]
    duration_ms = sum(durations) if durations else None
    if len(spans) == len(runs):
        first, last = min(s[0] for s in spans), max(s[1] for s in spans)
        duration_ms = (last - first) / timedelta(milliseconds=1)
    workers = [run.workers for run in runs if run.workers is not None]
    parallel = any(_side_by_side(a, b) for i, a in enumerate(runs) for b in runs[i + 1 : i + 2])
    metadata: dict[str, str] = {}
    for run in reversed(runs):
        metadata |= run.metadata
    failures = {(f.message, f.place): f for run in runs for f in run.failures}
    return Run(
        tests=tests,
        failures=tuple(failures.values()),
        started_at=min(starts) if starts else None,
        duration_ms=duration_ms,
        workers=(sum(workers) if parallel else max(workers)) if workers else None,
        interrupted=any(run.interrupted for run in runs),
        sources=tuple(dict.fromkeys(s for run in runs for s in run.sources)),
        metadata=metadata,
    )

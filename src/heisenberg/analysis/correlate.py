"""Tell for each failed test which happenings in the logs may have made it fail.

A happening is suspected the more, the better its time and subject fit the failing wait, and the
less it would be expected there anyway: its rate in the time in which only passing tests ran gives
the chance (Poisson) that one falls into the window though nothing is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heisenberg.analysis.clock import estimate_offsets
from heisenberg.analysis.facts import read_facts
from heisenberg.analysis.happenings import observe
from heisenberg.analysis.outages import find_outages
from heisenberg.analysis.scene import Failing, Passing, Scene
from heisenberg.analysis.suspicion import suspects_of
from heisenberg.analysis.windows import Span, merge, own_span, run_span, subtract, window
from heisenberg.model.correlation import Correlation, FailedTest
from heisenberg.model.diagnosis import Symptom
from heisenberg.model.failure import Failure
from heisenberg.model.run import Outcome, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.analysis.happenings import Observations
    from heisenberg.model.correlation import Suspect
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogSource
    from heisenberg.model.run import Attempt, Run, Test

MAX_SUSPECTS = 8
"""Kept per test; the rest is far behind."""


def correlate(
    run: Run,
    logs: Sequence[LogSource],
    progress: Callable[[str], None] = lambda _: None,
) -> Correlation:
    """Correlate every failed and flaky test of a run with the logs.

    Args:
        run: Merged from all its reports.
        logs: Any number of logs; none is fine.
        progress: Told what is being read.

    Returns:
        One entry a failed or flaky test, in report order; suspects best first.
    """
    bad = [t for t in run.tests if t.outcome in (Outcome.FAILED, Outcome.FLAKY)]
    whole = run_span(run) or _span_of(logs)
    facts = {id(a): _facts_of(a) for t in bad for a in t.bad_attempts}
    services = tuple(dict.fromkeys(log.service for log in logs))
    if whole is None or not bad:
        tests = tuple(_speaking(t, facts, {}) for t in bad)
        return Correlation(tests, services=services, has_times=False)
    offsets = estimate_offsets(logs, whole)
    is_estimated = run.metadata.get("times") == "estimated"
    failing = [
        Failing(t, a, facts[id(a)], window(a, facts[id(a)], whole, is_estimated=is_estimated))
        for t in bad
        for a in t.bad_attempts
    ]
    spans = merge(f.window.span for f in failing)
    seen = observe(logs, offsets, whole, spans, progress)
    passing = tuple(
        Passing(t, span)
        for t in run.tests
        for a in t.attempts
        if t.is_fine(a) and (span := own_span(a))
    )
    ports = {port: a.service for a in seen.activities.values() for port in a.ports}
    clean = subtract((p.span for p in passing), spans)
    suspects = suspects_of(
        Scene(
            failing, passing, seen, find_outages(seen, whole), clean, is_estimated, services, ports
        )
    )
    tests = tuple(_speaking(t, facts, suspects) for t in bad)
    return Correlation(
        tests,
        offsets=offsets,
        services=services,
        answering=_answering(seen),
        ports=ports,
        has_times=any(f.window.is_exact for f in failing),
    )


def _span_of(logs: Sequence[LogSource]) -> Span | None:
    """What the logs cover together, for a report without any time."""
    spans = [span for log in logs if (span := log.span())]
    return Span(min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None


def _answering(seen: Observations) -> tuple[str, ...]:
    telling = sorted(seen.activities.values(), key=lambda a: (-a.answers, a.source))
    return tuple(a.service for a in telling if a.answers)


def _facts_of(attempt: Attempt) -> Facts:
    if not attempt.failures:
        message = f"the attempt ended as {attempt.status} without an error"
        return read_facts(Failure(message, Place("")), attempt.status)
    read = [read_facts(failure, attempt.status) for failure in attempt.failures]
    # A test's time-out is reported beside the wait that ran into it: the wait tells more.
    return max(
        read, key=lambda f: (bool(f.matcher or f.action or f.network_error), not f.is_test_timeout)
    )


def _speaking(
    test: Test, facts: dict[int, Facts], suspects: dict[int, list[Suspect]]
) -> FailedTest:
    """Join the attempts of a test: the best suspects of all, the most telling failure."""
    attempts = test.bad_attempts
    pooled: dict[str, list[Suspect]] = {}
    for attempt in attempts:
        for suspect in suspects.get(id(attempt), []):
            pooled.setdefault(suspect.signature, []).append(suspect)
    ranked = [_pool(same, len(attempts)) for same in pooled.values()]
    ranked.sort(key=lambda s: (-s.score, s.time))
    best = max(attempts, key=lambda a: _telling(facts[id(a)]))
    windows = tuple((span.start, span.end) for a in attempts if (span := own_span(a)) is not None)
    return FailedTest(test, best, facts[id(best)], tuple(ranked[:MAX_SUSPECTS]), windows)


def _pool(same: list[Suspect], attempts: int) -> Suspect:
    """One suspect seen near several attempts of a test: near all is more, near few is less."""
    best = max(same, key=lambda s: s.score)
    share = len(same) / attempts
    return replace(best, score=best.score * (0.6 + 0.4 * share))


def _telling(facts: Facts) -> tuple[bool, bool, int]:
    return (bool(facts.headline), facts.symptom is not Symptom.OTHER, len(facts.failure.message))

"""Tell for each failed test which happenings in the logs may have made it fail.

A happening is suspected the more, the better its time and subject fit the failing wait, and the
less it would be expected there anyway: its rate in the time in which only passing tests ran gives
the chance (Poisson) that one falls into the window though nothing is wrong.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from heisenberg.analysis.clock import estimate_offsets
from heisenberg.analysis.facts import read_facts
from heisenberg.analysis.frames import is_library, own_frame, raised, read_frames
from heisenberg.analysis.happenings import LONGEST_MS, Happening, join, observe
from heisenberg.analysis.normalize import normalize
from heisenberg.analysis.outages import find_outages
from heisenberg.analysis.trouble import INFRASTRUCTURE, name_trouble
from heisenberg.analysis.windows import Span, Window, merge, run_span, subtract, window
from heisenberg.model.correlation import Correlation, FailedTest, Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism, Symptom
from heisenberg.model.failure import Failure
from heisenberg.model.logs import Level
from heisenberg.model.run import Outcome, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.analysis.happenings import Observations, Sighting
    from heisenberg.analysis.outages import Outage
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogRecord, LogSource
    from heisenberg.model.run import Attempt, Run, Test

MAX_SUSPECTS = 8
"""Kept per test; the rest is far behind."""
MIN_SCORE = 0.08
PRIOR_NOISE = 0.5
"""Sightings added to what was counted in clean time, so that never seen is not never there."""

PRIOR = {
    SuspectKind.EXCEPTION: 0.95,
    SuspectKind.OUTAGE: 0.92,
    SuspectKind.ERROR: 0.75,
    SuspectKind.REQUEST: 0.7,
    SuspectKind.SLOW: 0.5,
    SuspectKind.WARNING: 0.2,
}
"""How much each kind is suspected before time, subject and noise are looked at."""
CLIENT_ERROR = 0.45
"""Factor for a request refused with 4xx: often what the test meant to provoke."""
UNTIED = 0.75
"""Factor for an error that belongs to no request: background work fails without a test noticing."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DULL = frozenset(
    """
    a an and api app at be by can create do for from get has have in into is it its new no not of
    on or page post should spec src test tests that the then to ts js py when with expect await
    const http https
    """.split()  # noqa: SIM905 -- a list of words reads best as words
)
"""Words that tell nothing about what a test or a route is about."""


@dataclass(frozen=True, slots=True)
class _Failing:
    """A failing attempt."""

    test: Test
    attempt: Attempt
    facts: Facts
    window: Window


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
    failing = [
        _Failing(t, a, facts[id(a)], window(a, facts[id(a)], whole))
        for t in bad
        for a in t.bad_attempts
    ]
    spans = merge(f.window.span for f in failing)
    seen = observe(logs, offsets, whole, spans, progress)
    clean = subtract(
        (
            w.span
            for t in run.tests
            for a in t.attempts
            if t.is_fine(a) and (w := window(a, None, whole)).is_exact
        ),
        spans,
    )
    happenings = join(seen.unusual)
    outages = find_outages(seen, whole)
    suspects = _suspects(failing, happenings, outages, seen, clean)
    tests = tuple(_speaking(t, facts, suspects) for t in bad)
    return Correlation(
        tests,
        offsets=offsets,
        services=services,
        answering=_answering(seen),
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
    windows = tuple(
        (a.started_at, a.started_at + timedelta(milliseconds=a.duration_ms or 0))
        for a in attempts
        if a.started_at
    )
    return FailedTest(test, best, facts[id(best)], tuple(ranked[:MAX_SUSPECTS]), windows)


def _pool(same: list[Suspect], attempts: int) -> Suspect:
    """One suspect seen near several attempts of a test: near all is more, near few is less."""
    best = max(same, key=lambda s: s.score)
    share = len(same) / attempts
    return replace(best, score=best.score * (0.6 + 0.4 * share))


def _telling(facts: Facts) -> tuple[bool, bool, int]:
    return (bool(facts.headline), facts.symptom is not Symptom.OTHER, len(facts.failure.message))


def _suspects(
    failing: Sequence[_Failing],
    happenings: Sequence[Happening],
    outages: Sequence[Outage],
    seen: Observations,
    clean: Sequence[Span],
) -> dict[int, list[Suspect]]:
    """Suspects of each failing attempt, by the identity of the attempt."""
    found: dict[int, list[Suspect]] = {id(f.attempt): [] for f in failing}
    clean_s = sum(span.seconds for span in clean)
    noises: dict[str, float] = {}
    ordered = sorted(failing, key=lambda f: f.window.span.start)
    active: list[_Failing] = []
    upcoming = 0
    for happening in happenings:
        while upcoming < len(ordered) and ordered[upcoming].window.span.start <= happening.time:
            active.append(ordered[upcoming])
            upcoming += 1
        reach = happening.time - timedelta(milliseconds=LONGEST_MS)
        active = [f for f in active if f.window.span.end >= reach]
        near = [f for f in active if _reaches(f, happening)]
        if not near:
            continue
        base = _suspect(happening)
        tokens = _path_tokens(happening)
        fits = [(f, _fit(f, happening, tokens)) for f in near]
        best = max(fit for _, fit in fits)
        for f, fit in fits:
            # A request has one sender. Where windows overlap, the one that it fits best counts.
            claim = fit if fit >= 0.85 * best else fit * 0.55
            key = f"{base.signature} {f.window.span.seconds:.0f}"
            noise = noises.get(key)
            if noise is None:
                noise = noises[key] = _noise(happening, seen, clean, clean_s, f.window)
            score = base.score * claim * (1 - noise)
            if score >= MIN_SCORE:
                found[id(f.attempt)].append(replace(base, fit=fit, noise=noise, score=score))
    for outage in outages:
        for f in failing:
            suspect = _outage_suspect(outage, f)
            if suspect:
                found[id(f.attempt)].append(suspect)
    return {key: _best_of_each(suspects) for key, suspects in found.items()}


def _best_of_each(suspects: list[Suspect]) -> list[Suspect]:
    """Of happenings with one signature the best; the most suspected first."""
    best: dict[str, Suspect] = {}
    for suspect in suspects:
        known = best.get(suspect.signature)
        if known is None or suspect.score > known.score:
            best[suspect.signature] = suspect
    return sorted(best.values(), key=lambda s: (-s.score, s.time))[:MAX_SUSPECTS]


def _reaches(f: _Failing, happening: Happening) -> bool:
    span = f.window.span
    return happening.began <= span.end and happening.time >= span.start


def _fit(f: _Failing, happening: Happening, tokens: frozenset[str]) -> float:
    """How well time and subject fit, in [0, 1]."""
    if f.window.is_exact:
        began, focus = happening.began, f.window.focus
        if focus.holds(began):
            time = 1.0
        else:
            away = (
                focus.start - began if began < focus.start else began - focus.end
            ).total_seconds()
            time = max(0.25, 0.8 - 0.12 * away)
    else:
        time = 0.6
    return 0.7 * time + 0.3 * _subject(f, tokens)


def _subject(f: _Failing, tokens: frozenset[str]) -> float:
    """Whether the request is about what the test is about."""
    if not tokens:
        return 0.6
    test = f.test.id
    code = _words(" ".join((f.facts.code, *f.facts.code_before, f.facts.url, f.facts.locator)))
    if tokens & code:
        return 1.0
    return 0.85 if tokens & _words(f"{test.title} {test.file}") else 0.3


def _path_tokens(happening: Happening) -> frozenset[str]:
    return _words(" ".join(s.record.path for s in happening.sightings))


def _words(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        w.rstrip("s") for w in words if len(w) > 1 and w not in _DULL and not w.isdigit()
    )


def _noise(
    happening: Happening,
    seen: Observations,
    clean: Sequence[Span],
    clean_s: float,
    near: Window,
) -> float:
    """Chance that such a record falls into such a window though nothing fails."""
    root = _root(happening)
    counted = seen.count(root.template, clean)
    if not counted:
        return 0.0
    rate = (counted + PRIOR_NOISE) / max(clean_s, 1.0)
    return 1 - math.exp(-rate * near.span.seconds)


def _suspect(happening: Happening) -> Suspect:
    """The happening as a suspect, its score the prior of its kind."""
    root = _root(happening)
    record = root.record
    kind = _kind(record, happening)
    score = PRIOR[kind]
    status = next((s.record.status for s in happening.sightings if s.record.status), None)
    if kind is SuspectKind.REQUEST and status is not None and status < 500 and status != 429:  # noqa: PLR2004 (HTTP classes)
        score *= CLIENT_ERROR
    is_tied = status is not None or any(
        s.record.request_id or s.record.path for s in happening.sightings
    )
    if (
        not is_tied
        and kind in (SuspectKind.ERROR, SuspectKind.WARNING)
        and record.level < Level.FATAL
    ):
        score *= UNTIED
    text = f"{record.message}\n{record.exception[-1500:]}" if record.exception else _wording(record)
    error = raised(record.exception) if record.exception else None
    frame = own_frame(read_frames(record.exception)) if record.exception else None
    return Suspect(
        kind=kind,
        service=record.service,
        signature=_signature(kind, record),
        root=record,
        chain=tuple(s.record for s in happening.sightings if s is not root),
        time=root.time,
        fit=0.0,
        noise=0.0,
        score=score,
        trouble=_trouble(error[2] if error else "", text, status),
        error=error[2] if error else "",
        place=f"{frame.file}:{frame.line}" if frame and not is_library(frame) else "",
    )


def _wording(record: LogRecord) -> str:
    """The message and the fields that go on to explain it."""
    details = [v for v in record.fields.values() if 2 < len(v) < 300]  # noqa: PLR2004 (words, not flags)
    return "\n".join([record.message, *details])


def _trouble(error: str, text: str, status: int | None) -> Mechanism:
    """What the deepest error names; only then what is around it."""
    named = name_trouble(error)
    if named is not Mechanism.UNKNOWN:
        return named
    named = name_trouble(text)
    if named is Mechanism.UNKNOWN and status == 429:  # noqa: PLR2004 (HTTP Too Many Requests)
        return Mechanism.RATE_LIMIT
    if named is Mechanism.UNKNOWN and status in (401, 403):
        return Mechanism.AUTH
    return named


def _root(happening: Happening) -> Sighting:
    """The deepest record: the first service to complain, and there its exception."""
    complaints = [s for s in happening.sightings if _depth(s.record) >= 2]  # noqa: PLR2004 (see _depth)
    if not complaints:
        return max(happening.sightings, key=lambda s: (_depth(s.record), -s.time.timestamp()))
    first = min(complaints, key=lambda s: s.time)
    same = [s for s in complaints if s.record.source == first.record.source]
    return max(same, key=lambda s: (bool(s.record.exception), -s.time.timestamp()))


def _depth(record: LogRecord) -> int:
    """3 an exception, 2 an error in words, 1 an error status, 0 the rest."""
    if record.exception:
        return 3
    if record.level >= Level.ERROR and record.status is None:
        return 2
    return 1 if record.status is not None and record.status >= 400 else 0  # noqa: PLR2004 (HTTP errors)


def _kind(record: LogRecord, happening: Happening) -> SuspectKind:
    if record.exception:
        return SuspectKind.EXCEPTION
    if record.level >= Level.ERROR and record.status is None:
        return SuspectKind.ERROR
    if any(s.record.status is not None and s.record.status >= 400 for s in happening.sightings):  # noqa: PLR2004 (HTTP errors)
        return SuspectKind.REQUEST
    if record.level >= Level.ERROR:
        return SuspectKind.ERROR
    return SuspectKind.WARNING if record.level >= Level.WARNING else SuspectKind.SLOW


def _signature(kind: SuspectKind, record: LogRecord) -> str:
    """Same cause, same signature, whichever request or test ran into it."""
    if kind is SuspectKind.EXCEPTION:
        error = raised(record.exception)
        if error:
            named = name_trouble(error[2])
            where = ""
            if named not in INFRASTRUCTURE:
                frames = read_frames(record.exception)
                frame = own_frame(frames)
                if frame and frames and not is_library(frames[0]):
                    where = f" in {frame.file}:{frame.function}"
            return f"{record.service}: {normalize(f'{error[0]}: {error[1]}')}{where}"
    if kind in (SuspectKind.REQUEST, SuspectKind.SLOW):
        return f"{record.method} {normalize(record.path)} {record.status or ''} {kind}".strip()
    return f"{record.service}: {normalize(record.message[:400])}"


def _outage_suspect(outage: Outage, f: _Failing) -> Suspect | None:
    """The outage as a suspect of an attempt that it overlaps."""
    end = outage.end + timedelta(seconds=0.5) if outage.end else f.window.span.end
    span = f.window.span
    if outage.start > span.end or end < span.start:
        return None
    refused = bool(f.facts.network_error) or f.facts.trouble in INFRASTRUCTURE
    fit = 1.0 if refused else 0.9
    score = PRIOR[SuspectKind.OUTAGE] * fit * (1.0 if f.window.is_exact else 0.85)
    return Suspect(
        kind=SuspectKind.OUTAGE,
        service=outage.service,
        signature=f"{outage.service}: outage",
        root=outage.root.record,
        chain=(outage.back.record,) if outage.back and outage.back is not outage.root else (),
        time=outage.start,
        fit=fit,
        noise=0.0,
        score=score,
        trouble=name_trouble(outage.root.record.message),
        until=outage.end,
    )

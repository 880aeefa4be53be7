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
from typing import TYPE_CHECKING, Generic, TypeVar

from heisenberg.analysis.clock import estimate_offsets
from heisenberg.analysis.facts import read_facts
from heisenberg.analysis.happenings import LONGEST_MS, join, observe
from heisenberg.analysis.outages import find_outages
from heisenberg.analysis.suspects import PRIOR, is_mild, is_ordinary, is_tied, root_of, suspect_of
from heisenberg.analysis.trouble import INFRASTRUCTURE, SCHEMA_CHANGE, find_trouble, name_trouble
from heisenberg.analysis.windows import Span, Window, merge, own_span, run_span, subtract, window
from heisenberg.model.correlation import Correlation, FailedTest, Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism, Symptom
from heisenberg.model.failure import Failure
from heisenberg.model.run import Outcome, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from heisenberg.analysis.happenings import Happening, Observations
    from heisenberg.analysis.outages import Outage
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogSource
    from heisenberg.model.run import Attempt, Run, Test

T = TypeVar("T")

SHORT = 60
"""Characters of a message that is a name for what happened rather than a story of it."""
CLOSE = 0.88
"""Of overlapping windows all that fit at least this near the best may claim a happening."""
OUTBID = 0.55
"""Factor for the claim of a window that another fits better."""
MAX_SUSPECTS = 8
"""Kept per test; the rest is far behind."""
MIN_SCORE = 0.08
TIED_NOISE = 0.7
"""Most that an error which belongs to a request may lose for being there at other times too."""
STACK_NOISE = 0.5
"""The same for one that logs its stack."""
OUTLASTS = 0.8
"""Share of the test's patience that a slow request must take to be what it waited for."""
MIN_CONTRASTED = 3
"""Fewer failing attempts than this say nothing of what failing attempts have in common."""
PRIOR_NOISE = 0.5
"""Sightings added to what was counted in clean time, so that never seen is not never there."""

_STEM = re.compile(r"(?:ing|ed|es|s|e)$")
"""Endings that make another form of the same word: `shared` and `share`, `orders` and `order`."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DULL = frozenset(
    """
    a an and api app at be by can create do for from get has have in into is it its new no not of
    error exception failed failure finished handled request response unhandled warning
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


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is looked at together."""

    failing: Sequence[_Failing]
    passing: Sequence[_Passing]
    seen: Observations
    outages: Sequence[Outage]
    clean: Sequence[Span]
    """Time in which only passing attempts ran."""
    is_estimated: bool
    """Whether the windows may be off by a little."""
    services: tuple[str, ...]
    ports: Mapping[str, str]


class _Sweep(Generic[T]):
    """Walks spans in the order of time; asked about ever later times."""

    def __init__(self, spans: Sequence[tuple[Span, T]]) -> None:
        self._waiting = sorted(spans, key=lambda item: item[0].start, reverse=True)
        self._active: list[tuple[Span, T]] = []

    def at(self, began: datetime, time: datetime) -> list[T]:
        """What spans any moment from `began` to `time`."""
        while self._waiting and self._waiting[-1][0].start <= time:
            self._active.append(self._waiting.pop())
        oldest = time - timedelta(milliseconds=LONGEST_MS)
        self._active = [item for item in self._active if item[0].end >= oldest]
        return [value for span, value in self._active if span.end >= began]


@dataclass(frozen=True, slots=True)
class _Passing:
    """An attempt that ended as meant."""

    test: Test
    span: Span


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
        _Failing(t, a, facts[id(a)], window(a, facts[id(a)], whole, is_estimated=is_estimated))
        for t in bad
        for a in t.bad_attempts
    ]
    spans = merge(f.window.span for f in failing)
    seen = observe(logs, offsets, whole, spans, progress)
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
    passing = tuple(
        _Passing(t, span)
        for t in run.tests
        for a in t.attempts
        if t.is_fine(a) and (span := own_span(a))
    )
    ports = {port: a.service for a in seen.activities.values() for port in a.ports}
    clean = subtract((p.span for p in passing), spans)
    suspects = _suspects(
        _Scene(
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


def _suspects(scene: _Scene) -> dict[int, list[Suspect]]:
    """Suspects of each failing attempt, by the identity of the attempt."""
    found: dict[int, list[Suspect]] = {id(f.attempt): [] for f in scene.failing}
    noises: dict[str, float] = {}
    suspected = _Sweep([(f.window.span, f) for f in scene.failing])
    provoking = _Sweep([(p.span, p) for p in scene.passing])
    for happening in join(scene.seen.unusual):
        near = suspected.at(happening.began, happening.until)
        provokers = provoking.at(happening.began, happening.until)
        if not near or is_ordinary(happening):
            continue
        base = suspect_of(happening, scene.services, scene.ports)
        base = _held_up(_behind(base, scene.seen), scene.seen)
        tokens = _path_tokens(happening)
        is_alone = len(near) == 1 and not is_mild(base)
        fits = [(f, _fit(f, happening, tokens, is_alone=is_alone)) for f in near]
        best = max(fit for _, fit in fits)
        provoked = (
            max((_provoked(p, tokens) for p in provokers), default=0.0) if is_mild(base) else 0.0
        )
        for f, fit in fits:
            # A request has one sender. Where windows overlap, the one that it fits best counts.
            is_outbid = (
                fit < CLOSE * best or (fit if scene.is_estimated else CLOSE * fit) < provoked
            )
            claim = fit * OUTBID if is_outbid else fit
            key = f"{base.signature} {f.window.span.seconds:.0f}"
            noise = noises.get(key)
            if noise is None:
                noise = noises[key] = _noise(happening, scene, f.window)
            score = base.score * claim * (1 - noise)
            score = min(0.9, score * _corroborated(f.facts, base))
            if base.kind is SuspectKind.SLOW and _outlasts(base, f.facts):
                score = max(score, base.score * claim)
            if is_mild(base) and is_tied(happening):
                # What every failing test runs into and no passing one is no refusal on purpose.
                score = min(0.9, score * (1 + _contrast(root_of(happening).template, scene)))
            if score >= MIN_SCORE:
                found[id(f.attempt)].append(replace(base, fit=fit, noise=noise, score=score))
    for outage in scene.outages:
        for f in scene.failing:
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


def _fit(f: _Failing, happening: Happening, tokens: frozenset[str], *, is_alone: bool) -> float:
    """How well time and subject fit, in [0, 1].

    Where no other failing attempt could have sent the request, another subject says little.
    """
    if f.window.is_exact:
        began, focus = happening.began, f.window.focus
        if focus.holds(began):
            time = 1.0
        else:
            away = (
                focus.start - began if began < focus.start else began - focus.end
            ).total_seconds()
            time = max(0.25, 0.8 - 0.12 * away)
        if happening.time > f.window.span.end:
            # It was still going on when the test gave up: told of too late to be what it saw.
            time = min(time, 0.5)
    else:
        time = 0.6 if is_tied(happening) else 0.2
    subject = _subject(f, tokens)
    return 0.65 * time + 0.35 * (max(subject, 0.6) if is_alone and f.window.is_exact else subject)


def _provoked(passing: _Passing, tokens: frozenset[str]) -> float:
    """How well a passing test would explain it, in [0, 1]: many tests provoke a refusal."""
    test = passing.test.id
    return 0.62 + (0.25 if tokens & _words(f"{test.title} {test.file}") else 0.1)


def _subject(f: _Failing, tokens: frozenset[str]) -> float:
    """Whether the request is about what the test is about, in [0, 1]."""
    if not tokens:
        return 0.6
    test, facts = f.test.id, f.facts
    places = (
        (0.3, " ".join((facts.code, *facts.code_before, facts.url)).replace(facts.locator, " ")),
        (0.3, test.title),
        (0.2, test.file),
        (0.1, facts.locator),
    )
    return min(1.0, 0.2 + sum(weight for weight, text in places if tokens & _words(text)))


def _path_tokens(happening: Happening) -> frozenset[str]:
    said = [s.record.message for s in happening.sightings if len(s.record.message) <= SHORT]
    return _words(" ".join([*said, *(s.record.path for s in happening.sightings)]))


def _words(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        _STEM.sub("", w) for w in words if len(w) > 1 and w not in _DULL and not w.isdigit()
    )


def _behind(suspect: Suspect, seen: Observations) -> Suspect:
    """The silence of the service that is complained of, when it said its last word before."""
    if suspect.trouble is not Mechanism.DEPENDENCY_DOWN or not suspect.dependency:
        return suspect
    own = [a for a in seen.activities.values() if a.service == suspect.dependency and a.last]
    if len(own) != 1 or own[0].last is None or own[0].last.time >= suspect.time:
        return suspect
    last = own[0].last
    trouble, telling = find_trouble(last.record.text[-MAX_LAST_WORDS:])
    return replace(
        suspect,
        kind=SuspectKind.OUTAGE,
        service=suspect.dependency,
        signature=f"{suspect.dependency}: outage",
        root=last.record,
        chain=(suspect.root, *suspect.chain),
        time=last.time,
        score=PRIOR[SuspectKind.OUTAGE],
        trouble=trouble,
        telling=(telling,) if telling else (),
        error="",
        place="",
        was_up=last.time >= seen.started,
    )


def _held_up(suspect: Suspect, seen: Observations) -> Suspect:
    """Add to a wait for a lock the change of the schema that was begun before it."""
    if suspect.trouble is not Mechanism.DATABASE_LOCK:
        return suspect
    begun = [
        s.record
        for s in seen.lifecycle
        if SCHEMA_CHANGE.search(s.record.message)
        and timedelta() <= suspect.time - s.time <= LOCK_HELD
    ]
    return replace(suspect, chain=(*begun[-1:], *suspect.chain)) if begun else suspect


LOCK_HELD = timedelta(seconds=120)
"""How long before a time-out the statement may have begun that holds the lock."""
MAX_LAST_WORDS = 4000
"""Characters from the end of a service's last record: a crash prints below its last line."""


def _outlasts(slow: Suspect, facts: Facts) -> bool:
    """Whether the request alone took most of what the test was ready to wait."""
    return (slow.root.duration_ms or 0) >= OUTLASTS * (facts.timeout_ms or math.inf)


def _corroborated(facts: Facts, suspect: Suspect) -> float:
    """Factor by which what the test itself saw speaks for the suspect."""
    if suspect.status is None or suspect.status < 400:  # noqa: PLR2004 (HTTP errors)
        return 1.0
    if facts.http_status == suspect.status:
        return 2.0
    reads_answer = not facts.has_received and facts.error_type.endswith(_READ_ERRORS)
    return 1.5 if reads_answer else 1.0


_READ_ERRORS = ("KeyError", "TypeError", "JSONDecodeError", "AttributeError", "IndexError")
"""What a test's code raises when an answer is not of the shape that it reads."""


def _noise(happening: Happening, scene: _Scene, near: Window) -> float:
    """Chance that such a record falls into such a window though nothing fails.

    What belongs to a request never counts as noise altogether: tests that pass may well not look
    at what failed beside them.
    """
    template = root_of(happening).template
    if near.is_exact:
        counted = scene.seen.count(template, scene.clean)
        clean_s = sum(span.seconds for span in scene.clean)
    else:
        # Without times of its own every test saw all of the run; one sighting a failure is enough.
        counted = max(0, len(scene.seen.times.get(template, ())) - 2 * len(scene.failing))
        clean_s = near.span.seconds
    if not counted:
        return 0.0
    rate = (counted + PRIOR_NOISE) / max(clean_s, 1.0)
    chance = 1 - math.exp(-rate * near.span.seconds)
    if not is_tied(happening):
        return chance
    most = STACK_NOISE if root_of(happening).record.exception else TIED_NOISE
    return most * chance * (1 - _contrast(template, scene))


def _contrast(template: str, scene: _Scene) -> float:
    """By how much more often failing attempts see such a record than passing ones, in [0, 1]."""
    if len(scene.failing) < MIN_CONTRASTED or not scene.passing:
        return 0.0
    seen = scene.seen
    failing = sum(seen.count(template, (f.window.span,)) > 0 for f in scene.failing)
    passing = sum(seen.count(template, (p.span,)) > 0 for p in scene.passing)
    return max(0.0, failing / len(scene.failing) - passing / len(scene.passing))


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

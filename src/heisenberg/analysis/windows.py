"""When the attempts of a run ran, and when inside them a cause must lie."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heisenberg.model.facts import Facts
    from heisenberg.model.run import Attempt, Run

EARLY = timedelta(milliseconds=25)
"""Reports round their times."""
LATE = timedelta(milliseconds=250)
"""A service logs a request a little after the test saw it."""
ESTIMATED = timedelta(milliseconds=400)
"""How far off a start may be that was added up from durations."""
TEARDOWN = timedelta(seconds=1)
"""After the failing wait an attempt still takes its screenshot and closes its browser."""
REACH = timedelta(seconds=2)
"""A wait follows what it waits for: the action before it and the requests that it sent."""

YEARS = range(1970, 2200)
"""In which a test can have run; arithmetic on the ends of the calendar overflows."""
LONGEST_MS = 366 * 24 * 3600 * 1000.0
"""Of any test and any wait; more is a broken clock."""


@dataclass(frozen=True, slots=True)
class Span:
    """An interval of time, aware UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()

    def holds(self, time: datetime) -> bool:
        """Whether the time lies in it, ends included."""
        return self.start <= time <= self.end

    def overlaps(self, other: Span) -> bool:
        """Whether they share a moment."""
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True, slots=True)
class Window:
    """The time of one attempt."""

    span: Span
    focus: Span
    """Where in it the cause most likely lies."""
    is_exact: bool
    """Whether the report gives the attempt's own times rather than the run's."""


def run_span(run: Run) -> Span | None:
    """From the first start to the last end; None when the report gives no times."""
    spans = [span for test in run.tests for a in test.attempts if (span := own_span(a))]
    starts = [span.start for span in spans]
    ends = [span.end for span in spans]
    if run.started_at and run.started_at.year in YEARS:
        starts.append(run.started_at)
        if run.duration_ms is not None:
            ends.append(run.started_at + _length(run.duration_ms))
    if not starts:
        return None
    start = min(starts)
    return Span(start, max([*ends, start]))


def window(
    attempt: Attempt, facts: Facts | None, whole: Span, *, is_estimated: bool = False
) -> Window:
    """The window of an attempt.

    Args:
        attempt: Any attempt of the run.
        facts: What its failure tells; None for one that passed.
        whole: The run's span, taken when the attempt has no times of its own.
        is_estimated: Its start was added up from durations, and may be off.
    """
    span = own_span(attempt)
    if span is None:
        return Window(whole, whole, is_exact=False)
    early = ESTIMATED if is_estimated else EARLY
    padded = Span(span.start - early, span.end + max(early, LATE))
    if facts is None or facts.timeout_ms is None:
        focus_start = max(padded.start, span.end - REACH - TEARDOWN)
        return Window(padded, Span(focus_start, padded.end), is_exact=True)
    wait = _length(facts.timeout_ms)
    began = max(span.start, span.end - wait)
    focus = Span(max(padded.start, began - REACH - TEARDOWN), min(padded.end, began + REACH))
    return Window(padded, focus, is_exact=True)


def own_span(attempt: Attempt) -> Span | None:
    """From its start to its end as the report gives them; None when it does not, or none credible."""
    if attempt.started_at is None or attempt.started_at.year not in YEARS:
        return None
    return Span(attempt.started_at, attempt.started_at + _length(attempt.duration_ms or 0))


def _length(duration_ms: float) -> timedelta:
    """A duration that can be reckoned with, whatever was reported."""
    return timedelta(milliseconds=min(max(0.0, duration_ms), LONGEST_MS))


def merge(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap; the result is sorted and disjoint."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


class Spans:
    """The time that spans cover together, quick to be asked however many they are."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._merged = merge(spans)
        self._starts = [span.start for span in self._merged]

    def distance(self, span: Span) -> timedelta | None:
        """How far the nearest of them is from a span; zero when one overlaps it, None without any."""
        at = bisect_right(self._starts, span.end)
        before = [span.start - self._merged[at - 1].end] if at else []
        after = [self._starts[at] - span.end] if at < len(self._starts) else []
        return max(timedelta(), min(before + after)) if before or after else None

    def overlaps(self, span: Span) -> bool:
        """Whether any of them shares a moment with a span."""
        return self.distance(span) == timedelta()


def subtract(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What of the spans lies in no hole; sorted and disjoint."""
    left: list[Span] = []
    cuts = merge(holes)
    for span in merge(spans):
        start = span.start
        for cut in cuts:
            if cut.end < start:
                continue
            if cut.start > span.end:
                break
            if cut.start > start:
                left.append(Span(start, cut.start))
            start = max(start, cut.end)
        if start < span.end:
            left.append(Span(start, span.end))
    return left

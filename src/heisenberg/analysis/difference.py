"""Tell which kinds of log record failing tests see and passing ones do not, quiet ones included.

The correlation looks at what is unusual in itself: errors, refusals, slow requests. Where that does
not settle it, a line of any level may: the cache that was cleared, the job that started twice. All
records near the failing attempts are compared with those near passing ones, in bounded time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING

from heisenberg.analysis.happenings import template
from heisenberg.analysis.windows import EARLY, LATE, Span, Spans
from heisenberg.model.correlation import Difference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from heisenberg.model.correlation import ClockOffset
    from heisenberg.model.logs import LogRecord, LogSource

MAX_FAILING = 6
"""Failing attempts that are looked at: those of one incident resemble each other."""
MAX_PASSING = 12
"""Passing attempts that they are compared with, the nearest in time."""
MAX_RECORDS = 3000
"""Of one log near one attempt: more are not read."""
MAX_DIFFERENCES = 24
MIN_EXCESS = 0.34
"""By how much more of the failing attempts than of the passing ones must see it."""


@dataclass(slots=True)
class _Kind:
    """What is seen of one kind of record."""

    record: LogRecord
    time: datetime
    to_end: timedelta
    """From the record to the end of its attempt."""
    failing: set[int] = field(default_factory=set)
    """Attempts that see it, by their number."""
    passing: set[int] = field(default_factory=set)


def differing(
    failing: Sequence[Span],
    passing: Sequence[Span],
    logs: Sequence[LogSource],
    offsets: Mapping[str, ClockOffset],
    *,
    known: Collection[str] = frozenset(),
) -> tuple[Difference, ...]:
    """Compare what the logs say near failing attempts and near passing ones.

    Args:
        failing: Spans of the failing attempts of one incident, on the report's clock.
        passing: Spans of attempts that passed, in any order.
        logs: All logs of the run.
        offsets: Of the logs whose clock is off, by source.
        known: Templates of records that need no telling.

    Returns:
        At most `MAX_DIFFERENCES`, the most telling first; without passing attempts to compare
        with, what stands nearest to the failures.
    """
    looked_at = [_padded(span) for span in failing[:MAX_FAILING]]
    if not looked_at:
        return ()
    compared = [_padded(span) for span in _nearest(passing, failing)]
    found: dict[str, _Kind] = {}
    for log in logs:
        offset = offsets[log.source].offset if log.source in offsets else timedelta()
        _note_failing(found, log, offset, looked_at)
        for number, span in enumerate(compared):
            for record in _window(log, offset, span):
                kind = found.get(template(record))
                if kind is not None:
                    kind.passing.add(number)
    told = [
        Difference(
            kind.record,
            kind.time,
            len(kind.failing) / len(looked_at),
            len(kind.passing) / len(compared) if compared else None,
        )
        for name, kind in sorted(found.items(), key=lambda e: (-e[1].record.level, e[1].to_end))
        if name not in known and _excess(kind, len(looked_at), len(compared)) >= MIN_EXCESS
    ]
    told.sort(key=lambda d: -(d.failing - (d.passing or 0.0)))
    return tuple(told[:MAX_DIFFERENCES])


def _note_failing(
    found: dict[str, _Kind], log: LogSource, offset: timedelta, spans: Sequence[Span]
) -> None:
    """Note every kind of record near failing attempts, by its record nearest to an attempt's end."""
    for number, span in enumerate(spans):
        for record in _window(log, offset, span):
            if record.timestamp is None:
                continue
            time = record.timestamp - offset
            to_end = abs(span.end - time)
            name = template(record)
            kind = found.get(name)
            if kind is None:
                kind = found[name] = _Kind(record, time, to_end)
            elif to_end < kind.to_end:
                kind.record, kind.time, kind.to_end = record, time, to_end
            kind.failing.add(number)


def _window(log: LogSource, offset: timedelta, span: Span) -> Iterator[LogRecord]:
    return islice(log.window(span.start + offset, span.end + offset), MAX_RECORDS)


def _excess(kind: _Kind, failing: int, passing: int) -> float:
    return len(kind.failing) / failing - (len(kind.passing) / passing if passing else 0.0)


def _padded(span: Span) -> Span:
    return Span(span.start - EARLY, span.end + LATE)


def _nearest(passing: Sequence[Span], failing: Sequence[Span]) -> list[Span]:
    """The passing attempts nearest in time that ran beside no failing one, in order of time."""
    beside = Spans(failing)
    far = [(d, span.start, span.end) for span in passing if (d := beside.distance(span))]
    return sorted(
        (Span(start, end) for _, start, end in nsmallest(MAX_PASSING, far)),
        key=lambda span: span.start,
    )

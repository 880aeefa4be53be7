"""Notice a log whose clock or time zone is off, by what it shares with the others.

A request id that stands in two logs was logged in both within moments; the median difference of
many such pairs is the difference of their clocks. A log without zone whose hours do not fit the
run at all is in another time zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from heisenberg.analysis.windows import Span
from heisenberg.model.correlation import ClockOffset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.model.logs import LogSource

MARGIN = timedelta(seconds=150)
"""A clock that is off by more than this is no drift but another zone."""
MIN_OFFSET = timedelta(milliseconds=750)
"""Less than this is the time that a request takes from one service to the next."""
MIN_PAIRS = 2
MAX_SAMPLED = 20_000
"""Records of one log that are looked at; ids repeat, so more would not say more."""
QUARTER = timedelta(minutes=15)
"""Zones differ by multiples of this."""
MAX_ZONE = timedelta(hours=14)

_ID = re.compile(
    r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[0-9a-f]*\d)[0-9a-f]{10,32})\b"
)


def estimate_offsets(logs: Sequence[LogSource], run: Span) -> dict[str, ClockOffset]:
    """Estimate how far each log's clock is ahead of the report's.

    Args:
        logs: All logs of the run.
        run: The run's span on the report's clock.

    Returns:
        By source, only the logs that are off by at least `MIN_OFFSET`.
    """
    zones = {log.source: zone for log in logs if (zone := _zone_offset(log, run))}
    sightings: dict[str, dict[str, datetime]] = {}
    inside: dict[str, int] = {}
    for log in logs:
        zone = zones.get(log.source, timedelta())
        sightings[log.source], inside[log.source] = _sightings(log, run, zone)
    offsets: dict[str, ClockOffset] = {
        source: ClockOffset(
            source, zone, f"its hours fit the run only when shifted by {_say(zone)}"
        )
        for source, zone in zones.items()
    }
    offsets.update(_drifts(sightings, inside, zones))
    return offsets


def _zone_offset(log: LogSource, run: Span) -> timedelta | None:
    """Whole quarters of an hour by which the log must be shifted to meet the run at all."""
    span = log.span()
    if span is None:
        return None
    first, last = span
    if Span(first, last).overlaps(Span(run.start - MARGIN, run.end + MARGIN)):
        return None
    best: tuple[float, timedelta] | None = None
    for quarters in range(-int(MAX_ZONE / QUARTER), int(MAX_ZONE / QUARTER) + 1):
        shift = quarters * QUARTER
        start, end = max(first - shift, run.start), min(last - shift, run.end)
        shared = (end - start).total_seconds()
        if shared <= 0:
            continue
        # Prefer whole hours and small shifts among those that fit about as well.
        rank = shared - (1.0 if quarters % 4 else 0.0) - abs(quarters) * 0.001
        if best is None or rank > best[0]:
            best = rank, shift
    return best[1] if best else None


def _sightings(log: LogSource, run: Span, zone: timedelta) -> tuple[dict[str, datetime], int]:
    """First time of each id in the log, and how many records lie inside the run."""
    seen: dict[str, datetime] = {}
    inside = 0
    count = 0
    for record in log.window(run.start - MARGIN + zone, run.end + MARGIN + zone):
        count += 1
        if count > MAX_SAMPLED:
            break
        if record.timestamp is None:
            continue
        time = record.timestamp - zone
        inside += run.holds(time)
        ids = [record.request_id] if record.request_id else _ID.findall(record.message[:500])
        for found in ids[:4]:
            seen.setdefault(found, time)
    return seen, inside


def _drifts(
    sightings: dict[str, dict[str, datetime]],
    inside: dict[str, int],
    zones: dict[str, timedelta],
) -> dict[str, ClockOffset]:
    """Offsets against the log that lies best in the run, through shared ids."""
    offsets: dict[str, ClockOffset] = {}
    trusted: dict[str, timedelta] = {}
    for source in sorted(inside, key=lambda s: (-inside[s], s)):
        pairs: list[tuple[str, list[float]]] = []
        for other, known in trusted.items():
            shared = sightings[source].keys() & sightings[other].keys()
            if len(shared) >= MIN_PAIRS:
                shift = known.total_seconds()
                differences = [
                    (sightings[source][i] - sightings[other][i]).total_seconds() + shift
                    for i in shared
                ]
                pairs.append((other, differences))
        if not pairs:
            trusted[source] = timedelta()
            continue
        other, differences = max(pairs, key=lambda pair: len(pair[1]))
        middle = median(differences)
        spread = median(abs(d - middle) for d in differences)
        offset = timedelta(seconds=middle)
        if abs(offset) < MIN_OFFSET or spread > max(0.5, abs(middle) / 4):
            trusted[source] = timedelta()
            continue
        trusted[source] = offset
        total = offset + zones.get(source, timedelta())
        reason = (
            f"{len(differences)} ids that it shares with {other} are {_say(offset)} apart "
            f"(spread {spread:.3f} s)"
        )
        offsets[source] = ClockOffset(source, total, reason)
    return offsets


def _say(offset: timedelta) -> str:
    seconds = offset.total_seconds()
    if seconds % 900 == 0:
        return f"{seconds / 3600:+g} h"
    return f"{seconds:+.2f} s"

"""Find services that stopped, were restarted, or fell silent while the run went on."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from heisenberg.analysis.happenings import moment

if TYPE_CHECKING:
    from heisenberg.analysis.happenings import Activity, Observations, Sighting
    from heisenberg.analysis.windows import Span

SETTLE = timedelta(seconds=1)
"""Start-up lines that follow each other this closely are one start."""

MAX_STARTS = 8
"""A line that comes more often in one run is no start-up line, whatever its words."""

_STOP = re.compile(
    r"\b(?:shut(?:ting)? ?down|received (?:fast|smart|immediate) shutdown|SIGTERM|SIGKILL|SIGINT scheduling|"
    r"user requested shutdown|stopping (?:server|service)|server (?:stopped|stopping)|"
    r"(?:process|server|worker|service).{0,40}(?:killed|crashed|terminated|exited)|terminated by signal|"
    r"killed\b|crashed\b|exiting\b|bye bye)",
    re.IGNORECASE,
)
_MINOR = re.compile(
    r"background worker|connection (?:closed|from)|client|session|task|job\b", re.IGNORECASE
)
_REQUEST = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\b")
_START = re.compile(
    r"\b(?:start(?:ed|ing)(?! \"?(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\b)"
    r"|listening|ready to accept|ready for connections|startup complete|booted|restart\w*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service was away."""

    service: str
    root: Sighting
    """The record that tells of it: the stop when it was logged, else the restart or last word."""
    start: datetime
    end: datetime | None
    """When it was back; None when it never came back."""
    back: Sighting | None = None
    """The record of its coming back."""


def find_outages(seen: Observations, run: Span) -> list[Outage]:
    """Find outages that began inside the run.

    A stop that nothing comes after and that ends the log is the tear-down of the run when it
    falls in its last moments, and is left out.
    """
    outages = []
    for activity in seen.activities.values():
        own = [s for s in seen.lifecycle if s.record.source == activity.source]
        starts = _starts(own, activity, run)
        stops = [
            s
            for s in own
            if _STOP.search(s.record.message)
            and not _MINOR.search(s.record.message)
            and run.start <= s.time < run.end
        ]
        used: set[datetime] = set()
        for start in starts:
            before = [s for s in stops if s.time < start.time and s.time not in used]
            used.update(s.time for s in before)
            if before:
                first = before[0]
                outages.append(
                    Outage(
                        activity.service,
                        first,
                        first.time,
                        start.time,
                        back=start,
                    )
                )
            else:
                last = _last_word(activity, start.time)
                outages.append(Outage(activity.service, start, last, start.time, back=start))
        left = [
            s for s in stops if s.time not in used and not any(st.time > s.time for st in starts)
        ]
        if left:
            outages.append(Outage(activity.service, left[0], left[0].time, None))
    return sorted(outages, key=lambda o: o.start)


def _starts(own: list[Sighting], activity: Activity, run: Span) -> list[Sighting]:
    """First line of each start-up inside the run, when the log shows an earlier life."""
    banner = _start_lines(own, activity)
    found: list[Sighting] = []
    for sighting in own:
        if sighting.template not in banner or not run.start <= sighting.time <= run.end:
            continue
        if activity.times and sighting.time - moment(min(activity.times)) <= SETTLE:
            continue
        if not found or sighting.time - found[-1].time > SETTLE:
            found.append(sighting)
    return found


def _start_lines(own: list[Sighting], activity: Activity) -> set[str]:
    """Templates that only a start-up writes.

    A log that begins in mid-life begins with a line of ordinary work, which comes again and again.
    """
    counts = Counter(sighting.template for sighting in own)
    telling = {
        line
        for line in activity.banner
        if _START.search(line) and not _MINOR.search(line) and counts[line] <= MAX_STARTS
    }
    if telling or not activity.banner:
        return telling
    first = activity.banner[0]
    is_repeated_whole = len({counts[line] for line in activity.banner}) == 1
    is_request = bool(_REQUEST.search(first))
    return {first} if is_repeated_whole and counts[first] <= 2 and not is_request else set()  # noqa: PLR2004 (before and after)


def _last_word(activity: Activity, before: datetime) -> datetime:
    """Time of the service's last record before its restart."""
    times = sorted(activity.times)
    index = bisect_left(times, (before - timedelta(milliseconds=1)).timestamp())
    return moment(times[index - 1]) if index else before

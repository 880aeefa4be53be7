"""Gather from the logs what is out of the ordinary, and join records that tell of one happening.

One pass over each log's window. What is kept is bounded: of a kind of record that repeats, the
times are all kept and the records themselves only up to a limit.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from heisenberg.analysis.normalize import normalize
from heisenberg.model.logs import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from heisenberg.analysis.windows import Span
    from heisenberg.model.correlation import ClockOffset
    from heisenberg.model.logs import LogRecord, LogSource

SLOW_MS = 1000.0
"""A request that takes this long is worth a look."""
LONGEST_MS = 60_000.0
"""A longer duration is a stream or a clock gone wrong."""
MAX_PER_SECOND = 4
"""Records kept of one kind in one second: more of the same say no more."""
MAX_KEPT = 60_000
"""Records kept in all."""
MAX_LIFECYCLE = 400
"""Starts and stops kept of one kind."""
BREATH = timedelta(milliseconds=25)
"""Between the words that give a reason and the line that tells the status."""
SAME_MOMENT = timedelta(milliseconds=150)
"""One service logs an exception and the request that it broke within this time."""
ACCESS_RESOLUTION = timedelta(seconds=1)
"""Access logs tell whole seconds."""
SAME_ID = timedelta(seconds=60)
"""An id that returns later than this names another happening."""
HEAD_RECORDS = 6
"""A service says within its first records what it is and where it listens."""
LEAD = timedelta(seconds=5)
"""Read this much before the run: services log their start just before it."""

_LIFECYCLE = re.compile(
    r"\b(?:shut(?:ting)? ?down|received (?:fast|smart|immediate) shutdown|SIGTERM|SIGKILL|SIGINT|terminat(?:ed|ing)|"
    r"exit(?:ed|ing)|stopp(?:ed|ing)|killed|crashed|"
    r"start(?:ed|ing)(?: up)?|listening|ready to accept|ready for connections|startup complete|booted|initiali[sz]ed|"
    r"restart\w*|user requested shutdown|bye bye)\b"
    r"|\b(?:(?:ALTER|LOCK|TRUNCATE|DROP) TABLE|CREATE (?:UNIQUE )?INDEX|VACUUM FULL|REINDEX|CLUSTER) \w",
    re.IGNORECASE,
)


_ID_WORD = re.compile(r"[A-Za-z0-9_-]{6,64}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record and when it was, on the report's clock."""

    record: LogRecord
    time: datetime
    template: str
    """Normalised text of the kind of record."""

    @property
    def began(self) -> datetime:
        """When the request that it closes began, else its own time."""
        if self.record.duration_ms:
            return self.time - timedelta(milliseconds=min(self.record.duration_ms, LONGEST_MS))
        return self.time


@dataclass(frozen=True, slots=True)
class Happening:
    """Records that tell of one thing that went wrong, in the order of time."""

    sightings: tuple[Sighting, ...]

    @property
    def began(self) -> datetime:
        """When the first of it began."""
        return min(s.began for s in self._precise)

    @property
    def time(self) -> datetime:
        """When it was first told of."""
        return self._precise[0].time

    @property
    def until(self) -> datetime:
        """The latest that `time` may have been: some logs tell whole seconds only."""
        return self.time if self.time.microsecond else self.time + ACCESS_RESOLUTION

    @property
    def _precise(self) -> tuple[Sighting, ...]:
        return tuple(s for s in self.sightings if s.time.microsecond) or self.sightings


@dataclass(slots=True)
class Activity:
    """When a service logged anything at all, and how it came up."""

    service: str
    source: str
    times: array[float] = field(default_factory=lambda: array("d"))
    """Seconds since the epoch on the report's clock, in file order."""
    banner: tuple[str, ...] = ()
    """Templates of its first records."""
    ports: tuple[str, ...] = ()
    """Ports on which it says that it listens."""
    last: Sighting | None = None
    """Its last record in the run."""
    answers: int = 0
    """Records that tell of an answered request, with its id."""


@dataclass(slots=True)
class Observations:
    """All that the logs show out of the ordinary."""

    started: datetime
    """Start of the run."""
    unusual: list[Sighting] = field(default_factory=list)
    """Errors, warnings, error statuses and slow requests, by time."""
    lifecycle: list[Sighting] = field(default_factory=list)
    """Starts and stops, by time."""
    activities: dict[str, Activity] = field(default_factory=dict)
    """By source."""
    times: dict[str, array[float]] = field(default_factory=dict)
    """All times of each template, sorted: what is always there."""

    def count(self, template: str, spans: Iterable[Span]) -> int:
        """How often a kind of record fell into any of the (disjoint) spans."""
        times = self.times.get(template, array("d"))
        return sum(
            bisect_right(times, span.end.timestamp()) - bisect_left(times, span.start.timestamp())
            for span in spans
        )


def observe(
    logs: Sequence[LogSource],
    offsets: Mapping[str, ClockOffset],
    run: Span,
    failing: Sequence[Span],
    progress: Callable[[str], None] = lambda _: None,
) -> Observations:
    """Read every log where the run looked.

    Args:
        logs: All logs of the run.
        offsets: Of the logs whose clock is off.
        run: The run's span on the report's clock.
        failing: Spans of failing attempts, sorted and disjoint: only what reaches into them is
            kept, the rest is counted.
        progress: Told of each log before it is read.
    """
    seen = Observations(run.start)
    keep = _Keeper(seen, failing)
    for log in logs:
        progress(f"reading {log.source}")
        offset = offsets[log.source].offset if log.source in offsets else timedelta()
        activity = Activity(log.service, log.source, banner=_banner(log), ports=_ports(log))
        seen.activities[log.source] = activity
        banner = set(activity.banner)
        latest: LogRecord | None = None
        for record in log.window(run.start - LEAD + offset, run.end + ACCESS_RESOLUTION + offset):
            if record.timestamp is None:
                continue
            time = record.timestamp - offset
            activity.times.append(time.timestamp())
            latest = record
            activity.answers += record.status is not None and bool(record.request_id)
            if _is_unusual(record):
                keep.unusual(Sighting(record, time, template(record)))
            elif _LIFECYCLE.search(record.message) or (
                banner and len(record.message) < 300 and _template(record) in banner  # noqa: PLR2004 (a banner line is short)
            ):
                keep.lifecycle(Sighting(record, time, _template(record)))
        if latest is not None and latest.timestamp is not None:
            activity.last = Sighting(latest, latest.timestamp - offset, template(latest))
    seen.unusual.sort(key=lambda s: s.time)
    seen.lifecycle.sort(key=lambda s: s.time)
    for source, times in seen.times.items():
        seen.times[source] = array("d", sorted(times))
    return seen


def _banner(log: LogSource) -> tuple[str, ...]:
    return tuple(_template(record) for record in log.head(4) if record.status is None)


_LISTENS = re.compile(
    r"\bport[\"']?[ =:]+[\"']?(\d{2,5})\b"
    r"|\b(?:listening|running|serving|available|started) (?:on|at)\b[^\n]{0,60}?[: ](\d{2,5})\b",
    re.IGNORECASE,
)


def _ports(log: LogSource) -> tuple[str, ...]:
    """Ports that its first records say it listens on."""
    said = "\n".join(record.text[:400] for record in log.head(HEAD_RECORDS))
    return tuple(dict.fromkeys(a or b for a, b in _LISTENS.findall(said)))


def _is_unusual(record: LogRecord) -> bool:
    return (
        record.level >= Level.WARNING
        or (record.status is not None and record.status >= 400)  # noqa: PLR2004 (HTTP errors)
        or bool(record.exception)
        or (record.duration_ms is not None and record.duration_ms >= SLOW_MS)
    )


def template(record: LogRecord) -> str:
    """The kind of record: service, normalised message, and for a request its route and status."""
    parts = [_template(record)]
    if record.path:
        parts.append(f"{record.method} {normalize(record.path)} {record.status or ''}")
    return " ".join(parts)


def _template(record: LogRecord) -> str:
    return f"{record.service}: {normalize(record.message[:400])}"


class _Keeper:
    """Keeps records within bounds; counts all."""

    def __init__(self, seen: Observations, failing: Sequence[Span]) -> None:
        self._seen = seen
        self._starts = [span.start for span in failing]
        self._ends = [span.end for span in failing]
        self._kept: dict[tuple[str, int], int] = defaultdict(int)

    def unusual(self, sighting: Sighting) -> None:
        """Count the record, and keep it when a failing attempt may be concerned."""
        seen = self._seen
        times = seen.times.get(sighting.template)
        if times is None:
            times = seen.times[sighting.template] = array("d")
        seconds = sighting.time.timestamp()
        times.append(seconds)
        if self._concerns(sighting) and len(seen.unusual) < MAX_KEPT:
            key = (sighting.template, int(seconds))
            self._kept[key] += 1
            if self._kept[key] <= MAX_PER_SECOND:
                seen.unusual.append(sighting)
        if sighting.record.level >= Level.WARNING and _LIFECYCLE.search(sighting.record.message):
            self.lifecycle(sighting)

    def lifecycle(self, sighting: Sighting) -> None:
        """Keep a start or a stop."""
        key = (f"lifecycle {sighting.template}", 0)
        self._kept[key] += 1
        if self._kept[key] <= MAX_LIFECYCLE:
            self._seen.lifecycle.append(sighting)

    def _concerns(self, sighting: Sighting) -> bool:
        index = bisect_right(self._starts, sighting.time) - 1
        return (index >= 0 and self._ends[index] >= sighting.began) or (
            index + 1 < len(self._starts) and self._starts[index + 1] <= sighting.time
        )


def join(unusual: Sequence[Sighting], common: Collection[str] = frozenset()) -> list[Happening]:
    """Join records that tell of one happening.

    Two records belong together when they carry the same id within a minute, when one service
    logged both in the same moment about the same request, or when an access line tells of the
    same request in the same second.

    Args:
        unusual: By time.
        common: Templates that are there when nothing fails too: they announce nothing.

    Returns:
        Happenings by time; each record is in exactly one.
    """
    parent = list(range(len(unusual)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    known = {s.record.request_id for s in unusual if s.record.request_id}
    by_id: dict[str, int] = {}
    by_service: dict[str, int] = {}
    by_request: dict[tuple[str, str, int | None], list[int]] = defaultdict(list)
    for i, sighting in enumerate(unusual):
        record = sighting.record
        ident = record.request_id or _mentioned(record, known)
        if ident:
            j = by_id.get(ident)
            if j is not None and sighting.time - unusual[j].time <= SAME_ID:
                parent[find(i)] = find(j)
            by_id[ident] = i
        j = by_service.get(record.source)
        if j is not None and _continues(unusual[j], sighting, common):
            parent[find(i)] = find(j)
        by_service[record.source] = i
        if record.path and record.status:
            by_request[(record.method, record.path, record.status)].append(i)
    shared = _shared(unusual)
    for same in by_request.values():
        _join_access(unusual, same, parent, find, shared)
    groups: dict[int, list[Sighting]] = defaultdict(list)
    for i, sighting in enumerate(unusual):
        groups[find(i)].append(sighting)
    happenings = [Happening(tuple(group)) for group in groups.values()]
    return sorted(happenings, key=lambda h: h.time)


def _continues(before: Sighting, sighting: Sighting, common: Collection[str]) -> bool:
    """Whether a service's record goes on telling of what its record before told of."""
    announced = before.template not in common and _announces(before, sighting)
    return announced or _same_moment(before, sighting)


def _announces(words: Sighting, answer: Sighting) -> bool:
    """Whether a service says in words, just before, why it is going to refuse a request."""
    said, refused = words.record, answer.record
    if said.request_id or said.path or said.status or not refused.status:
        return False
    fits = said.level < Level.ERROR or refused.status >= 500  # noqa: PLR2004 (HTTP classes)
    return fits and refused.status >= 400 and answer.time - words.time <= BREATH  # noqa: PLR2004 (HTTP errors)


def _mentioned(record: LogRecord, known: set[str]) -> str:
    """An id of a request, known from other records, that the message mentions in passing."""
    return next((word for word in _ID_WORD.findall(record.message[:400]) if word in known), "")


def _same_moment(one: Sighting, two: Sighting) -> bool:
    a, b = one.record, two.record
    if a.request_id and b.request_id:
        return False
    if a.status and b.status and bool(a.exception) == bool(b.exception):
        # Each answer closes a request of its own, though they may share a whole second.
        return False
    if not (a.path and b.path) or (a.method, a.path) != (b.method, b.path):
        return False
    return abs(two.time - one.time) <= SAME_MOMENT


def _shared(unusual: Sequence[Sighting]) -> set[str]:
    """Ids that stand in more than one log: services pass them on."""
    homes = {(s.record.request_id, s.record.source) for s in unusual if s.record.request_id}
    counted = Counter(ident for ident, _ in homes)
    return {ident for ident, n in counted.items() if n > 1}


def _differ(one: LogRecord, two: LogRecord, shared: set[str]) -> bool:
    """Whether ids that services pass on to each other tell the two requests apart."""
    a, b = one.request_id, two.request_id
    return bool(a and b) and a != b and (a in shared or b in shared)


def _join_access(
    unusual: Sequence[Sighting],
    same: list[int],
    parent: list[int],
    find: Callable[[int], int],
    shared: set[str],
) -> None:
    """Pair each access line of one request with the service's own line, first come first served."""
    waiting: list[int] = []
    for i in same:
        partner = next(
            (
                j
                for j in waiting
                if unusual[j].record.source != unusual[i].record.source
                and not _differ(unusual[j].record, unusual[i].record, shared)
                and abs(unusual[i].time - unusual[j].time) <= 2 * ACCESS_RESOLUTION
            ),
            None,
        )
        if partner is None:
            waiting.append(i)
            if len(waiting) > 64:  # noqa: PLR2004 (lines that waited this long have no partner)
                waiting.pop(0)
        else:
            waiting.remove(partner)
            parent[find(i)] = find(partner)


def moment(seconds: float) -> datetime:
    """Aware UTC of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)

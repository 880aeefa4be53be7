"""A service's log, read only where it is asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

from heisenberg.errors import SourceError
from heisenberg.readers.logs.dialect import Dialect
from heisenberg.readers.logs.grouping import Grouper
from heisenberg.readers.logs.lines import MAX_LINE_BYTES, LineFile
from heisenberg.readers.logs.origin import Origin, service_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heisenberg.model.logs import LogRecord
    from heisenberg.model.run import Artefact

PROBE_BYTES = 1 << 14
"""Read at each sampled place, and where the bisection ends."""

PROBES = 24
"""Places sampled to learn the format and whether the file is sorted."""

HEAD_LINES = 200
"""Of the first place; of each other place `PROBE_LINES` are enough."""

PROBE_LINES = 25

MAX_DISORDER = timedelta(seconds=10)
"""Lines this much earlier than one before them are the work of interleaved writers."""

MIN_MARGIN = timedelta(seconds=1)

INDEX_BLOCK_BYTES = 1 << 18
"""Grain of the index of a file that is not sorted."""


class _Block(NamedTuple):
    """A stretch of an unsorted file, from one record's first line to before another's."""

    start: int
    stop: int
    first: datetime
    last: datetime


def open_log(artefact: Artefact) -> Log:
    """Open a log; close it or use it as a context.

    Raises:
        SourceError: It cannot be opened.
    """
    try:
        file = LineFile(artefact.path)
    except OSError as error:
        raise SourceError(f"cannot be opened ({error.strerror or error})") from error
    return Log(artefact.source, file)


class Log:
    """One log, open. Records come in file order; times are those that the log states."""

    def __init__(self, source: str, file: LineFile) -> None:
        self.source = source
        self.service = service_name(source)
        self._file = file
        probes = self._probe()
        clock = datetime.fromtimestamp(file.modified_at, tz=UTC)
        sample = [line for probe in probes for _, line in probe]
        self._dialect = Dialect(Origin(source, self.service), sample, clock)
        self._disorder = self._measure_disorder(probes)
        self._index: list[_Block] | None = None
        self._span: tuple[datetime, datetime] | None = None
        self._dropped_lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    @property
    def format(self) -> str:
        """Name of the format: `json`, `text`, `postgres`, `access`, `logfmt`, `console`, …."""
        return self._dialect.name

    @property
    def zone_assumed(self) -> bool:
        """Whether the times state no zone and were taken as UTC."""
        return self._dialect.zone_assumed

    @property
    def is_sorted(self) -> bool:
        """Whether the sample shows times in order, but for small disorder."""
        return self._disorder <= MAX_DISORDER

    @property
    def problems(self) -> tuple[str, ...]:
        """What was odd in what has been read so far, a reason each."""
        file, found = self._file, []
        if file.cut_lines:
            cut = "1 line was" if file.cut_lines == 1 else f"{file.cut_lines} lines were"
            found.append(f"{cut} longer than {MAX_LINE_BYTES} bytes; the rest was left out")
        if file.replaced_bytes:
            found.append(f"bytes that are not {file.encoding} were replaced")
        if self._dropped_lines:
            found.append(f"{self._dropped_lines} lines of overlong records were left out")
        return tuple(found)

    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time, from head and tail alone; None when neither tells one."""
        if self._span is None and self._dialect.is_timed:
            head = self._times(0, PROBE_BYTES)
            reach = PROBE_BYTES
            tail: list[datetime] = []
            while not tail and reach < self._file.size * 2:
                tail = self._times(self._file.line_start(self._file.size - reach), None)
                reach *= 8
            times = head + tail
            self._span = (min(times), max(times)) if times else None
        return self._span

    def records(self) -> Iterator[LogRecord]:
        """Yield every record, whatever its time or lack of one, in bounded memory."""
        yield from self._group(0, None, None)

    def head(self, n: int) -> list[LogRecord]:
        """The first `n` records."""
        found: list[LogRecord] = []
        for record in self.records():
            if len(found) >= n:
                break
            found.append(record)
        return found

    def window(self, start: datetime, end: datetime) -> Iterator[LogRecord]:
        """Yield the records with start <= timestamp <= end, by the log's own clock.

        A sorted file is bisected; any other is indexed once, in bounded memory.
        """
        if not self._dialect.is_timed or start > end:
            return
        if self.is_sorted:
            margin = _margin(self._disorder)
            records = self._group(self._seek(start - margin), None, _later(end, margin))
            for record in records:
                if record.timestamp is not None and start <= record.timestamp <= end:
                    yield record
            return
        for begin, first, last, stop in self._runs(start, end):
            for record in self._group(begin, stop, None):
                when = record.timestamp
                if first <= record.offset < last and when is not None and start <= when <= end:
                    yield record

    def _group(self, start: int, stop: int | None, until: datetime | None) -> Iterator[LogRecord]:
        grouper = Grouper(self._dialect)
        try:
            yield from grouper.records(self._file.lines(start, stop), until)
        finally:
            self._dropped_lines += grouper.dropped_lines

    def _probe(self) -> list[list[tuple[int, str]]]:
        """Sample lines of the head, the tail and evenly between, in file order."""
        file = self._file
        probes = [_take(file.lines(0, PROBE_BYTES * 4), HEAD_LINES)]
        step = max(PROBE_BYTES * 2, file.size // PROBES)
        for position in range(step, file.size, step):
            at = file.line_start(position, position + PROBE_BYTES)
            probes.append(_take(file.lines(at, position + PROBE_BYTES), PROBE_LINES))
        tail = file.line_start(file.size - PROBE_BYTES)
        probes.append(_take(file.lines(tail, file.size), HEAD_LINES))
        return probes

    def _measure_disorder(self, probes: list[list[tuple[int, str]]]) -> timedelta:
        latest, worst = None, timedelta(0)
        if self._file.size <= INDEX_BLOCK_BYTES:
            lines: Iterable[tuple[int, str]] = self._file.lines()
        else:
            # Probes of a file that is not large overlap.
            lines = sorted({line for probe in probes for line in probe})
        for _, line in lines:
            when = self._dialect.time(line)
            if when is None:
                continue
            if latest is None or when > latest:
                latest = when
            else:
                worst = max(worst, latest - when)
        return worst

    def _times(self, start: int, stop: int | None) -> list[datetime]:
        lines = self._file.lines(start, stop)
        return [when for _, line in lines if (when := self._dialect.time(line))]

    def _seek(self, when: datetime) -> int:
        """Offset of a line that begins a record, before which nothing is as late as `when`."""
        low, high = 0, self._file.size
        while high - low > PROBE_BYTES:
            middle = (low + high) // 2
            found = self._first_time(self._file.line_start(middle, high), high)
            if found is None or found[1] >= when:
                high = middle
            else:
                low = found[0]
        return low

    def _first_time(self, start: int, stop: int) -> tuple[int, datetime] | None:
        for offset, line in self._file.lines(start, stop):
            if found := self._dialect.time(line):
                return offset, found
        return None

    def _runs(self, start: datetime, end: datetime) -> Iterator[tuple[int, int, int, int]]:
        """Stretches that may hold the window: (read from, records from, records to, read to).

        A block more is read on both sides, for records whose lines are interleaved across it.
        """
        if self._index is None:
            self._index = list(self._build_index())
        blocks = self._index
        wanted = [i for i, b in enumerate(blocks) if b.first <= end and b.last >= start]
        while wanted:
            low = high = wanted.pop(0)
            while wanted and wanted[0] == high + 1:
                high = wanted.pop(0)
            yield (
                blocks[max(low - 1, 0)].start,
                blocks[low].start,
                blocks[high].stop,
                blocks[min(high + 1, len(blocks) - 1)].stop,
            )

    def _build_index(self) -> Iterator[_Block]:
        begin, first, last = 0, None, None
        for offset, line in self._file.lines():
            when = self._dialect.time(line)
            if when is None:
                continue
            if first is not None and last is not None and offset - begin >= INDEX_BLOCK_BYTES:
                yield _Block(begin, offset, first, last)
                begin, first, last = offset, None, None
            first = when if first is None else min(first, when)
            last = when if last is None else max(last, when)
        if first is not None and last is not None:
            yield _Block(begin, self._file.size, first, last)


def _margin(disorder: timedelta) -> timedelta:
    return max(disorder * 2, MIN_MARGIN)


def _later(when: datetime, margin: timedelta) -> datetime:
    try:
        return when + margin
    except OverflowError:
        return when


def _take(lines: Iterator[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    return list(islice(lines, count))

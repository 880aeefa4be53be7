"""Put the lines of a log together into records."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from heisenberg.model.logs import Level, LogRecord
from heisenberg.readers.logs.levels import BY_NAME
from heisenberg.readers.logs.traces import UNCAUGHT, Block, find_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from heisenberg.readers.logs.dialect import Dialect, Reading

MAX_RECORD_CHARS = 1 << 20
"""Further lines of a record are dropped: one stamp before a gigabyte of text is no record."""

MAX_OPEN = 64
"""Writers whose records may be open at once before the oldest is closed."""


class _Draft:
    """A record that may still grow."""

    __slots__ = ("block", "closed", "lines", "record", "size", "stream")

    def __init__(self, stream: str, record: LogRecord, block: Block | None) -> None:
        self.stream = stream
        self.record = record
        self.block = block
        self.lines: list[str] = []
        self.size = len(record.text)
        self.closed = False

    @property
    def is_one_line(self) -> bool:
        """Its logger writes traces into the line itself, so one below it is somebody else's."""
        return self.record.text[:1] == "{"

    def add(self, line: str) -> bool:
        self.size += len(line) + 1
        if self.size > MAX_RECORD_CHARS:
            return False
        self.lines.append(line)
        return True

    def finish(self) -> LogRecord:
        while self.lines and not self.lines[-1].strip():
            self.lines.pop()
        if not self.lines:
            return self.record
        record = _with_level_below(self.record, self.lines[0])
        text = "\n".join([record.text, *self.lines])
        trace = record.exception or find_trace(text, record.message)
        level = Level.ERROR if trace and record.level is Level.UNKNOWN else record.level
        return replace(record, text=text, exception=trace, level=level)


_LEVEL_BELOW = re.compile(r"(SEVERE|WARNING|INFO|CONFIG|FINE|FINER|FINEST): (.*)")


def _with_level_below(record: LogRecord, line: str) -> LogRecord:
    """Read the second line of java.util.logging's records: the level and the message."""
    found = _LEVEL_BELOW.match(line) if record.level is Level.UNKNOWN else None
    if found is None:
        return record
    fields = {**record.fields, "logger": record.message}
    return replace(record, level=BY_NAME[found[1]], message=found[2], fields=fields)


class Grouper:
    """Groups lines of one log into records, in the order of their first lines."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._open: dict[str, _Draft] = {}
        self._queue: deque[_Draft] = deque()
        self._stream = ""
        self._when: datetime | None = None
        self.dropped_lines = 0

    def records(
        self, lines: Iterable[tuple[int, str]], until: datetime | None = None
    ) -> Iterator[LogRecord]:
        """Yield the records of lines.

        Args:
            lines: (offset, text) in file order.
            until: Stop at the first record whose time is later; all that came before is yielded.
        """
        quick = self._dialect.quick
        last: LogRecord | None = None
        for offset, line in lines:
            record = quick(offset, line)
            if record is not None:
                # It is whole unless the next line continues it, so it needs no draft yet.
                if last is not None:
                    yield last
                elif self._queue:
                    yield from self._drain()
                if until is not None and record.timestamp is not None and record.timestamp > until:
                    return
                last = record
                continue
            if last is not None:
                self._when = last.timestamp
                self._push("", last)
                last = None
            if self._take(offset, line, until):
                break
            while self._queue and (self._queue[0].closed or len(self._queue) > MAX_OPEN):
                yield self._pop()
        if last is not None:
            yield last
        yield from self._drain()

    def _take(self, offset: int, line: str, until: datetime | None) -> bool:
        """Add a line to what is open, or open a record; True when that one is past the end."""
        reading = self._dialect.read(offset, line)
        record = self._begin(reading, offset)
        if record is None:
            return False
        if record.timestamp is not None:
            self._when = record.timestamp
        elif self._when is not None:
            record = replace(record, timestamp=self._when)
        if until is not None and record.timestamp is not None and record.timestamp > until:
            return True
        self._push(reading.stream, record)
        self._add(self._open[reading.stream], reading.rest)
        return False

    def _drain(self) -> Iterator[LogRecord]:
        while self._queue:
            yield self._pop()

    def _begin(self, reading: Reading, offset: int) -> LogRecord | None:
        """The record that a line begins; None when it went to one that is open."""
        if reading.record is not None:
            return reading.record
        draft = self._open.get(reading.stream or self._stream)
        if draft is None or (draft.is_one_line and UNCAUGHT.match(reading.body)):
            return self._dialect.orphan(reading, offset) if reading.body.strip() else None
        self._stream = draft.stream
        if reading.by_shape:
            if draft.block is None:
                draft.block = Block(draft.record.text)
            if not draft.block.takes(reading.body):
                return self._dialect.orphan(reading, offset)
        self._add(draft, (reading.body, *reading.rest))
        return None

    def _add(self, draft: _Draft, lines: Iterable[str]) -> None:
        for line in lines:
            if not draft.add(line):
                self.dropped_lines += 1

    def _push(self, stream: str, record: LogRecord) -> None:
        if before := self._open.get(stream):
            before.closed = True
        draft = _Draft(stream, record, None)
        self._open[stream] = draft
        self._queue.append(draft)
        self._stream = stream

    def _pop(self) -> LogRecord:
        draft = self._queue.popleft()
        if self._open.get(draft.stream) is draft:
            del self._open[draft.stream]
        return draft.finish()

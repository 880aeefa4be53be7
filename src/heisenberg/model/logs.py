"""A record of a service's log."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


class Level(IntEnum):
    """Severity, comparable; the numbers are those of Python's logging."""

    UNKNOWN = 0
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    FATAL = 50


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One event, of one line or several."""

    source: str
    """`Artefact.source` of the log."""
    service: str
    """Who wrote it: the log's name without folder and extension (`logs/api.log` is `api`)."""
    offset: int
    """Byte at which its first line starts. The line number is counted only if it is cited."""
    timestamp: datetime | None
    """Aware UTC as written in the log, before any clock correction; None before the first time."""
    level: Level
    message: str
    """The event without time and level, first line only for a record of several lines."""
    text: str
    """All of its lines, the format's own escapes and terminal colours undone."""
    exception: str = ""
    """Traceback or stack trace, when it carries one."""
    method: str = ""
    """HTTP method, upper case, when it tells of a request."""
    path: str = ""
    """Request path without query."""
    status: int | None = None
    """HTTP status."""
    duration_ms: float | None = None
    request_id: str = ""
    """Request, correlation or trace id."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Other structured fields, as text."""


class LogSource(Protocol):
    """A log that can be read where the run looked."""

    @property
    def source(self) -> str:
        """`Artefact.source` of the log."""

    @property
    def service(self) -> str:
        """Who wrote it."""

    @property
    def zone_assumed(self) -> bool:
        """Its times name no zone and were taken as UTC."""

    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time in it; None when it has none."""

    def window(self, start: datetime, end: datetime) -> Iterator[LogRecord]:
        """Records from `start` to `end`, both included, on the log's own clock."""

    def head(self, n: int) -> list[LogRecord]:
        """Its first `n` records."""

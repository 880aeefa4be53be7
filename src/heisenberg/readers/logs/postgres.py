"""PostgreSQL's server log, with any `log_line_prefix` that holds a time or a process id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from heisenberg.model.logs import Level
from heisenberg.readers.logs.records import new_record

if TYPE_CHECKING:
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin

_LINE = re.compile(
    r"(?P<prefix>[^\t\n]{0,200}?)(?P<tag>DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC"
    r"|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):  (?P<body>.*)",
    re.DOTALL,
)
_PID = re.compile(r"[\[(](\d+)(?:-\d+)?[\])]")
_WHO = re.compile(r"([\w.-]+)@([\w.-]+)")
_DURATION = re.compile(r"duration: (\d+(?:\.\d+)?) ms")
_LEVELS = {
    "LOG": Level.INFO,
    "INFO": Level.INFO,
    "NOTICE": Level.INFO,
    "WARNING": Level.WARNING,
    "ERROR": Level.ERROR,
    "FATAL": Level.FATAL,
    "PANIC": Level.FATAL,
}
_MORE = {"DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION"}


class Entry(NamedTuple):
    """One line after its time."""

    pid: str
    """Process that wrote it; empty when the prefix does not tell."""
    more: bool
    """Whether it adds to the process's record before (DETAIL, HINT, …)."""
    record: LogRecord


def postgres_entry(
    origin: Origin, offset: int, line: str, when: datetime | None, rest: str
) -> Entry | None:
    """Read a line; None when it carries no severity as PostgreSQL writes it.

    Args:
        origin: Of the log.
        offset: Of the line.
        line: All of it.
        when: Its time.
        rest: What follows the time.
    """
    found = _LINE.match(rest)
    if found is None:
        return None
    tag, body, prefix = found["tag"], found["body"], found["prefix"]
    fields: dict[str, str] = {}
    if pid := _PID.search(prefix) or _PID.search(line[: len(line) - len(rest)]):
        fields["pid"] = pid[1]
    if who := _WHO.search(prefix):
        fields["user"], fields["database"] = who[1], who[2]
    duration = _DURATION.match(body) if tag == "LOG" else None
    record = new_record(
        origin.source,
        origin.service,
        offset,
        when,
        _LEVELS.get(tag, Level.DEBUG),
        body,
        line,
        duration_ms=float(duration[1]) if duration else None,
        fields=fields,
    )
    return Entry(fields.get("pid", ""), tag in _MORE, record)

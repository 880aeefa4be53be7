"""Lines of plain text: a time, usually a level, perhaps a logger's name, and a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.model.logs import Level, LogRecord
from heisenberg.readers.logs import levels
from heisenberg.readers.logs.http_text import find_request
from heisenberg.readers.logs.logfmt import pairs
from heisenberg.readers.logs.roles import ROLES, Slot

if TYPE_CHECKING:
    from datetime import datetime

    from heisenberg.readers.logs.origin import Origin

_LOGGER = re.compile(
    r"\s*(?:\d+ )?(?:-+ )?(?:\[[^\]]{0,80}\][ :]*)*"
    r"(?:(?P<name>[A-Za-z_$][\w$-]*(?:[./][\w$-]+)+)(?:\s*\[[^\]]{0,80}\])?\s*(?::|-+)\s+)?"
    r"(?:--\s*:\s+)?"
)
_PREFIXED = re.compile(r"<(\d{1,3})>")
_REDIS = re.compile(r"\d+:[A-Z] .{15,30}? (?P<mark>[.*#-]) ")
_REDIS_LEVELS = {"#": Level.WARNING, "*": Level.INFO, "-": Level.INFO, ".": Level.DEBUG}
_SYSLOG = re.compile(r"\s*(?P<host>[\w.-]+) (?P<program>[\w./-]+)(?:\[\d+\])?(?:\[[^\]]*\])?: ")
_SYSLOG_NEW = re.compile(
    r"\s+(?P<host>\S+) (?P<program>\S+) \S+ \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?(?:\ufeff)?"
)
_MARKS = (
    (re.compile(r"##\[error\]|::error\b|\bnpm ERR! |\bUncaught |Unhandled exception"), Level.ERROR),
    (re.compile(r"##\[warning\]|::warning\b|npm WARN "), Level.WARNING),
    (re.compile(r"panic: |fatal error: |\bFATAL\b"), Level.FATAL),
    (re.compile(r"[\w.]*(?:Error|Exception): |Traceback \(most recent"), Level.ERROR),
)
HEADED = re.compile(
    r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)"
    r"(?::[ ]{4,}(?=\S)|:\s+(?=\S+ - \")|:[A-Za-z_][\w.-]*:(?=\S))"
)
"""A line that begins with its level, as Python's basicConfig and uvicorn print it."""


def plain_record(  # noqa: PLR0913 -- what one line is
    origin: Origin,
    offset: int,
    line: str,
    when: datetime | None,
    end: int,
    *,
    late: bool = False,
) -> LogRecord:
    """Read a line of text.

    Args:
        origin: Of the log.
        offset: Of the line.
        line: All of it.
        when: Its time.
        end: Where the time ends in it; 0 when it has none.
        late: Whether other words stand before the time.
    """
    rest = line[end:] if end else line
    level, message, fields = _head(line, rest, end=end, late=late)
    method, path, status, duration_ms, request_id = "", "", None, None, ""
    if "/" in message or " in " in message:
        request = find_request(message)
        if request:
            method, path, status, duration_ms = request
    if "=" in message:
        for key, value in pairs(message).items():
            slot = ROLES[key].slot
            if slot is Slot.REQUEST_ID and not request_id:
                request_id = "" if value == "-" else value
            elif slot is Slot.STATUS and status is None and len(value) == 3 and value.isdecimal():  # noqa: PLR2004 -- HTTP
                status = int(value)
            elif slot is Slot.METHOD and not method:
                method = value.upper()
            elif slot is Slot.PATH and not path and value[:1] == "/":
                path = value.partition("?")[0]
            else:
                fields[key] = value
    if level is Level.UNKNOWN and status is not None:
        level = levels.from_status(status)
    return LogRecord(
        origin.source,
        origin.service,
        offset,
        when,
        level,
        message,
        line,
        "",
        method,
        path,
        status,
        duration_ms,
        request_id,
        fields,
    )


def _head(line: str, rest: str, *, end: int, late: bool) -> tuple[Level, str, dict[str, str]]:
    fields: dict[str, str] = {}
    level = Level.UNKNOWN
    if line[:1] == "<" and (prefixed := _PREFIXED.match(line)):
        level = levels.from_priority(int(prefixed[1]))
        if new := _SYSLOG_NEW.match(rest):
            fields.update(host=new["host"], program=new["program"])
            return level, rest[new.end() :].strip(), fields
    if end and (program := _SYSLOG.match(rest)) and not levels.BY_NAME.get(program["host"].lower()):
        fields.update(host=program["host"], program=program["program"])
        rest = rest[program.end() :]
    if end and line[0].isdigit() and (redis := _REDIS.match(line)):
        return _REDIS_LEVELS[redis["mark"]], line[redis.end() :].strip(), fields
    if found := levels.UPPER.match(rest):
        level = levels.BY_NAME[found[1].lower()]
        rest = rest[found.end() :]
        if name := _LOGGER.match(rest):
            if name["name"]:
                fields["logger"] = name["name"]
                rest = rest[name.end() :]
            elif rest[name.start() : name.end()].strip():
                rest = rest[name.end() :]
    elif found := levels.LOWER.match(rest):
        word = found["bracketed"] or found["colon"] or found["dashed"] or found["first"]
        level = levels.BY_NAME.get(word.lower(), Level.UNKNOWN)
        rest = rest[found.end() :]
    elif end and line[0] in "IWEFD" and line[1:2].isdigit():
        level = levels.BY_NAME[line[0].lower()]
        rest = rest.partition("] ")[2] or rest
    elif late and (found := levels.UPPER.match(line, 0, end) or levels.LOWER.match(line, 0, end)):
        level = levels.BY_NAME.get(next(filter(None, found.groups())).lower(), Level.UNKNOWN)
    if level is Level.UNKNOWN:
        level = _marked(rest)
    return level, rest.lstrip(" -:|\t").rstrip(), fields


def _marked(rest: str) -> Level:
    return next((level for mark, level in _MARKS if mark.search(rest)), Level.UNKNOWN)

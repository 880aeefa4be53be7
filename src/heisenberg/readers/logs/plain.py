"""Lines of plain text: a time, usually a level, perhaps a logger's name, and a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from heisenberg.model.logs import Level
from heisenberg.readers.logs import levels
from heisenberg.readers.logs.http_text import NO_REQUEST, Request, bare_path, find_request
from heisenberg.readers.logs.levels import from_status
from heisenberg.readers.logs.logfmt import pairs
from heisenberg.readers.logs.records import new_record
from heisenberg.readers.logs.roles import ROLES, Slot
from heisenberg.readers.logs.values import read_duration, read_status

if TYPE_CHECKING:
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin
    from heisenberg.readers.logs.times import Form

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
_SEPARATORS = re.compile(r"[ \t|:]*(?:-+[ \t|]+)?")
_MARKS = (
    (re.compile(r"##\[error\]|::error\b|\bnpm ERR! |\bUncaught |Unhandled exception"), Level.ERROR),
    (re.compile(r"##\[warning\]|::warning\b|npm WARN "), Level.WARNING),
    (re.compile(r"panic: |fatal error: |\bFATAL\b"), Level.FATAL),
    (re.compile(r"(?:Error|Exception): |Traceback \(most recent"), Level.ERROR),
)
HEADED = re.compile(
    r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)"
    r"(?::[ ]{4,}(?=\S)|:\s+(?=\S+ - \")|:[A-Za-z_][\w.-]*:(?=\S))"
)
"""A line that begins with its level, as Python's basicConfig and uvicorn print it."""


class _Head(NamedTuple):
    """What stands between a line's time and its message."""

    level: Level
    fields: tuple[tuple[str, str], ...]
    length: int
    """Of the text after the time, up to the message."""


def plain_record(  # noqa: PLR0913, PLR0917 -- what one line is
    origin: Origin,
    offset: int,
    line: str,
    when: datetime | None,
    end: int,
    form: Form | None = None,
) -> LogRecord:
    """Read a line of text.

    Args:
        origin: Of the log.
        offset: Of the line.
        line: All of it.
        when: Its time.
        end: Where the time ends in it; 0 when it has none.
        form: How the time is written; None when it has none.
    """
    rest = line[end:] if end else line
    mark = rest.find(": ", 0, MAX_HEAD_CHARS) + 2 if form and form.tells_no_level else 1
    head = _HEADS.get(rest[:mark]) if mark > 1 else None
    if head is None:
        head = _read_head(line, rest, end, form)
        if head.length == mark > 1 and len(_HEADS) < KNOWN_HEADS:
            _HEADS[rest[:mark]] = head
    level = head.level
    message = rest[head.length :].strip(" \t")
    fields = dict(head.fields)
    request = find_request(message) if "/" in message or message[:10] == "Completed " else None
    request_id = ""
    if "=" in message:
        request, request_id = _read_pairs(message, request or NO_REQUEST, fields)
    method, path, status, duration_ms = request or NO_REQUEST
    if level is Level.UNKNOWN:
        level = _marked(message) or (Level.UNKNOWN if status is None else from_status(status))
    return new_record(
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


def _read_pairs(message: str, request: Request, fields: dict[str, str]) -> tuple[Request, str]:
    """Complete a request from a message's pairs, and find its id; other pairs become fields."""
    method, path, status, duration_ms = request
    request_id = ""
    for key, value in pairs(message).items():
        slot, _, scale = ROLES[key]
        if slot is Slot.REQUEST_ID and not request_id:
            request_id = "" if value == "-" else value
        elif slot is Slot.STATUS and status is None:
            status = read_status(value)
        elif slot is Slot.METHOD and not method:
            method = value.upper()
        elif slot is Slot.PATH and not path and value[:1] == "/":
            path = bare_path(value)
        elif slot is Slot.DURATION and duration_ms is None:
            duration_ms = read_duration(value, scale)
        else:
            fields[key] = value
    return Request(method, path, status, duration_ms), request_id


MAX_HEAD_CHARS = 120

MAX_MARK_CHARS = 2000

KNOWN_HEADS = 1000
"""Heads remembered at most: some hold a thread's or a request's id."""

_HEADS: dict[str, _Head] = {}
"""Head as written, up to its colon, to what it says; a log repeats the same few."""


def _read_head(line: str, rest: str, end: int, form: Form | None) -> _Head:
    if line[:1] == "<" and (prefixed := _PREFIXED.match(line)):
        return _syslog_head(rest, levels.from_priority(int(prefixed[1])))
    if form is not None and form.name == "syslog":
        return _syslog_head(rest, Level.UNKNOWN)
    if end and (redis := _REDIS.match(line)):
        return _Head(_REDIS_LEVELS[redis["mark"]], (), redis.end() - end)
    if form is not None and form.name == "klog":
        close = rest.find("] ")
        return _Head(levels.BY_NAME[line[0].lower()], (), max(close + 2, 0))
    if found := levels.UPPER.match(rest):
        length = found.end()
        name = _LOGGER.match(rest, length)
        if name is None:
            return _Head(levels.BY_NAME[found[1].lower()], (), length)
        fields = (("logger", name["name"]),) if name["name"] else ()
        return _Head(levels.BY_NAME[found[1].lower()], fields, _message_start(rest, name.end()))
    if found := levels.LOWER.match(rest):
        word = next(filter(None, found.groups()))
        # `Error: x` is how an exception prints itself: a level, and the message's first word.
        end = found.start("colon") if found["colon"] and word == "Error" else found.end()
        return _Head(levels.BY_NAME[word.lower()], (), _message_start(rest, end))
    level = Level.UNKNOWN
    if form is not None and form.is_late:
        before = levels.UPPER.match(line, 0, end) or levels.LOWER.match(line, 0, end)
        if before:
            level = levels.BY_NAME[next(filter(None, before.groups())).lower()]
    return _Head(level, (), _message_start(rest, 0))


def _syslog_head(rest: str, level: Level) -> _Head:
    found = _SYSLOG_NEW.match(rest) or _SYSLOG.match(rest)
    length = found.end() if found else 0
    fields = (("host", found["host"]), ("program", found["program"])) if found else ()
    if level is Level.UNKNOWN:
        told = levels.UPPER.match(rest, length) or levels.LOWER.match(rest, length)
        if told:
            level = levels.BY_NAME[next(filter(None, told.groups())).lower()]
            length = told.end()
    return _Head(level, fields, _message_start(rest, length))


def _message_start(rest: str, begin: int) -> int:
    found = _SEPARATORS.match(rest, begin)
    return found.end() if found else begin


def _marked(rest: str) -> Level:
    return next(
        (level for mark, level in _MARKS if mark.search(rest, 0, MAX_MARK_CHARS)), Level.UNKNOWN
    )

"""Make a record of the keys and values of a structured log line, whatever its syntax."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from heisenberg.model.logs import Level
from heisenberg.readers.logs import levels, times
from heisenberg.readers.logs.http_text import Request, bare_path, find_request
from heisenberg.readers.logs.records import new_record
from heisenberg.readers.logs.roles import ROLES, Slot, is_wrapped
from heisenberg.readers.logs.traces import find_trace
from heisenberg.readers.logs.values import (
    as_text,
    exception_text,
    read_duration,
    read_status,
    read_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin

MAX_DEPTH = 4
"""Nested deeper than this is kept as JSON text."""

KNOWN_SHAPES = 1000
"""Plans kept at most: a log may have ids for keys."""

_EXCEPTIONS = {"err", "error", "exception", "exc", "thrown", "exc_info"}
_EXCEPTION_HEAD = re.compile(r"[\w.$]*(?:Error|Exception|Panic)\b")
_NO_ID = {"", "-", "null", "none", "None"}


def structured_record(
    origin: Origin,
    offset: int,
    text: str,
    data: Mapping[str, object],
    outer: datetime | None = None,
) -> LogRecord | None:
    """Read a record from key and value pairs.

    Args:
        origin: Of the log.
        offset: Of the line.
        text: The line with its escapes undone.
        data: The line's pairs; values as JSON has them.
        outer: Time that something around the line tells; it wins over the line's own.

    Returns:
        The record; None when the pairs hold neither a time, nor a level, nor a message.
    """
    shape = tuple(data)
    plan = _PLANS.get(shape)
    if plan is None:
        plan = Plan(shape)
        if len(_PLANS) < KNOWN_SHAPES:
            _PLANS[shape] = plan
    return plan.read(origin, offset, text, data, outer) or _read_any(
        origin, offset, text, data, outer
    )


class Plan:
    """Which key of a flat object of one shape fills which slot: worked out once a shape."""

    def __init__(self, shape: tuple[str, ...]) -> None:
        best: dict[Slot, tuple[int, str, float]] = {}
        for key in shape:
            slot, rank, scale = ROLES[key]
            if slot is not Slot.EXTRA and (slot not in best or rank < best[slot][0]):
                best[slot] = (rank, key, scale)
        # No key is None, so that a slot without one reads as absent.
        keys = [best[slot][1] if slot in best else None for slot in Slot]
        (
            self._time, self._level, self._message, self._exception, self._request_id,
            self._method, self._path, self._status, self._duration, request_line, _,
        ) = keys  # fmt: skip
        self._level_rank = best[Slot.LEVEL][0] if Slot.LEVEL in best else 0
        self._scale = best[Slot.DURATION][2] if Slot.DURATION in best else 0.0
        self._extras = [key for key in shape if key not in keys]
        self._is_usable = bool(self._time and self._message) and request_line is None

    def read(
        self,
        origin: Origin,
        offset: int,
        text: str,
        data: Mapping[str, object],
        outer: datetime | None,
    ) -> LogRecord | None:
        """Read an object of this shape; None when a value is not what its key promises."""
        if not self._is_usable:
            return None
        get = cast("Callable[[str | None], Any]", data.get)
        message, method, path, status = (
            get(self._message), get(self._method), get(self._path), get(self._status)
        )  # fmt: skip
        if (
            not (type(message) is str and message)
            or "\n" in message
            or not (method is None or (type(method) is str and method.isupper()))
            or not (path is None or (type(path) is str and path[:1] == "/"))
            or not (status is None or (type(status) is int and 100 <= status <= 599))  # noqa: PLR2004 -- HTTP
        ):
            return None
        fields: dict[str, str] = {}
        for key in self._extras:
            value = data[key]
            if type(value) is str:
                fields[key] = value
            elif type(value) is dict:
                return None
            elif value is not None:
                fields[key] = as_text(value)
        raw = get(self._time)
        when = outer or (times.from_text(raw) if type(raw) is str else read_time(raw))
        if when is None or (method is None and ("T /" in message or "E /" in message)):
            return None
        raw = get(self._exception)
        if type(raw) is str and raw and "\n" not in raw:
            return None
        trace = exception_text(raw) if raw else ""
        raw = get(self._level)
        level = levels.BY_NAME.get(raw) if type(raw) is str else None
        if level is None:
            level = _level(raw, self._level_rank) or _inferred(trace, status)
        duration = get(self._duration)
        identity = get(self._request_id)
        return new_record(
            origin.source,
            origin.service,
            offset,
            when,
            level,
            message,
            text,
            trace,
            method or "",
            bare_path(path) if path else "",
            status,
            None if duration is None else read_duration(duration, self._scale),
            "" if identity is None else _identity(identity),
            fields,
        )


_PLANS: dict[tuple[str, ...], Plan] = {}


class _Candidate(NamedTuple):
    """A value that may fill a slot."""

    rank: int
    key: str
    value: object
    scale: float


def _read_any(
    origin: Origin,
    offset: int,
    text: str,
    data: Mapping[str, object],
    outer: datetime | None,
) -> LogRecord | None:
    """Read an object of any shape: nested, or with values that are not what they should be."""
    fields: dict[str, str] = {}
    candidates: dict[Slot, list[_Candidate]] = {}
    _collect(data, "", candidates, fields, 0)
    slots: list[object] = [None] * len(Slot)
    ranks = [0] * len(Slot)
    scale = 0.0
    for slot, found in candidates.items():
        found.sort(key=lambda candidate: candidate.rank)
        slots[slot], ranks[slot] = found[0].value, found[0].rank
        scale = found[0].scale if slot is Slot.DURATION else scale
        for loser in found[1:]:
            fields[loser.key] = as_text(loser.value)
    when = outer or read_time(slots[Slot.TIME])
    level = _level(slots[Slot.LEVEL], ranks[Slot.LEVEL])
    body = slots[Slot.MESSAGE]
    if when is None and body is None and level is Level.UNKNOWN:
        return None
    message = "" if body is None else as_text(body)
    exception = slots[Slot.EXCEPTION]
    trace = "" if exception is None else exception_text(exception)
    if "\n" in message:
        trace = trace or find_trace(message, message.partition("\n")[0])
        message = message.lstrip().partition("\n")[0]
    _drop_foreign_url(slots, fields)
    request = _request(slots, scale)
    if not request.method and (said := find_request(message)):
        request = request.completed(said)
    if level is Level.UNKNOWN:
        level = _inferred(trace, request.status)
    if not message and request.method:
        message = f"{request.method} {request.path} {request.status or ''}".strip()
    identity = slots[Slot.REQUEST_ID]
    return new_record(
        origin.source,
        origin.service,
        offset,
        when,
        level,
        message,
        text,
        trace,
        *request,
        "" if identity is None else _identity(identity),
        fields,
    )


def _collect(
    data: Mapping[str, object],
    prefix: str,
    candidates: dict[Slot, list[_Candidate]],
    fields: dict[str, str],
    depth: int,
) -> None:
    for name, value in data.items():
        if value is None:
            continue
        key = f"{prefix}{name}"
        slot, rank, scale = ROLES[key]
        rank += 0 if is_wrapped(key) else depth * 100
        if isinstance(value, dict) and depth < MAX_DEPTH and not _keeps_whole(slot, value):
            if name.lower() in _EXCEPTIONS:
                candidates.setdefault(Slot.EXCEPTION, []).append(_Candidate(rank, key, value, 0.0))
            else:
                _collect(value, f"{key}.", candidates, fields, depth + 1)
        elif slot is Slot.EXTRA or not _fits(slot, value):
            fields[key] = as_text(value)
        else:
            candidates.setdefault(slot, []).append(_Candidate(rank, key, value, scale))


def _identity(value: object) -> str:
    text = value if isinstance(value, str) else as_text(value)
    return "" if text in _NO_ID else text


def _keeps_whole(slot: Slot, value: Mapping[str, object]) -> bool:
    return slot is Slot.TIME and any(k in value for k in ("$date", "epochSecond", "timestamp"))


def _fits(slot: Slot, value: object) -> bool:
    if slot is Slot.STATUS:
        return read_status(value) is not None
    if slot is Slot.PATH:
        return isinstance(value, str) and (value[:1] == "/" or "://" in value[:8])
    if slot is Slot.METHOD:
        return isinstance(value, str) and value.isalpha() and len(value) <= len("OPTIONS")
    if slot is Slot.REQUEST_LINE:
        return isinstance(value, str) and " /" in value
    if slot is Slot.EXCEPTION:
        if isinstance(value, str):
            return "\n" in value or bool(_EXCEPTION_HEAD.match(value))
        return isinstance(value, list) and bool(value)
    if slot is Slot.DURATION:
        return not isinstance(value, bool | list)
    return not (slot is Slot.MESSAGE and value == "")


def _request(slots: list[object], scale: float) -> Request:
    method, target, status = slots[Slot.METHOD], slots[Slot.PATH], slots[Slot.STATUS]
    line, duration = slots[Slot.REQUEST_LINE], slots[Slot.DURATION]
    if isinstance(line, str) and not (method and target):
        method, target = line.split(" ")[:2]
    return Request(
        method.upper() if isinstance(method, str) else "",
        bare_path(target) if isinstance(target, str) else "",
        None if status is None else read_status(status),
        None if duration is None else read_duration(duration, scale),
    )


def _drop_foreign_url(slots: list[object], fields: dict[str, str]) -> None:
    """An address without a method is what the event is about, not the request that it serves."""
    target = slots[Slot.PATH]
    if isinstance(target, str) and "://" in target[:8] and not slots[Slot.METHOD]:
        fields.setdefault("url", target)
        slots[Slot.PATH] = None


def _level(value: object, rank: int) -> Level:
    if isinstance(value, str):
        return levels.from_name(value)
    if isinstance(value, int | float):
        return levels.from_otel(value) if rank % 100 == _OTEL_RANK else levels.from_number(value)
    return Level.UNKNOWN


_OTEL_RANK = ROLES["severitynumber"].rank


def _inferred(trace: str, status: int | None) -> Level:
    if trace:
        return Level.ERROR
    return Level.UNKNOWN if status is None else levels.from_status(status)

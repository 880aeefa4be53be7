"""Make a record of the keys and values of a structured log line, whatever its syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from heisenberg.model.logs import Level, LogRecord
from heisenberg.readers.logs import levels, times
from heisenberg.readers.logs.http_text import bare_path, find_request
from heisenberg.readers.logs.roles import ROLES, Slot
from heisenberg.readers.logs.traces import find_trace

if TYPE_CHECKING:
    from datetime import datetime

    from heisenberg.readers.logs.origin import Origin

MAX_DEPTH = 4
"""Nested deeper than this is kept as JSON text."""

_UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "m": 6e4, "h": 3.6e6}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|sec|s|m|h)")
_EXCEPTIONS = {"err", "error", "exception", "exc", "thrown", "exc_info"}
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
    slots: list[object] = [None] * 10
    ranks = [1000] * 10
    fields: dict[str, str] = {}
    scale = _sort(data, "", slots, ranks, fields, 0)
    when = outer or read_time(slots[Slot.TIME])
    level = _level(slots[Slot.LEVEL], ranks[Slot.LEVEL])
    body = slots[Slot.MESSAGE]
    if when is None and body is None and level is Level.UNKNOWN:
        return None
    message = body if isinstance(body, str) else "" if body is None else as_text(body)
    exception = slots[Slot.EXCEPTION]
    trace = "" if exception is None else exception_text(exception)
    if "\n" in message:
        trace = trace or find_trace(message, message.partition("\n")[0])
        message = message.lstrip().partition("\n")[0]
    _drop_foreign_url(slots, fields)
    method, path, status = _request(slots)
    duration = slots[Slot.DURATION]
    duration_ms = None if duration is None else read_duration(duration, scale)
    if not method and message and (request := find_request(message)):
        method, path = request.method, path or request.path
        status = request.status if status is None else status
        duration_ms = request.duration_ms if duration_ms is None else duration_ms
    if level is Level.UNKNOWN:
        level = _inferred(trace, status)
    request_id = slots[Slot.REQUEST_ID]
    identity = "" if request_id is None else as_text(request_id)
    return LogRecord(
        origin.source,
        origin.service,
        offset,
        when,
        level,
        message or (f"{method} {path} {status or ''}".strip() if method else ""),
        text,
        trace,
        method,
        path,
        status,
        duration_ms,
        "" if identity in _NO_ID else identity,
        fields,
    )


def _sort(
    data: Mapping[str, object],
    prefix: str,
    slots: list[object],
    ranks: list[int],
    fields: dict[str, str],
    depth: int,
) -> float:
    scale = 0.0
    for name, value in data.items():
        key = f"{prefix}{name}" if prefix else name
        slot, rank, unit = ROLES[key]
        if isinstance(value, Mapping) and depth < MAX_DEPTH and not _keeps_whole(slot, value):
            if name.lower() in _EXCEPTIONS and slots[Slot.EXCEPTION] is None:
                slots[Slot.EXCEPTION], ranks[Slot.EXCEPTION] = value, rank
            else:
                scale = _sort(value, f"{key}.", slots, ranks, fields, depth + 1) or scale
        elif slot is Slot.EXTRA or value is None or not _fits(slot, value):
            if value is not None:
                fields[key] = value if isinstance(value, str) else as_text(value)
        else:
            rank += depth * 100
            if slots[slot] is None or rank < ranks[slot]:
                slots[slot], ranks[slot] = value, rank
                scale = unit or scale
            elif slot is Slot.MESSAGE or slot is Slot.REQUEST_ID:
                fields[key] = as_text(value)
    return scale


def _keeps_whole(slot: Slot, value: Mapping[str, object]) -> bool:
    return slot is Slot.TIME and any(k in value for k in ("$date", "epochSecond", "timestamp"))


def _fits(slot: Slot, value: object) -> bool:
    if slot is Slot.STATUS:
        return read_status(value) is not None
    if slot is Slot.PATH:
        return isinstance(value, str) and (value[:1] == "/" or "://" in value[:8])
    if slot is Slot.METHOD:
        return isinstance(value, str) and value.isalpha() and len(value) <= 7  # noqa: PLR2004 -- OPTIONS
    if slot is Slot.REQUEST_LINE:
        return isinstance(value, str) and " /" in value
    if slot is Slot.EXCEPTION:
        return not isinstance(value, bool | int | float) and value not in ("", [])
    if slot is Slot.DURATION:
        return not isinstance(value, bool | list)
    return not (slot is Slot.MESSAGE and value == "")


def _request(slots: list[object]) -> tuple[str, str, int | None]:
    method, target, status = slots[Slot.METHOD], slots[Slot.PATH], slots[Slot.STATUS]
    line = slots[Slot.REQUEST_LINE]
    if isinstance(line, str) and not (method and target):
        parts = line.split(" ")
        method, target = parts[0], parts[1]
    return (
        method.upper() if isinstance(method, str) else "",
        bare_path(target) if isinstance(target, str) else "",
        None if status is None else read_status(status),
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


def read_time(value: object) -> datetime | None:
    """Read a time as JSON has it: text, a number since 1970, or an object of them."""
    if isinstance(value, str):
        return times.from_text(value)
    if isinstance(value, int | float):
        return times.from_epoch(value)
    if isinstance(value, Mapping):
        if "epochSecond" in value:
            seconds, nanos = value["epochSecond"], value.get("nanoOfSecond", 0)
            if isinstance(seconds, int) and isinstance(nanos, int):
                return times.from_epoch(seconds + nanos / 1e9)
        return read_time(value.get("$date") or value.get("timestamp"))
    return None


def read_status(value: object) -> int | None:
    """Read an HTTP status from a number or digits; None for anything else."""
    if isinstance(value, str):
        value = int(value) if len(value) == 3 and value.isdecimal() else None  # noqa: PLR2004 -- HTTP
    if isinstance(value, int) and 100 <= value <= 599:  # noqa: PLR2004 -- HTTP
        return value
    return None


def read_duration(value: object, scale: float) -> float | None:
    """Read a duration in milliseconds.

    Args:
        value: A number, digits, or amounts with units (`1m2.5s`).
        scale: Milliseconds a unit; 0 when the key does not tell. Then a big whole number is
            Go's nanoseconds, a fraction finer than a thousandth is of seconds, and anything
            else milliseconds.
    """
    if isinstance(value, str):
        if amounts := _AMOUNT.findall(value):
            return float(sum(float(number) * _UNITS[unit] for number, unit in amounts))
        try:
            value = float(value)
        except ValueError:
            return None
        value = int(value) if value.is_integer() and abs(value) < 1e15 else value  # noqa: PLR2004 -- exact
    if not isinstance(value, int | float) or value != value:  # noqa: PLR0124 -- NaN
        return None
    if scale:
        return value * scale
    if isinstance(value, int):
        return value / 1e6 if value >= 1_000_000 else float(value)  # noqa: PLR2004 -- see above
    return value * 1e3 if value < 100 and round(value, 3) != value else value  # noqa: PLR2004 -- see above


def exception_text(value: object) -> str:
    """Write an exception as text: a trace as it is, an object or list of frames rendered."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _exception_of(value)
    if isinstance(value, list):
        return "\n".join(exception_text(item) for item in value if item is not None)
    return as_text(value)


def _exception_of(value: Mapping[str, object]) -> str:
    stack = next((value[k] for k in _STACKS if value.get(k)), None)
    kind = next((as_text(value[k]) for k in _KINDS if value.get(k)), "")
    message = next((as_text(value[k]) for k in _MESSAGES if value.get(k)), "")
    head = f"{kind}: {message}" if kind and message else kind or message
    if isinstance(stack, str):
        return stack if not message or message in stack else f"{head}\n{stack}"
    if isinstance(stack, list):
        frames = [_frame(frame) for frame in stack]
        return "\n".join(["Traceback (most recent call last):", *frames, head])
    return head or as_text(value)


_STACKS = ("stack", "stack_trace", "stackTrace", "stacktrace", "traceback", "frames", "backtrace")
_KINDS = ("exc_type", "type", "name", "class", "kind", "@type")
_MESSAGES = ("exc_value", "message", "value", "msg", "reason")


def _frame(frame: object) -> str:
    if not isinstance(frame, Mapping):
        return f"  {as_text(frame)}"
    file = frame.get("filename") or frame.get("file") or frame.get("fileName") or "?"
    line = frame.get("lineno") or frame.get("line") or frame.get("lineNumber") or "?"
    name = frame.get("name") or frame.get("function") or frame.get("methodName") or "?"
    return f'  File "{file}", line {line}, in {name}'


def as_text(value: object) -> str:
    """Write a JSON value as text: strings bare, all else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)

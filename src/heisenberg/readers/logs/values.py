"""Read the values that structured logs hold: times, durations, statuses, exceptions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from heisenberg.readers.logs import times

if TYPE_CHECKING:
    from datetime import datetime

_UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "m": 6e4, "h": 3.6e6}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|sec|s|m|h)")


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

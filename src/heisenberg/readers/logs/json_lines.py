"""JSON lines, whatever logger wrote them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from heisenberg.readers.logs.roles import ROLES, Slot
from heisenberg.readers.logs.structured import structured_record
from heisenberg.readers.logs.values import read_time
from heisenberg.text import strip_escapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin

_decode = msgspec.json.Decoder().decode
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))",
    re.DOTALL,
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def undo_escapes(text: str) -> str:
    r"""Undo the string escapes of a line of JSON: `\n`, `\"`, `\u00e9`, surrogate pairs."""
    if "\\" not in text:
        return text
    if "\\\\" not in text and "\\u" not in text:
        return (
            text.replace("\\n", "\n")
            .replace('\\"', '"')
            .replace("\\t", "\t")
            .replace("\\r", "\r")
            .replace("\\/", "/")
        )
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    high, low, unit, simple = found.groups()
    if simple is not None:
        return _SIMPLE.get(simple, simple)
    if unit is not None:
        code = int(unit, 16)
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)  # noqa: PLR2004 -- a lone surrogate
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


def decode_object(line: str) -> dict[str, object] | None:
    """Decode a line that is one JSON object; None when it is not."""
    try:
        value = _decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_record(
    origin: Origin, offset: int, line: str, outer: datetime | None = None
) -> LogRecord | None:
    """Read a line of JSON as a record; None when it is no object or none of a log."""
    data = decode_object(line)
    if data is None:
        return None
    return structured_record(origin, offset, strip_escapes(undo_escapes(line)), data, outer)


class TimeKey:
    """Reads only the time of a JSON line, by a key learned from a line of the same log."""

    def __init__(self, key: str) -> None:
        self._search = re.compile(
            rf'"{re.escape(key)}"\s*:\s*(?:"([^"\\]*)"|(-?[\d.]+(?:[eE][+-]?\d+)?))'
        ).search

    def raw(self, line: str) -> str | None:
        """The value as written."""
        found = self._search(line)
        return found and (found[1] or found[2])

    def read(self, line: str) -> datetime | None:
        """The time; None when the line has none under this key."""
        raw = self.raw(line)
        return read_time(raw) if raw else None


def time_key(data: Mapping[str, object]) -> str | None:
    """Name the top-level key that holds a record's time."""
    keys = [
        (ROLES[k].rank, k) for k, v in data.items() if ROLES[k].slot is Slot.TIME and read_time(v)
    ]
    return min(keys)[1] if keys else None

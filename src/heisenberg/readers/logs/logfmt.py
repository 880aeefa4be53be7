"""logfmt: `time=… level=… msg="…"`, as Go's slog, logrus and Heroku write it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.readers.logs.json_lines import undo_escapes
from heisenberg.readers.logs.roles import ROLES, Slot
from heisenberg.readers.logs.structured import structured_record

if TYPE_CHECKING:
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin

_PAIR = re.compile(r'(?<![^\s,;({\[])([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*+"|[^\s,;"]*)')
_START = re.compile(r'\s*[A-Za-z_@][\w.@-]*=(?:"|\S)')
_LEADING = {Slot.TIME, Slot.LEVEL, Slot.MESSAGE}


def pairs(text: str) -> dict[str, str]:
    """All `key=value` pairs of a text, quotes and their escapes undone; the first of a key wins."""
    found: dict[str, str] = {}
    for key, value in _PAIR.findall(text):
        if key not in found:
            found[key] = undo_escapes(value[1:-1]) if value[:1] == '"' else _bare(value)
    return found


def _bare(value: str) -> str:
    """Cut the closing brackets that belong to the text around."""
    if value[-1:] in _CLOSING and not any(c in value for c in "({["):
        return value.rstrip("}]):")
    return value


_CLOSING = {"}", "]", ")", ":"}


def logfmt_record(
    origin: Origin, offset: int, line: str, outer: datetime | None = None
) -> LogRecord | None:
    """Read a line of logfmt; None when it does not begin with a pair or leads with none we know."""
    if not _START.match(line):
        return None
    data = pairs(line)
    known = {ROLES[key].slot for key in data}
    if len(data) < 2 or not known & _LEADING:  # noqa: PLR2004 -- one pair is a sentence
        return None
    return structured_record(origin, offset, undo_escapes(line), data, outer)

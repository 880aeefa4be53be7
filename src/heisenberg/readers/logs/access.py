"""Access logs of web servers: common, combined, and with what people append to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.readers.logs import levels
from heisenberg.readers.logs.http_text import bare_path
from heisenberg.readers.logs.logfmt import pairs
from heisenberg.readers.logs.records import new_record
from heisenberg.readers.logs.times import make_forms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.origin import Origin
    from heisenberg.readers.logs.times import Form

_REQUEST = re.compile(
    r'\] "(?P<request>(?:(?P<method>[A-Z]{3,12}) (?P<target>[^" ]*)[^"\\]*(?:\\.[^"\\]*)*'
    r'|[^"\\]*(?:\\.[^"\\]*)*))" (?P<status>[1-5]\d\d)(?: (?P<size>\d+|-))?(?=\s|$)'
)
MAX_HEAD_CHARS = 300
"""Host, identity and user are shorter."""

_TIMING = ("rt", "request_time", "rt_ms", "request_time_ms", "duration", "duration_ms", "time")
_TAIL_NUMBER = re.compile(r"(?:^|\s)(\d+\.\d{1,9})(?:\s|$)")
_REQUEST_IDS = ("request_id", "req_id", "requestid", "rid", "trace_id", "x_request_id")


class AccessLine:
    """Reads lines of one access log."""

    def __init__(self, clock: datetime) -> None:
        forms = {form.name: form for form in make_forms(clock)}
        self.forms: Sequence[Form] = [forms[name] for name in ("day-month", "iso", "slashes")]
        self._text, self._length = "-", 1
        self._when: datetime | None = None

    def time(self, line: str) -> datetime | None:
        """Read only the time of a line; None when it is no access log's."""
        begin = line.find(" [", 0, MAX_HEAD_CHARS)
        if begin < 0:
            return None
        text = line[begin + 2 : begin + 40]
        if text[: self._length] == self._text:
            return self._when
        for form in self.forms:
            if stamp := form.read(text):
                self._length = stamp.end
                self._text, self._when = text[: stamp.end], stamp.when
                return stamp.when
        return None

    def read(
        self, origin: Origin, offset: int, line: str, outer: datetime | None = None
    ) -> LogRecord | None:
        """Read a line; None when it is no access log's."""
        begin = line.find(" [", 0, MAX_HEAD_CHARS)
        end = line.find("]", begin, begin + 48) if begin > 0 else -1
        found = _REQUEST.match(line, end) if end > 0 else None
        when = outer or (self.time(line) if found else None)
        if found is None or when is None:
            return None
        tail = line[found.end() :]
        status = int(found["status"])
        data = pairs(tail) if "=" in tail else {}
        return new_record(
            origin.source,
            origin.service,
            offset,
            when,
            levels.from_status(status),
            line[found.start("request") - 1 : found.end()],
            line,
            "",
            found["method"] or "",
            bare_path(found["target"] or ""),
            status,
            _duration_ms(data, tail),
            next((data[k] for k in _REQUEST_IDS if k in data and data[k] != "-"), ""),
            {**data, "client": line.partition(" ")[0]},
        )


def _duration_ms(data: dict[str, str], tail: str) -> float | None:
    for key in _TIMING:
        if key in data:
            try:
                return float(data[key].rstrip("sm")) * (1.0 if key.endswith("_ms") else 1e3)
            except ValueError:
                return None
    # nginx's $request_time stands alone after the quoted fields.
    bare = tail.rpartition('"')[2]
    if number := _TAIL_NUMBER.search(bare):
        return float(number[1]) * 1e3
    return None

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

_LINE = re.compile(
    r"(?P<host>\S+) (?:(?P<client>\S+) )??(?P<ident>\S+) (?P<user>\S+(?: \S+)??) "
    r"\[(?P<time>[^\]]{17,40})\] "
    r'"(?P<request>(?:(?P<method>[A-Z]{3,12}) (?P<target>[^"\\ ]*(?:\\.[^"\\ ]*)*)[^"]*|[^"]*))" '
    r"(?P<status>\d{3})(?: (?P<size>\d+|-))?"
)
_TIMING = ("rt", "request_time", "rt_ms", "request_time_ms", "duration", "duration_ms", "time")
_TAIL_NUMBER = re.compile(r"(?:^|\s)(\d+\.\d{1,9})(?:\s|$)")
_REQUEST_IDS = ("request_id", "req_id", "requestid", "rid", "trace_id", "x_request_id")


class AccessLine:
    """Reads lines of one access log."""

    def __init__(self, clock: datetime) -> None:
        wanted = ("day-month", "iso", "slashes")
        self.forms: Sequence[Form] = [f for f in make_forms(clock) if f.name in wanted]

    def read(
        self, origin: Origin, offset: int, line: str, outer: datetime | None = None
    ) -> LogRecord | None:
        """Read a line; None when it is no access log's."""
        found = _LINE.match(line)
        if found is None:
            return None
        stamp = next((s for f in self.forms if (s := f.read(found["time"]))), None)
        if stamp is None and outer is None:
            return None
        tail = line[found.end() :]
        status = int(found["status"])
        data = pairs(tail) if "=" in tail else {}
        return new_record(
            origin.source,
            origin.service,
            offset,
            outer or (stamp.when if stamp else None),
            levels.from_status(status),
            line[found.start("request") - 1 : found.end()],
            line,
            "",
            found["method"] or "",
            bare_path(found["target"] or ""),
            status,
            _duration_ms(data, tail),
            next((data[k] for k in _REQUEST_IDS if k in data and data[k] != "-"), ""),
            {**data, "client": found["host"]},
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

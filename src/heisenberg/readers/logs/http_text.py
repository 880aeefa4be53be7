"""Find the HTTP request that a line of text tells of."""

from __future__ import annotations

import re
from typing import NamedTuple

_METHOD = r"(?P<method>GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)"
_TARGET = r"(?P<target>(?:https?://[^\s\"'/]+)?/[^\s\"',)]*|https?://[^\s\"',)]+)"
_TOOK = r"(?:(?P<took>\d+(?:\.\d+)?)\s?(?P<unit>ns|us|µs|ms|s)\b)"
_PATTERNS = (
    re.compile(
        rf"\b{_METHOD}['\"]?[ :]+['\"]?{_TARGET}(?: HTTP/[\d.]+)?['\"]?"
        rf"(?:[ :|>=-]+(?:(?:responded|returned|completed|finished)(?: with)? )?"
        rf"(?:status(?:_code)?[=: ]+)?(?P<status>[1-5]\d\d)\b(?!\.))?"
        rf"(?:[^\d]{{1,12}}{_TOOK})?"
    ),
    re.compile(
        rf"(?:^|\|)\s*(?P<status>[1-5]\d\d)\s*\|\s*{_TOOK}\s*\|.{{0,80}}\|\s*{_METHOD}\s+\"?{_TARGET}"
    ),
    re.compile(rf"^Completed (?P<status>[1-5]\d\d) .{{0,40}}\bin {_TOOK}"),
)
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}

SEARCHED_CHARS = 500


class Request(NamedTuple):
    """A request as far as the text tells."""

    method: str
    path: str
    status: int | None
    duration_ms: float | None

    def completed(self, other: Request) -> Request:
        """This request with what it lacks taken from another account of it."""
        return Request(
            self.method or other.method,
            self.path or other.path,
            other.status if self.status is None else self.status,
            other.duration_ms if self.duration_ms is None else self.duration_ms,
        )


NO_REQUEST = Request("", "", None, None)


def find_request(text: str) -> Request | None:
    """Find method, path, status and duration in a message; None when it names no request."""
    if "T" not in text and "E /" not in text and "Completed" not in text:
        return None
    text = text[:SEARCHED_CHARS]
    # The second form (status before method) holds the first, so it has its turn before it.
    order = (1, 0, 2) if " | " in text else (0, 2)
    for number in order:
        if found := _PATTERNS[number].search(text):
            part = found.groupdict()
            took, unit = part.get("took"), part.get("unit")
            return Request(
                part.get("method") or "",
                bare_path(part.get("target") or ""),
                int(part["status"]) if part.get("status") else None,
                float(took) * _MILLISECONDS[unit] if took and unit else None,
            )
    return None


def bare_path(target: str) -> str:
    """Cut scheme, host, query and fragment from a request's target."""
    if "://" in target[:8]:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    for mark in "?#":
        if mark in target:
            target = target.partition(mark)[0]
    return target

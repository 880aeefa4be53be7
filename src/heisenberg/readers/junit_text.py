"""Numbers, times and texts of JUnit XML, as its many producers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from heisenberg.text import fold_whitespace, strip_escapes

MAX_TEXT = 256 * 1024
"""Characters kept of one failure or output; the middle of a longer one is dropped."""

NO_TEXT = "Failed; the report holds no error text."

MAX_SECONDS = 1e8
"""Three years; more is no duration, and arithmetic on it overflows."""
YEARS = range(1970, 2200)
"""In which a run can have been; arithmetic on the ends of the calendar overflows."""
_EPOCH = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_MILLISECONDS = 1e11
"""An epoch time beyond this is in milliseconds: in seconds it would be the year 5138."""

_TIME_FORMATS = (
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %Z %Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S %Z",
)


@lru_cache(maxsize=4096)
def parse_ms(seconds: str) -> float | None:
    """Convert a `time` attribute to ms: `0.5`, `1,234.5` or `0,5`; None when it is no duration."""
    text = seconds.strip()
    if "," in text:
        decimal = "." not in text and text.count(",") == 1
        text = text.replace(",", "." if decimal else "")
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        return None
    return round(value * 1000, 6) if 0 <= value <= MAX_SECONDS else None


@lru_cache(maxsize=1024)
def parse_time(text: str) -> tuple[datetime, bool] | None:
    """Convert a `timestamp` attribute to UTC.

    Returns:
        The time, and whether it named its zone (without one it is taken as UTC); None when it is
        no time.
    """
    moment = _moment(text.strip())
    if moment is None or moment.year not in YEARS:
        return None
    try:
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC), False
        return moment.astimezone(UTC), True
    except OverflowError:
        return None


def _moment(text: str) -> datetime | None:
    """Try the forms that producers use."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if _EPOCH.fullmatch(text):
        value = float(text)
        try:
            return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
        except (OverflowError, ValueError, OSError):
            return None
    for form in _TIME_FORMATS:
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 (the caller adds the zone)
        except ValueError:
            continue
        named = form.endswith(("%Z", "%Z %Y"))
        return moment.replace(tzinfo=UTC) if named else moment
    try:
        return parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None


def clean(text: str) -> str:
    """Undo terminal colours, drop blank lines around the text, bound its length."""
    text = strip_escapes(text.replace("\r\n", "\n")).strip("\n")
    if not text.strip():
        return ""
    return bounded(text.rstrip())


def bounded(text: str) -> str:
    """Cut the middle out of a text beyond `MAX_TEXT`."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def join_message(message: str, body: str, kind: str) -> str:
    """Combine what an element says in its attribute and in its body, each once; never empty."""
    message, body = clean(message), clean(body)
    if not message or not body:
        return message or body or (f"{kind}: {NO_TEXT}" if kind else NO_TEXT)
    if fold_whitespace(message) in fold_whitespace(body):
        return body
    if fold_whitespace(body) in fold_whitespace(message):
        return message
    return f"{message}\n{body}"

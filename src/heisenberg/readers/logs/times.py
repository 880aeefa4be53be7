"""The forms in which logs write the time, and how to read each quickly.

A form knows one way to write a timestamp. `Form.read(line)` gives the time and where the stamp
ends in the line, or None. Times without a zone are taken as UTC; those without a year or a day
take it from the clock they were written by, the file's modification time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        start=1,
    )
}

ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "BST": 60, "WEST": 60, "CET": 60, "CEST": 120,
    "EET": 120, "EEST": 180, "MSK": 180, "IST": 330, "SGT": 480, "HKT": 480, "JST": 540,
    "KST": 540, "AEST": 600, "AEDT": 660, "NZST": 720, "NZDT": 780, "EST": -300, "EDT": -240,
    "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420,
}  # fmt: skip
"""Zone names that logs print, as minutes east; of those with two meanings the commoner one."""

YEAR_SLACK = timedelta(days=2)
"""A stamp without a year may lie this far after the file's modification: clocks and zones differ."""

DAY_SLACK = timedelta(hours=6)
"""Likewise for a stamp without a day."""

YEARS = range(1970, 2200)
"""In which a log can have been written; arithmetic on the ends of the calendar overflows."""

_ZONE = r"(?:(?P<sep> ?)(?P<z>Z|[+-]\d\d:?\d\d|(?:" + "|".join(ZONES) + r")(?![\w-])))?"
_TIME = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_START = r"(?:[\[(<]|<\d{1,3}>(?:1 )?|[A-Z], \[|\d+:[A-Z] )?"
_LATE = r"(?=\S)[^\"'{}=]{1,64}?(?<![\w.:/-])"
_END = r"\]?"


class Stamp(NamedTuple):
    """A time found in a line."""

    when: datetime
    """Aware UTC."""
    end: int
    """Index just past it and its closing bracket."""


class Form:
    """One way to write the time, at the start of a line or, when `late`, after other words."""

    def __init__(self, name: str, pattern: str, *, late: bool, clock: datetime) -> None:
        self.name = f"{name}-late" if late else name
        self.is_late = late
        self.tells_no_level = not late and name not in {"klog", "day-month", "syslog"}
        self.saw_zone = False
        self.saw_no_zone = False
        self._clock = clock
        self._match = re.compile((_LATE if late else "") + _START + pattern + _END).match
        self._second = ""
        self._base = clock

    def read(self, line: str) -> Stamp | None:
        """Find the stamp; None when the line has none of this form or an impossible one."""
        found = self._match(line)
        if found is None:
            return None
        fraction, second = found["f"], found["base"]
        try:
            if second != self._second:
                self._base = self._convert(found.groupdict())
                self._second = second
        except (ValueError, OverflowError):
            return None
        if not fraction:
            return Stamp(self._base, found.end())
        micro = int(fraction[:6].ljust(6, "0"))
        return Stamp(self._base.replace(microsecond=micro), found.end())

    def _convert(self, part: dict[str, str | None]) -> datetime:
        month_name, zone = part.get("mon"), part.get("z")
        month = MONTHS[month_name.lower()] if month_name else int(part.get("mo") or 0)
        hour = int(part["h"] or 0)
        if half := part.get("half"):
            hour = hour % 12 + (12 if half.lower() == "pm" else 0)
        year, day = part.get("y"), part.get("d")
        self._note_zone(zone)
        offset = timedelta(minutes=zone_minutes(zone))
        if year and int(year) not in YEARS:
            raise ValueError(year)
        when = datetime(
            int(year) if year else self._clock.year,
            month or self._clock.month,
            int(day) if day else self._clock.day,
            hour,
            int(part["mi"] or 0),
            min(int(part["s"] or 0), 59),
            tzinfo=UTC,
        )
        when -= offset
        if day is None:
            return when - timedelta(days=1) if when > self._clock + DAY_SLACK else when
        if year is None and when > self._clock + YEAR_SLACK:
            return when.replace(year=when.year - 1)
        return when

    def _note_zone(self, zone: str | None) -> None:
        if zone:
            self.saw_zone = True
        else:
            self.saw_no_zone = True


class IsoForm(Form):
    """ISO 8601 and its relatives, through the interpreter's own parser."""

    def read(self, line: str) -> Stamp | None:
        """Find the stamp; None when the line has none of this form or an impossible one."""
        found = self._match(line)
        if found is None:
            return None
        base, zone = found["base"], found["z"]
        try:
            if zone is None:
                self.saw_no_zone = True
                return Stamp(datetime.fromisoformat(base + "+00:00"), found.end())
            self.saw_zone = True
            if zone in {"Z", "UTC"}:
                return Stamp(datetime.fromisoformat(base + "+00:00"), found.end())
            offset = timezone(timedelta(minutes=zone_minutes(zone)))
            local = datetime.fromisoformat(base).replace(tzinfo=offset)
            return Stamp(local.astimezone(UTC), found.end())
        except (ValueError, OverflowError):
            return None


class EpochForm(Form):
    """Seconds, or milliseconds and finer, since 1970."""

    def read(self, line: str) -> Stamp | None:
        """Find the stamp; None when the line has none of this form or an impossible one."""
        found = self._match(line)
        if found is None:
            return None
        self.saw_zone = True
        when = from_epoch(float(found["base"]))
        return None if when is None else Stamp(when, found.end())


_DATE = r"(?P<y>\d{4})[/.](?P<mo>\d\d)[/.](?P<d>\d\d)"
_PATTERNS: dict[str, tuple[type[Form], str]] = {
    "iso": (
        IsoForm,
        r"(?P<base>(?:19[7-9]|2[01]\d)\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?P<f>)"
        + _ZONE,
    ),
    "iso-basic": (
        Form,
        r"(?P<base>(?P<y>\d{4})(?P<mo>\d\d)(?P<d>\d\d)[T ]"
        r"(?P<h>\d\d):?(?P<mi>\d\d):?(?P<s>\d\d))(?:[.,](?P<f>\d{1,9}))?" + _ZONE,
    ),
    "slashes": (
        Form,
        rf"(?P<base>{_DATE}(?: -)?[ T](?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d))"
        r"(?:[.,](?P<f>\d{1,9}))?" + _ZONE,
    ),
    "us": (
        Form,
        r"(?P<base>(?P<mo>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}),? "
        r"(?P<h>\d{1,2}):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
        r"(?:\s(?P<half>[AaPp][Mm]))?)" + _ZONE,
    ),
    "day-month": (
        Form,
        r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?"
        r"(?P<base>(?P<d>\d{1,2})[ /-](?P<mon>[A-Z][a-z]{2})[ /-](?P<y>\d{4})[ :]"
        r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d))(?:[.,](?P<f>\d{1,9}))?" + _ZONE,
    ),
    "month-day-year": (
        Form,
        r"(?P<base>(?P<mon>[A-Z][a-z]{2})\s{1,2}(?P<d>\d{1,2}), (?P<y>\d{4}),? "
        r"(?P<h>\d{1,2}):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
        r"(?:\s(?P<half>[AaPp][Mm]))?)" + _ZONE,
    ),
    "ctime": (
        Form,
        (
            r"(?P<base>[A-Z][a-z]{2} (?P<mon>[A-Z][a-z]{2})\s{1,2}(?P<d>\d{1,2}) "
            r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))? "
            r"(?:(?P<z>UTC|GMT) )?(?P<y>\d{4}))"
        ),
    ),
    "syslog": (
        Form,
        (
            r"(?P<base>(?P<mon>[A-Z][a-z]{2})\s{1,2}(?P<d>\d{1,2}) "
            r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d))(?:[.,](?P<f>\d{1,9}))?(?! \d{4})(?P<z>)"
        ),
    ),
    "klog": (
        Form,
        (
            r"(?=[IWEFD])[IWEFD](?P<base>(?P<y>\d{4}(?=\d{4} ))?(?P<mo>\d\d)(?P<d>\d\d)\s"
            r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d))\.(?P<f>\d{1,9})(?P<z>)"
        ),
    ),
    "epoch": (EpochForm, r"(?P<base>[1-3]\d{9}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?)(?![\w.-])"),
    "time": (Form, rf"(?P<base>{_TIME})(?P<z>)(?![\w:])"),
}

NEVER_LATE = {"klog", "epoch", "syslog"}
"""Too like ordinary words and numbers to look for inside a line."""


def make_forms(clock: datetime) -> Sequence[Form]:
    """Make every form anew: at the line's start first, the strictest first."""
    return [
        kind(name, pattern, late=late, clock=clock)
        for late in (False, True)
        for name, (kind, pattern) in _PATTERNS.items()
        if not (late and name in NEVER_LATE)
    ]


def zone_minutes(zone: str | None) -> int:
    """Minutes east of UTC of a zone's name or offset (`+0200`, `+02:00`, `CEST`); 0 for none."""
    if not zone:
        return 0
    if zone[0] not in "+-":
        return ZONES.get(zone, 0)
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return -minutes if zone[0] == "-" else minutes


def from_epoch(number: float) -> datetime | None:
    """Read seconds, milli-, micro- or nanoseconds since 1970, told apart by their size.

    Returns:
        Aware UTC; None outside the years 2001 to 2286, where a number is no time of a log.
    """
    for _ in range(4):
        if number < 1e9:  # noqa: PLR2004 -- September 2001
            return None
        if number < 1e10:  # noqa: PLR2004 -- November 2286
            return datetime.fromtimestamp(number, tz=UTC)
        number /= 1000
    return None


def from_text(text: str) -> datetime | None:
    """Read a whole value (of a JSON key, say) as a time; None when it is none.

    Returns:
        Aware UTC; a time without a zone is taken as UTC.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return _from_odd_text(text.strip())
    if when.year not in YEARS:
        return None
    if when.tzinfo is UTC:
        return when
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


_ENDS_IN_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d|\b(?:" + "|".join(ZONES) + r"))\]?$")


def has_zone(text: str) -> bool:
    """Whether a time tells its zone; a number since 1970 does."""
    return bool(_ENDS_IN_ZONE.search(text)) or not any(c in text for c in ":T")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _from_odd_text(text: str) -> datetime | None:
    if text[:1].isdigit() and text.replace(".", "", 1).isdigit():
        return from_epoch(float(text))
    for form in _VALUE_FORMS:
        if stamp := form.read(text):
            return stamp.when
    return None


_VALUE_FORMS = [
    form
    for form in make_forms(_EPOCH)
    if form.name in {"iso", "iso-basic", "slashes", "us", "day-month", "month-day-year", "ctime"}
]

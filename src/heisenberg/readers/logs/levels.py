"""Names and numbers by which loggers tell severity."""

from __future__ import annotations

import re

from heisenberg.model.logs import Level

_NAMES = {
    Level.DEBUG: "trace debug debug1 debug2 debug3 debug4 debug5 verbose fine finer finest dbg dbug"
    " trce vrb d1 d2 d3 d4 d5 d t v",
    Level.INFO: "info information informational notice log inf note system config success default"
    " http hint i n",
    Level.WARNING: "warn warning wrn w",
    Level.ERROR: "error err erro eror severe fail failure e",
    Level.FATAL: "fatal critical crit alert emerg emergency panic ftl crt fatl dpanic f c a",
}
BY_NAME = {
    spelling: level
    for level, names in _NAMES.items()
    for name in names.split()
    for spelling in (name, name.upper())
}
"""Name or letter, lower or upper case, to level."""

WORDS = "TRACE|DEBUG|VERBOSE|INFO|INFORMATION|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|PANIC"
_ANYWHERE = f"{WORDS}|ERR|CRIT|ALERT|EMERG|LOG|DBG|INF|WRN|FTL|FINE|FINER|FINEST|CONFIG"
_LOWER = "trace|debug|verbose|info|notice|warn|warning|error|critical|fatal|panic"
_COLON = f"{_LOWER}|err|crit|alert|emerg|emergency|fail|dbug|trce"
_BRACKETED = f"{_COLON}|note|system|silly"

UPPER = re.compile(
    r"[\s\]:|>,-]*+(?:(?:\[[^\]\n]{0,80}\]|\([^)\n]{0,80}\)|[^\s\[\]()\"'={]{1,60}+)[\s|:\]-]++){0,4}?"
    rf"[\[(<|*/]*+(?:[\w.-]{{1,80}}[:/]|[\w-]{{1,80}}\.)?({_ANYWHERE})(?:/[\w.-]+)?(?=[\s\])>|:,*(-]|$)[\])>|:,*]*"
)
"""An upper-case level after at most four words or bracketed groups, from the stamp's end."""

LOWER = re.compile(
    r"[\s\]:|>,-]*+(?:\d+\s+)?(?:\[[^\]\n]{0,80}\]\s*){0,3}?(?:"
    rf"[\[(<|][\w.-]*:?(?P<bracketed>(?i:{_BRACKETED}))(?:/[\w.-]+)?[\])>|]+:?"
    rf"|(?P<colon>(?i:{_COLON})):(?=\s|$)"
    rf"|(?P<dashed>(?i:{_LOWER}))(?=\s+[-|]\s)"
    rf"|(?P<first>{_LOWER})(?=\s))"
)
"""A level of any case, where brackets, a colon or its place mark it as one."""

_PINO = ((60, Level.FATAL), (50, Level.ERROR), (40, Level.WARNING), (30, Level.INFO))
_SYSLOG = (Level.FATAL,) * 3 + (Level.ERROR, Level.WARNING, Level.INFO, Level.INFO, Level.DEBUG)
_OTEL = ((21, Level.FATAL), (17, Level.ERROR), (13, Level.WARNING), (9, Level.INFO))


def from_name(name: str) -> Level:
    """Read a level's name in any case, or its digits; UNKNOWN when it is none."""
    level = BY_NAME.get(name) or BY_NAME.get(name.strip().lower())
    if level is None:
        return from_number(int(name)) if name.isdecimal() and len(name) < 4 else Level.UNKNOWN  # noqa: PLR2004 -- a level has three digits at most
    return level


def from_number(number: float) -> Level:
    """Read a number: below 8 syslog's severity, else the scale of pino and bunyan (10 to 60)."""
    if 0 <= number < len(_SYSLOG):
        return _SYSLOG[int(number)]
    return _from_scale(number, _PINO)


def from_priority(priority: int) -> Level:
    """Read syslog's priority, facility times 8 plus severity (RFC 5424, 6.2.1)."""
    return _SYSLOG[priority & 7]


def from_otel(number: float) -> Level:
    """Read OpenTelemetry's severity number, 1 to 24."""
    return _from_scale(number, _OTEL)


def from_status(status: int) -> Level:
    """Read the level that an access log's status amounts to."""
    if status >= 500:  # noqa: PLR2004 -- HTTP
        return Level.ERROR
    return Level.WARNING if status >= 400 else Level.INFO  # noqa: PLR2004 -- HTTP


def _from_scale(number: float, scale: tuple[tuple[int, Level], ...]) -> Level:
    return next((level for least, level in scale if number >= least), Level.DEBUG)

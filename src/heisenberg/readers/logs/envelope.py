"""What carries a log's lines: Docker, compose, the kubelet, a CI job. Peel it off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from heisenberg.readers.logs.json_lines import decode_object
from heisenberg.readers.logs.times import from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


class Peeled(NamedTuple):
    """A line without its envelope."""

    stream: str
    """Which of the interleaved writers it is from; empty when there is one."""
    when: datetime | None
    body: str
    names_service: bool = False
    """Whether the stream is a service's name."""


_COMPOSE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]{0,80}?)\s*\| ?(?P<body>.*)", re.DOTALL)
_POD = re.compile(r"\[?pod/(?P<pod>[\w.-]+)/(?P<name>[\w.-]+)\]? (?P<body>.*)", re.DOTALL)
_RFC3339 = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))"
_STAMPED = re.compile(rf"(?:[^\t\n]+\t[^\t\n]+\t)?{_RFC3339}(?: (?P<body>.*))?$", re.DOTALL)
_CRI = re.compile(
    rf"{_RFC3339} (?P<stream>stdout|stderr) (?P<tag>[FP])(?: (?P<body>.*))?$", re.DOTALL
)
_GITLAB_STREAM = re.compile(r"\d\d[OE][ +]")
_GITLAB_SECTION = re.compile(r"section_(?:start|end):\d+:[^\r\n]*\r?")
_GROUP_MARK = re.compile(r"##\[(?:group|endgroup)\]")


def peel_compose(line: str) -> Peeled | None:
    """`docker compose logs`: `api-1  | line`."""
    found = _COMPOSE.match(line)
    return found and Peeled(found["name"], None, found["body"], names_service=True)


def peel_pod(line: str) -> Peeled | None:
    """`kubectl logs --prefix`: `[pod/api-7d9f/web] line`."""
    found = _POD.match(line)
    return found and Peeled(found["name"], None, found["body"], names_service=True)


def peel_cri(line: str) -> Peeled | None:
    """The kubelet's files: `2026-01-01T12:00:00.123456789Z stderr F line`."""
    found = _CRI.match(line)
    return found and Peeled(found["stream"], from_text(found["time"]), found["body"] or "")


def peel_stamped(line: str) -> Peeled | None:
    """`docker logs --timestamps`, `kubectl logs --timestamps`, a GitHub or GitLab job's log."""
    found = _STAMPED.match(line)
    if found is None:
        return None
    body = found["body"] or ""
    if body[:1].isdigit() and _GITLAB_STREAM.match(body):
        body = body[4:]
    return Peeled("", from_text(found["time"]), _GROUP_MARK.sub("", strip_sections(body)))


def strip_sections(line: str) -> str:
    """Remove the marks by which a GitLab job's log folds."""
    return _GITLAB_SECTION.sub("", line) if "section_" in line else line


def peel_docker_json(line: str) -> Peeled | None:
    """Docker's json-file driver and Loki's export: an object that holds a line and its time."""
    if line[:1] != "{":
        return None
    data = decode_object(line)
    if data is None or len(data) > 6:  # noqa: PLR2004 -- log, stream, time, attrs, labels
        return None
    body = data.get("log", data.get("line"))
    when = data.get("time", data.get("timestamp", data.get("ts")))
    if not isinstance(body, str) or not isinstance(when, str):
        return None
    if not data.keys() <= {"log", "line", "time", "timestamp", "ts", "stream", "attrs", "labels"}:
        return None
    stream = data.get("stream")
    return Peeled(stream if isinstance(stream, str) else "", from_text(when), body.rstrip("\r\n"))


PEELERS: dict[str, Callable[[str], Peeled | None]] = {
    "docker-json": peel_docker_json,
    "compose": peel_compose,
    "pod": peel_pod,
    "cri": peel_cri,
    "stamped": peel_stamped,
}
"""In the order in which they are tried; the first two kinds may carry the last."""

MIN_SHARE = 0.9
"""Of the sample's lines, that must be in an envelope."""


def find_envelope(lines: Sequence[str]) -> tuple[str, ...]:
    """Name the envelopes, outermost first, that a sample of lines comes in; often none."""
    names: list[str] = []
    for _ in range(2):
        name = _outermost(lines)
        if name is None:
            break
        names.append(name)
        peeled = (PEELERS[name](line) for line in lines)
        lines = [p.body for p in peeled if p is not None]
        if name in {"stamped", "cri"}:
            break
    return tuple(names)


def _outermost(lines: Sequence[str]) -> str | None:
    filled = [line for line in lines if line.strip()]
    if not filled:
        return None
    for name, peel in PEELERS.items():
        peeled = [p for line in filled if (p := peel(line)) is not None]
        if len(peeled) < MIN_SHARE * len(filled):
            continue
        if name == "compose" and not _is_compose(peeled):
            continue
        if name == "stamped" and not _is_carried(filled, peeled):
            continue
        return name
    return None


def _is_compose(peeled: Sequence[Peeled]) -> bool:
    """Few names before the bar; a log with columns has a word that is a level or a number there."""
    names = {p.stream for p in peeled}
    return len(names) <= max(3, len(peeled) // 3) and not any(
        n.isdecimal() or n.lower() in _LEVEL_WORDS for n in names
    )


_LEVEL_WORDS = {"trace", "debug", "info", "warn", "warning", "error", "fatal", "critical"}
_INNER_MARK = re.compile(
    r"\s+(?!TRACE|DEBUG|INFO|WARN|ERROR|FATAL|CRITICAL)\S|\{\"|##\[|\[command\]|Traceback "
    r"|\d{4}[-/]\d\d[-/]\d\d[T ]|\[\d{4}-|time=|\S+ \S+ \S+ \[\d"
)
"""Loggers do not begin a message so after their own time; loggers pad levels to one width."""


def _is_carried(lines: Sequence[str], peeled: Sequence[Peeled]) -> bool:
    """Whether the time was put before each line by a carrier, not by the logger itself.

    A carrier stamps continuation lines, too, and writes up to nanoseconds.
    """
    fine = sum(1 for line in lines if _FINE.search(line[:200]))
    marked = sum(1 for p in peeled if _INNER_MARK.match(p.body))
    return fine > len(lines) // 2 or marked > 0


_FINE = re.compile(r"T\d\d:\d\d:\d\d\.\d{7,9}(?:Z|[+-]\d\d:\d\d)")

"""Read stack frames out of text, in the languages that tests and services are written in."""

from __future__ import annotations

import re

from heisenberg.model.facts import Frame

MAX_FRAMES = 60
"""More frames than this are recursion."""

_PYTHON = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?')
_PYTEST = re.compile(r"^(?P<file>[\w./\\-]+\.py):(?P<line>\d+): (?P<function>\w*)", re.MULTILINE)
_NODE = re.compile(
    r"^[ \t]*+at (?:async )?(?:(?P<function>[^\s(][^(\n]*?) \()?(?:file://)?(?P<file>(?:[A-Za-z]:)?[^\s():]+):(?P<line>\d+):\d+\)?",
    re.MULTILINE,
)
_PLAYWRIGHT = re.compile(
    r"^[ \t]*+at (?P<file>[^\s():]+\.[cm]?[jt]sx?):(?P<line>\d+)$", re.MULTILINE
)
_JAVA = re.compile(
    r"^[ \t]*+at (?P<function>[\w$.<>/]+)\((?P<file>[\w$]+\.(?:java|kt|scala|groovy)):(?P<line>\d+)\)",
    re.MULTILINE,
)
_DOTNET = re.compile(
    r"^[ \t]*+at (?P<function>[^\n]{1,500}?) in (?P<file>[^\n]+):line (?P<line>\d+)", re.MULTILINE
)
_GO = re.compile(r"^[ \t]++(?P<file>/[^\s:]+\.go):(?P<line>\d+)", re.MULTILINE)
_RUBY = re.compile(
    r"^[ \t]*+(?:# |from )?(?P<file>[^\s:]+\.rb):(?P<line>\d+):in [`'](?P<function>[^']+)'",
    re.MULTILINE,
)
_PHP = re.compile(r"^#\d+ (?P<file>[^\s(]+\.php)\((?P<line>\d+)\): (?P<function>\S+)", re.MULTILINE)

_LIBRARY = re.compile(
    r"site-packages|dist-packages|node_modules|/lib/python\d|\\lib\\|<frozen |<string>|node:internal|internal/|"
    r"^java\.|^javax\.|^jdk\.|^sun\.|^org\.(?:springframework|apache|junit|hibernate|eclipse)|/gems/|/vendor/|"
    r"/usr/(?:local/)?(?:lib|go)/|go/pkg/mod|/runtime/|\.pyx$|^System\.|^Microsoft\."
)


def read_frames(text: str) -> tuple[Frame, ...]:
    """Find the frames of the last stack trace in a text, innermost first.

    Args:
        text: A failure or a log record.

    Returns:
        At most `MAX_FRAMES` frames; empty when there is no stack.
    """
    python = [_frame(match) for match in _PYTHON.finditer(text)]
    if python:
        return tuple(reversed(python[-MAX_FRAMES:]))
    for pattern in (_JAVA, _DOTNET, _NODE, _PLAYWRIGHT, _RUBY, _PHP, _GO):
        found = [_frame(match) for match in pattern.finditer(text)]
        if found:
            return tuple(found[:MAX_FRAMES])
    pytest = [_frame(match) for match in _PYTEST.finditer(text)]
    return tuple(reversed(pytest[-MAX_FRAMES:]))


def _frame(match: re.Match[str]) -> Frame:
    groups = match.groupdict()
    return Frame(groups["file"], int(groups["line"]), (groups.get("function") or "").strip())


def is_library(frame: Frame) -> bool:
    """Whether the frame lies in a dependency or the runtime rather than in the project's code."""
    return bool(_LIBRARY.search(frame.file) or _LIBRARY.search(frame.function))


def own_frame(frames: tuple[Frame, ...]) -> Frame | None:
    """The innermost frame in the project's own code, else the innermost at all."""
    own = next((frame for frame in frames if not is_library(frame)), None)
    return own or (frames[0] if frames else None)


_RAISED = re.compile(
    r"^(?:Caused by: |E\s+)?(?P<type>(?:[A-Za-z_$][\w$]*\.)*[A-Z_a-z$][\w$]*"
    r"(?:Error|Exception|Timeout|Violation|Failure|Refused|Interrupt|Exit|Warning|Fault|Iteration|Found|Exists))"
    r"(?::[ \t]*(?P<message>[^\n]*))?$",
    re.MULTILINE,
)
_PANIC = re.compile(r"^(?P<type>panic|fatal error): (?P<message>[^\n]+)", re.MULTILINE)
_ANY_RAISED = re.compile(
    r"^(?P<type>(?:[a-z_][\w]*\.)+[A-Z]\w*|[A-Z][a-z]\w*)(?::[ \t]+(?P<message>[^\n]+))?$",
    re.MULTILINE,
)


def raised(text: str) -> tuple[str, str, str] | None:
    """Find the error that ended a stack trace.

    Args:
        text: A traceback or stack trace; of several chained ones, the deepest cause counts.

    Returns:
        (class, message, the line as it stands), or None. In Java the last `Caused by` is the
        root; Python prints the root first only for chained errors, whose last is what escaped.
    """
    matches = list(_RAISED.finditer(text)) or list(_PANIC.finditer(text))
    if not matches and "Traceback (most recent call last)" in text:
        matches = list(_ANY_RAISED.finditer(text))
    if not matches:
        return None
    match = (
        matches[-1]
        if "Caused by: " in text or "Traceback (most recent call last)" in text
        else matches[0]
    )
    line = match.group().strip()
    for prefix in ("Caused by: ", "E "):
        line = line.removeprefix(prefix).strip()
    return match["type"], (match["message"] or "").strip(), line

"""Recognise stack traces in plain text: which lines belong together, and where a trace begins."""

from __future__ import annotations

import re

_ALWAYS = re.compile(
    r"""\s*(?:
        at\s+\S.*(?:\(|\bin\b|:\d+) | \.\.\.\s+\d+\s+(?:more|common)
      | Caused\ by: | Suppressed:\  | ---(?:>|\ End\ of) | from\s\S+:\d+:in
      | Traceback\ \(most\ recent\ call\ last\): | (?:\+\ )?Exception\ Group\ Traceback
      | During\ handling\ of\ the\ above | The\ above\ exception\ was
      | (?:PHP\ )?Stack\ trace: | \#\d+\s | thrown\ in\s
      | Node\.js\ v\d | (?:DETAIL|HINT|CONTEXT|STATEMENT|LINE\ \d+):
      | \[(?:SQL|parameters):\  | \(Background\ on\ this\ error
      | [}\])]+[,;]?$
    )""",
    re.VERBOSE,
)
_GO_START = re.compile(r"(?:panic|fatal error|runtime error): |goroutine \d+ \[")
_GO = re.compile(
    r"\s|goroutine \d+ \[|[\w./*()\[\]{}·-]{1,300}\(.*\)$|created by |exit status \d|\[signal |\[recovered"
)
_GROUP = re.compile(r"\s+(?:\|\s|\+-)")
"""Python draws the branches of an ExceptionGroup with bars."""
_ERROR_HEAD = re.compile(r"(?:Uncaught )?[\w.$]*(?:Error|Exception)\b")
_PYTHON_START = "Traceback (most recent call last):"

_HEAD = re.compile(r"(?m)^(?:panic: |fatal error: |goroutine \d+ \[)")
_FRAME = re.compile(
    r"(?m)^(?:[ \t]+at \S.*(?:\(|\bin\b|:\d+)|[ \t]+at \S+\.\S+$|Caused by: "
    r"|[ \t]*from \S+:\d+:in|#0\s+\S+|(?:PHP )?Stack trace:)"
)

UNCAUGHT = re.compile(
    r"(?:Traceback \(most recent call last\):|(?:panic|fatal error): |Exception in thread "
    r"|Unhandled [Ee]xception|(?:PHP )?Fatal error: |Uncaught |thread '.+' panicked at)"
)
"""A trace that begins by itself, not below the record that logged it."""


class Block:
    """Lines without times that make one record: says of each next line whether it belongs."""

    def __init__(self, first: str) -> None:
        self._indent = _indent(first)
        self._go = bool(_GO_START.search(first))
        self._awaits_exception = _PYTHON_START in first
        self._in_trace = self._go or self._awaits_exception or bool(_ERROR_HEAD.match(first))
        self._saw_caret = self._blank = False

    def takes(self, line: str) -> bool:
        """Whether the line continues the record; call it for each line in order."""
        if not line.strip():
            self._blank = True
            return True
        belongs = self._belongs(line)
        if belongs:
            self._blank = False
            if _PYTHON_START in line:
                self._awaits_exception = self._in_trace = True
            if _GO_START.match(line):
                self._go = True
        return belongs

    def _belongs(self, line: str) -> bool:
        # A console's heading stands flush left with a blank line below it; what follows is not
        # its continuation, however far it is indented.
        is_heading = self._blank and not self._indent and not self._in_trace
        if _indent(line) > self._indent and not is_heading:
            if not line.strip(" ^~"):
                self._saw_caret = True
            return True
        if self._awaits_exception:
            self._awaits_exception = False
            return True
        if self._in_trace and _GROUP.match(line):
            return True
        if self._go and _GO.match(line):
            return True
        if self._saw_caret and self._blank and _ERROR_HEAD.match(line):
            return True
        return bool(_ALWAYS.match(line)) and not (self._blank and line[:1] in "}])")


def find_trace(text: str, message: str) -> str:
    """Cut the stack trace out of a record's text; empty when it has none.

    Args:
        text: The record's lines.
        message: Its first line without time and level, which may be the exception's head.
    """
    begin, is_frame = _find_start(text)
    if begin < 0:
        return ""
    if is_frame:
        # The exception's own line stands flush left above its frames.
        while begin and text[begin] in " \t#CSP":
            begin = text.rfind("\n", 0, begin - 1) + 1
            if text[begin] not in " \t":
                break
    if begin:
        return text[begin:].rstrip()
    first, _, rest = text.partition("\n")
    head = message if is_frame else first[max(first.find(_PYTHON_START), 0) :]
    return f"{head}\n{rest.rstrip()}" if rest.strip() else ""


def _find_start(text: str) -> tuple[int, bool]:
    """Where the first line of a trace starts, -1 for none, and whether it is one of frames."""
    python = text.find(_PYTHON_START)
    found = [(text.rfind("\n", 0, python) + 1, False)] if python >= 0 else []
    for pattern, is_frame in ((_HEAD, False), (_FRAME, True)):
        if match := pattern.search(text):
            found.append((match.start(), is_frame))
    return min(found, default=(-1, False))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

"""Lines of an artefact as they may be sent, and what of them may be quoted.

A text is redacted as a whole before any of its lines is chosen: a private key stands on several,
and what ends it may not be among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from heisenberg import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.redact import Redactor

MAX_AHEAD = 1000
"""Lines that are looked through for the one from which a secret was taken."""

_PLACEHOLDER = re.compile(r"<[a-z_]+:\d+>")
_CUT_PLACEHOLDER = re.compile(r"<[a-z_]*(?::\d*)?\Z")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line of an artefact."""

    text: str
    """Without secrets."""
    raw: str
    """As the artefact has it, colours undone; empty when that cannot be told: a secret that stood
    on several lines left it behind."""

    @property
    def is_whole(self) -> bool:
        """Whether no secret stood on it."""
        return not _PLACEHOLDER.search(self.text)


def excerpts(whole: str, redactor: Redactor) -> list[Excerpt]:
    """The lines of a text, each without secrets and as it was."""
    plain = text.strip_escapes(whole)
    redacted = redactor(plain)
    if redacted == plain:
        return [Excerpt(line, line) for line in plain.splitlines()]
    raw = plain.splitlines()
    found = []
    at = 0
    for line in redacted.splitlines():
        here = _origin(line, raw, at)
        found.append(Excerpt(line, "" if here is None else raw[here]))
        at = at if here is None else here + 1
    return found


def _origin(line: str, raw: Sequence[str], at: int) -> int | None:
    """Index of the line, from one on, that is this one once its secrets are taken out."""
    parts = _PLACEHOLDER.split(line)
    for index in range(at, min(len(raw), at + MAX_AHEAD)):
        if raw[index] == line or (len(parts) > 1 and _has_parts(raw[index], parts)):
            return index
    return None


def _has_parts(line: str, parts: Sequence[str]) -> bool:
    """Whether a line begins with the first part, ends with the last, and has the others between."""
    if not line.startswith(parts[0]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        found = line.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return line.endswith(parts[-1]) and len(line) - len(parts[-1]) >= at


def cut(line: str, limit: int) -> str:
    """The beginning of a line, as much of it as takes `limit` characters where it is shown."""
    line = line.strip()
    if len(text.visible(line)) <= limit:
        return line
    left = limit
    for index, char in enumerate(line):
        left -= len(text.visible(char))
        if left < 0:
            return _CUT_PLACEHOLDER.sub("", line[:index]).rstrip()
    return line


def shown(line: str, limit: int) -> str:
    """A line as it is sent: one line, with nothing hidden in it, cut where it is too long."""
    line = text.strip_escapes(line).strip()
    kept = cut(line, limit)
    return text.visible(kept) + (text.ELLIPSIS if kept != line else "")


def stretches(line: str, limit: int) -> list[str]:
    """What of a line without secrets stands in its artefact as it is shown."""
    found = []
    for part in _PLACEHOLDER.split(cut(line, limit)):
        if part.isascii() and part.isprintable():
            found.append(part.strip())
        else:
            same = groupby(part, key=lambda char: text.visible(char) == char)
            found += ["".join(chars).strip() for is_same, chars in same if is_same]
    return found

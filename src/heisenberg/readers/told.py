"""What producers tell of a failed test in plain fields: where it stands, and what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heisenberg.model.failure import Failure
from heisenberg.model.run import TITLE_SEPARATOR
from heisenberg.text import fold_whitespace, strip_escapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.model.run import Place

UNNAMED = "(unnamed test)"


def split_suite(suite: str) -> list[str]:
    """The parts of a suite's path, which tools join with ` > ` or ` › `."""
    parts = suite.replace(TITLE_SEPARATOR, " > ").split(" > ")
    return [part.strip() for part in parts if part.strip()]


def title_path(suites: Sequence[str], name: str, file: str) -> tuple[str, ...]:
    """The suites, without the file when the first of them names it, and the test's own name."""
    parts = [part for part in suites if part]
    if parts and file and (file == parts[0] or file.endswith(f"/{parts[0]}")):
        parts = parts[1:]
    name = name or UNNAMED
    joined = " ".join(parts)
    if joined and name.startswith(f"{joined} "):
        name = name[len(joined) + 1 :]
    return (*parts, name)


def told_failure(
    message: str | None, trace: str | None, place: Place, *, snippet: str | None = None
) -> Failure:
    """An error given as message and trace; the trace only as far as the message lacks it."""
    message = strip_escapes(message or "").strip("\n")
    trace = strip_escapes(trace or "").strip("\n")
    if message.strip() and fold_whitespace(message) in fold_whitespace(trace):
        message, trace = trace, ""
    if not message.strip():
        message, trace = trace, ""
    if fold_whitespace(trace) in fold_whitespace(message):
        trace = ""
    return Failure(
        message if message.strip() else "Failed; the report holds no error text.",
        place,
        stack=trace,
        snippet=strip_escapes(snippet or ""),
    )

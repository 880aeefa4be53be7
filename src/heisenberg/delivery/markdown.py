"""A report as a comment on a pull request, in GitHub's Markdown.

Whatever comes from an artefact is text and nothing else: it makes no markup, no link, no image,
notifies nobody and refers to no issue.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg import text
from heisenberg.delivery import wording
from heisenberg.model.diagnosis import State
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.report import Incident, Report
    from heisenberg.model.run import Test

LIMIT_BYTES = 65_536
"""GitHub refuses a longer comment; it counts characters, so bytes are on the safe side."""
TESTS_SHOWN = 10
EVIDENCE_SHOWN = 8
PROBLEMS_SHOWN = 10
QUOTE_LINES = 15
LINE_WIDTH = 300
NAME_WIDTH = 200
PROSE_WIDTH = 1000
_RESERVE_BYTES = 200
"""Room for the note that says what was left out."""

_MARKUP = re.compile(
    r"""
    [\\`*_\[\]<>&|~$\#@] | ^[-+=]           # emphasis, code, links, HTML, tables, lists
  | (?<=[A-Za-z]):(?=//) | (?i:(?<=www)\.)   # an address
  | (?i:(?<=gh)-(?=\d))                      # an issue
    """,
    re.VERBOSE,
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])")
_BACKTICKS = re.compile(r"`+")
_NEUTRAL = {char: f"&#{ord(char)};&#8203;" for char in "@#:.-"}
"""A zero-width space keeps what follows from being a mention, a reference or a link."""


def render(report: Report) -> str:
    """Write the comment; incidents that do not fit are left out whole, and a note says so."""
    head = f"### {_sign(report)} Heisenberg: {wording.headline(report)}\n"
    tail = "".join(f"{line}\n" for line in _problems(report))
    left = LIMIT_BYTES - _RESERVE_BYTES - _size(head) - _size(tail)
    parts: list[str] = []
    projects = wording.projects(report)
    for number, incident in enumerate(report.incidents, 1):
        part = "\n" + "\n".join(_incident(number, incident, projects)).rstrip() + "\n"
        left -= _size(part)
        if left < 0:
            break
        parts.append(part)
    note = ""
    if len(parts) < len(report.incidents):
        missing = wording.plural(len(report.incidents) - len(parts), "more cause")
        note = (
            f"\n_{missing} left out: a comment can be no longer. The JSON report has them all._\n"
        )
    return head + "".join(parts) + note + tail


def escape(raw: str, width: int = PROSE_WIDTH) -> str:
    """One line of text that Markdown and GitHub take for text, cut to `width` columns."""
    line = text.truncate(text.one_line(raw), width)
    safe = _MARKUP.sub(lambda match: _NEUTRAL.get(match[0]) or f"&#{ord(match[0])};", line)
    return _NUMBERED.sub(lambda match: f"{match[1]}&#{ord(match[2])};", safe)


def code(raw: str, width: int = NAME_WIDTH) -> str:
    """One line as a code span, between more backticks than it holds."""
    line = text.truncate_middle(text.one_line(raw), width)
    fence = _fence(line, 1)
    # A span drops one blank at either end, and cannot start with a backtick.
    return f"{fence} {line} {fence}" if "`" in line or not line.strip() else f"{fence}{line}{fence}"


def _fence(content: str, least: int) -> str:
    """Backticks, more than stand together anywhere in the content."""
    return "`" * max([least, *(len(run) + 1 for run in _BACKTICKS.findall(content))])


def _size(part: str) -> int:
    return len(part.encode())


def _sign(report: Report) -> str:
    return "❌" if report.incidents or report.counts.failed or report.counts.flaky else "✅"


def _incident(number: int, incident: Incident, projects: frozenset[str]) -> Iterator[str]:
    """One incident: verdict, cause, fix, tests, and the proof folded away."""
    said = incident.diagnosis
    verdict = f"{wording.owner(said.owner)}: {wording.mechanism(said.mechanism)}"
    component = wording.component(said)
    where = f" in {code(component)}" if component else ""
    yield f"#### {number}. {verdict}{where}"
    yield ""
    yield f"**{escape(said.root_cause) or 'The cause could not be told.'}**"
    state = "" if said.state is State.UNKNOWN else f"{wording.words(said.state)}, "
    asked = wording.model(said)
    by = f", by {escape(asked)}" if asked else ""
    yield f"<sub>{state}{wording.confidence(said.confidence)}{by}</sub>"
    yield ""
    if said.suggested_fix:
        yield f"**Fix:** {escape(said.suggested_fix)}"
        yield ""
    yield from _tests(incident.tests, projects)
    if said.evidence:
        yield from _proof(said)
    if said.alternatives:
        others = (
            f"{wording.owner(a.owner)}, {wording.mechanism(a.mechanism)} "
            f"({wording.probability(a.confidence):.0%})"
            for a in said.alternatives
        )
        yield f"**Or:** {'; '.join(others)}"
        yield ""
    if said.missing:
        yield "**What would settle it:** " + "; ".join(escape(m) for m in said.missing)
        yield ""


def _tests(tests: tuple[Test, ...], projects: frozenset[str]) -> Iterator[str]:
    """The first tests as a list, and how many more."""
    if not tests:
        yield "Errors outside any test."
        yield ""
        return
    for test in tests[:TESTS_SHOWN]:
        place = wording.location(test)
        where = place.file if place else test.id.file
        where = f"{where}:{place.line}" if place and place.line else where
        notes = [code(where)] if where else []
        notes += [escape(test.id.project, NAME_WIDTH)] if test.id.project in projects else []
        notes += ["flaky"] if test.outcome is Outcome.FLAKY else []
        notes += [note for note in (wording.attempts(test),) if note]
        title = escape(test.id.title, NAME_WIDTH)
        yield f"- {title}" + (f" ({', '.join(notes)})" if notes else "")
    if len(tests) > TESTS_SHOWN:
        yield f"- and {len(tests) - TESTS_SHOWN} more"
    yield ""


def _proof(diagnosis: Diagnosis) -> Iterator[str]:
    """The evidence, folded away."""
    shown = diagnosis.evidence[:EVIDENCE_SHOWN]
    yield f"<details><summary>Proof: {wording.plural(len(diagnosis.evidence), 'quote')}</summary>"
    yield ""
    for quotes in wording.by_place(shown):
        yield from _place(quotes)
    if len(diagnosis.evidence) > len(shown):
        yield f"and {len(diagnosis.evidence) - len(shown)} more"
        yield ""
    yield "</details>"
    yield ""


def _place(quotes: list[Evidence]) -> Iterator[str]:
    """Where they stand, when, and the words in a fence that they cannot break."""
    first = quotes[0]
    when = f" at {wording.clock(first.timestamp)}" if first.timestamp else ""
    yield f"{code(f'{first.source}:{first.line}')}{when}"
    shown = [line for evidence in quotes for line in _quote(evidence.quote)]
    fence = _fence("\n".join(shown), 3)
    yield f"{fence}text"
    yield from shown
    yield fence
    yield ""


def _quote(quote: str) -> Iterator[str]:
    """The first lines of a quote, each cut to a sane width."""
    lines = text.dedent(text.visible_block(quote)).split("\n")
    yield from (text.truncate(line, LINE_WIDTH) for line in lines[:QUOTE_LINES])
    if len(lines) > QUOTE_LINES:
        yield text.ELLIPSIS


def _problems(report: Report) -> Iterator[str]:
    """What could not be read, and what else did not go as it was meant to."""
    if not report.problems:
        return
    yield ""
    yield f"**{wording.plural(len(report.problems), 'problem')}**"
    yield ""
    for problem in report.problems[:PROBLEMS_SHOWN]:
        yield f"- {code(problem.source)}: {escape(problem.reason)}"
    if len(report.problems) > PROBLEMS_SHOWN:
        yield f"- and {len(report.problems) - PROBLEMS_SHOWN} more"

"""A report for the person with the red build: what broke, whose it is, the lines that prove it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from heisenberg import text
from heisenberg.delivery import wording
from heisenberg.model.diagnosis import Owner, State
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.report import Incident, Report
    from heisenberg.model.run import Test

INCIDENTS_IN_FULL = 10
"""More than this many are listed with one line each."""
INCIDENTS_LISTED = 50
TESTS_SHOWN = 5
EVIDENCE_SHOWN = 6
QUOTE_LINES = 6
PROBLEMS_SHOWN = 20
LABEL_WIDTH = 5
PROSE_WIDTH = 100
"""Sentences wider than this are hard to read; quotes may be wider."""

_COLORS = {
    Owner.PRODUCT: "red",
    Owner.TEST: "yellow",
    Owner.ENVIRONMENT: "magenta",
    Owner.EXTERNAL: "cyan",
    Owner.INSUFFICIENT_EVIDENCE: "white",
}
_FAILED = ("✘", "red")
_FLAKY = ("~", "yellow")
_GREEN = ("✔", "green")


def render(report: Report, *, width: int, color: bool, ascii_only: bool = False) -> str:
    """Write the report as text.

    Args:
        report: What to show.
        width: Columns, 40 or more; no line is wider.
        color: Whether to use terminal colours.
        ascii_only: Whether the stream can show nothing but ASCII.
    """
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    page = _Page(width, wording.projects(report), ascii_only=ascii_only)
    for part in page.report(report):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def _hanging(mark: Text, content: RenderableType) -> RenderableType:
    """Content beside a mark, its further lines below its first."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    grid.add_row(mark, content)
    return grid


class _Page:
    """Turns a report into what rich can lay out; nothing untrusted is ever read as markup."""

    def __init__(self, width: int, projects: frozenset[str], *, ascii_only: bool) -> None:
        self._width = width
        self._projects = projects
        self._ascii_only = ascii_only

    def report(self, report: Report) -> Iterator[RenderableType]:
        """All parts from top to bottom."""
        red = bool(report.incidents or report.counts.failed or report.counts.flaky)
        line = wording.headline(report)
        yield _hanging(self._mark(_FAILED if red else _GREEN), Text(line, "bold"))
        for number, incident in enumerate(report.incidents[:INCIDENTS_IN_FULL], 1):
            yield Text()
            yield self._incident(number, incident)
        yield from self._more_incidents(report)
        if report.problems:
            yield Text()
            yield from self._problems(report)

    def _more_incidents(self, report: Report) -> Iterator[RenderableType]:
        """One line each for the incidents beyond those shown in full."""
        rest = report.incidents[INCIDENTS_IN_FULL:INCIDENTS_LISTED]
        if rest:
            yield Text()
        for number, incident in enumerate(rest, INCIDENTS_IN_FULL + 1):
            cause = text.one_line(incident.diagnosis.root_cause)
            line = Text.assemble(f"{number:>2}  ", self._verdict(incident), f"  {self._say(cause)}")
            line.truncate(self._width - 1)
            yield line
        if len(report.incidents) > INCIDENTS_LISTED:
            left = len(report.incidents) - INCIDENTS_LISTED
            yield self._text(f"and {left} more; --format json has them all", "dim")

    def _incident(self, number: int, incident: Incident) -> RenderableType:
        """One incident: the verdict, its cause, what it took, the proof, what to do."""
        diagnosis = incident.diagnosis
        head = self._verdict(incident)
        if diagnosis.state is not State.UNKNOWN:
            head.append(f"  [{wording.words(diagnosis.state)}]")
        head.append(f"  {wording.confidence(diagnosis.confidence)}", "dim")
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(style="dim", no_wrap=True, width=LABEL_WIDTH)
        rows.add_column(overflow="fold", ratio=1)
        rows.add_row("tests", self._tests(incident.tests))
        for label, part in self._reasons(diagnosis):
            rows.add_row(label, part)
        cause = self._prose(text.one_line(diagnosis.root_cause) or "The cause could not be told.")
        return _hanging(Text(f"{number}", "bold"), Group(head, cause, rows))

    def _verdict(self, incident: Incident) -> Text:
        """Owner, mechanism and component in a few words."""
        diagnosis = incident.diagnosis
        owner = wording.owner(diagnosis.owner).upper()
        verdict = Text().append(owner, f"bold {_COLORS[diagnosis.owner]}")
        verdict.append(f"  {wording.mechanism(diagnosis.mechanism)}", "bold")
        component = text.truncate_middle(text.one_line(wording.component(diagnosis)), 40)
        if component:
            verdict.append(f" in {self._say(component)}", "bold")
        return verdict

    def _tests(self, tests: tuple[Test, ...]) -> RenderableType:
        """The first tests, and how many more."""
        if not tests:
            return Text("errors outside any test")
        lines = [self._test(test) for test in tests[:TESTS_SHOWN]]
        if len(tests) > TESTS_SHOWN:
            lines.append(Text(f"and {len(tests) - TESTS_SHOWN} more", "dim"))
        return Text("\n").join(lines)

    def _test(self, test: Test) -> Text:
        """Mark, title, and in small where it is and how it got there."""
        title = text.truncate(text.one_line(test.id.title), 2 * self._width)
        place = wording.location(test)
        where = text.one_line(place.file if place else test.id.file)
        if place and place.line:
            where = f"{where}:{place.line}"
        project = f"[{text.one_line(test.id.project)}]" if test.id.project in self._projects else ""
        notes = [text.truncate_middle(n, self._width) for n in (project, where) if n]
        notes += [note for note in (wording.attempts(test),) if note]
        line = self._mark(_FLAKY if test.outcome is Outcome.FLAKY else _FAILED)
        line.append(self._say(f" {title}"))
        if notes:
            line.append(self._say("  " + " · ".join(notes)), "dim")
        return line

    def _reasons(self, diagnosis: Diagnosis) -> Iterator[tuple[str, RenderableType]]:
        """Proof, what to do, what else it may be, and what is missing."""
        places = wording.by_place(diagnosis.evidence[:EVIDENCE_SHOWN])
        for index, evidence in enumerate(places):
            yield "" if index else "proof", self._evidence(evidence)
        if len(diagnosis.evidence) > EVIDENCE_SHOWN:
            left = len(diagnosis.evidence) - EVIDENCE_SHOWN
            yield "", Text(f"and {wording.plural(left, 'more line')}", "dim")
        if diagnosis.suggested_fix:
            yield "fix", self._prose(diagnosis.suggested_fix)
        for index, other in enumerate(diagnosis.alternatives):
            share = wording.probability(other.confidence)
            said = f"{wording.owner(other.owner)}, {wording.mechanism(other.mechanism)}"
            yield "" if index else "or", self._text(f"{said} ({share:.0%})")
        for index, missing in enumerate(diagnosis.missing):
            yield "" if index else "needs", self._prose(missing)
        if asked := wording.model(diagnosis):
            yield "by", self._text(text.one_line(asked), "dim")

    def _evidence(self, quotes: list[Evidence]) -> RenderableType:
        """Where they stand, when, and the words themselves."""
        first = quotes[0]
        source = text.truncate_middle(text.one_line(first.source), 2 * self._width)
        place = Text().append(self._say(f"{source}:{first.line}"), "cyan")
        if first.timestamp:
            place.append(f"  {wording.clock(first.timestamp)}", "dim")
        shown = (self._text(line) for evidence in quotes for line in self._quote(evidence.quote))
        return Group(place, Padding(Text("\n").join(shown), (0, 0, 0, 2)))

    def _quote(self, quote: str) -> Iterator[str]:
        """The first lines of a quote, and how many more."""
        lines = text.dedent(text.visible_block(quote)).split("\n")
        yield from (text.truncate(line, 3 * self._width) for line in lines[:QUOTE_LINES])
        if len(lines) > QUOTE_LINES:
            yield f"{text.ELLIPSIS} {wording.plural(len(lines) - QUOTE_LINES, 'more line')}"

    def _problems(self, report: Report) -> Iterator[RenderableType]:
        """What could not be read, and what else did not go as it was meant to."""
        yield Text(f"{wording.plural(len(report.problems), 'problem')}", "yellow")
        for problem in report.problems[:PROBLEMS_SHOWN]:
            source = text.truncate_middle(text.one_line(problem.source), self._width)
            reason = text.truncate(text.one_line(problem.reason), 4 * self._width)
            yield _hanging(Text("-", "dim"), self._text(f"{source}: {reason}"))
        if len(report.problems) > PROBLEMS_SHOWN:
            left = len(report.problems) - PROBLEMS_SHOWN
            yield _hanging(Text(), self._text(f"and {left} more", "dim"))

    def _prose(self, sentence: str) -> RenderableType:
        """A sentence, wrapped where it is still pleasant to read."""
        said = text.truncate(text.one_line(sentence), 10 * PROSE_WIDTH)
        return Constrain(self._text(said), PROSE_WIDTH)

    def _mark(self, mark: tuple[str, str]) -> Text:
        """A sign in its colour."""
        sign, style = mark
        return Text().append(self._say(sign), style)

    def _text(self, safe: str, style: str = "") -> Text:
        """Text for rich; `safe` is one line made visible."""
        return Text(self._say(safe), style, overflow="fold")

    def _say(self, safe: str) -> str:
        """The text as the stream can show it."""
        return text.to_ascii(safe) if self._ascii_only else safe

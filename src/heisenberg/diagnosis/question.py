"""Choose from all that is known of an incident what a model is shown, within a budget.

Most telling first: what the tests saw, what the rules suspect, its request, what else differs from
passing tests, the test's last steps, what passed meanwhile. Every line is redacted and found again
in its artefact before it is sent, so that whatever an answer quotes from it exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heisenberg import text
from heisenberg.diagnosis.claim import Citation
from heisenberg.diagnosis.instructions import speaks_to_reader
from heisenberg.diagnosis.prompt import VERSION, behind_bar, fixed_tokens, item_text
from heisenberg.diagnosis.tokens import estimate_tokens
from heisenberg.model.diagnosis import Owner
from heisenberg.model.logs import Level
from heisenberg.model.question import Item, ItemKind, Line, Question
from heisenberg.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from heisenberg.diagnosis.context import Context
    from heisenberg.diagnosis.verify import Verifier
    from heisenberg.model.correlation import Difference, FailedTest, Suspect
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.report import Counts
    from heisenberg.model.run import Step, Test

MAX_LINE = 400
"""Characters of a line that are sent."""
MAX_NAME = 200
"""Characters of a test's title."""
MAX_ERRORS = 3
"""Failures that are shown: those of one incident resemble each other."""
MAX_TESTS = 6
"""Tests that are named."""
MAX_CHAIN = 4
"""Records of the suspected request beside its root."""
MAX_SUSPECTS = 4
MAX_DIFFERENCES = 8
MAX_STEPS = 8
MAX_PASSED = 6
HEAD_LINES, TAIL_LINES = 4, 8
"""Lines of a long record that are sent: its beginning, and its end."""
ERROR_LINES = 18
"""Lines of a failure that are sent."""
_PLACEHOLDER = re.compile(r"<[a-z_]+:\d+>")
MIN_STRETCH = 4
"""Characters that a stretch needs to be worth quoting."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An item before its lines are found in their artefacts."""

    kind: ItemKind
    about: str
    citations: tuple[Citation, ...]
    """A line each, as the artefact has it."""


def ask_about(  # noqa: PLR0913 (what is known of an incident)
    context: Context,
    hypothesis: Diagnosis,
    verifier: Verifier,
    *,
    incident: str,
    fingerprint: str,
    counts: Counts,
    differences: Sequence[Difference] = (),
    passed: Sequence[Test] = (),
    budget_tokens: int,
) -> Question:
    """Put the question about one incident.

    Args:
        context: All that is known of it.
        hypothesis: The offline engine's diagnosis.
        verifier: Finds lines in the artefacts.
        incident: Its id.
        fingerprint: Its fingerprint.
        counts: Of the run.
        differences: What failing tests see in the logs and passing ones do not, best first.
        passed: Tests that passed meanwhile, the nearest first.
        budget_tokens: Of the whole prompt, task and schema included.
    """
    redactor = Redactor()
    head = _head(context, hypothesis, counts, redactor)
    drafts = list(_drafts(context, differences, passed))
    items, withheld = _items(drafts, verifier, redactor)
    left = budget_tokens - fixed_tokens() - estimate_tokens(head)
    chosen: list[Item] = []
    for item in items:
        if item.tokens <= left or not chosen:
            chosen.append(replace(item, id=f"E{len(chosen) + 1}"))
            left -= item.tokens
    return Question(
        incident=incident,
        fingerprint=fingerprint,
        prompt=VERSION,
        head=head,
        items=tuple(chosen),
        names=_names(context, hypothesis),
        hypothesis=hypothesis,
        redacted={kind.value: count for kind, count in redactor.counts.items()},
        withheld=withheld,
    )


def shorten(question: Question, share: float) -> Question | None:
    """The question with fewer items, for a model that cannot read so much.

    Args:
        question: With its items, the most telling first.
        share: Of the items' tokens to keep.

    Returns:
        The shorter question; None when there is nothing left to leave out.
    """
    allowed = share * sum(item.tokens for item in question.items)
    kept: list[Item] = []
    for item in question.items:
        if kept and item.tokens > allowed:
            break
        kept.append(item)
        allowed -= item.tokens
    if len(kept) == len(question.items):
        return None
    return replace(question, items=tuple(kept))


def _head(context: Context, hypothesis: Diagnosis, counts: Counts, redactor: Redactor) -> str:
    """What happened, in our words; names and the hypothesis behind bars."""

    def shown(value: str, limit: int = MAX_NAME) -> str:
        return _clean(redactor(value), limit)

    tests = [_named(t) for t in context.tests[:MAX_TESTS]] or ["(an error outside any test)"]
    more = len(context.tests) - MAX_TESTS
    others = ", ".join(
        f"{a.owner} {a.mechanism} {a.confidence:.2f}" for a in hypothesis.alternatives
    )
    confidence = f"{hypothesis.confidence:.2f}"
    run = (
        f"Of {counts.total} tests {counts.passed} passed, {counts.failed} failed, "
        f"{counts.flaky} passed on a retry, {counts.skipped} were skipped."
    )
    parts = [
        "## Incident",
        f"{run} Here {len(context.tests)} failed together:",
        *behind_bar("T", [shown(name) for name in tests]),
        *([f"and {more} more"] if more > 0 else []),
        "Every attempt that failed was followed by one that passed." if context.is_flaky else "",
        "Services whose logs were read:" if context.services else "There are no logs.",
        *behind_bar("S", [shown(name) for name in context.services[:MAX_TESTS]]),
        "## Hypothesis, to be tested",
        f"owner {hypothesis.owner}, mechanism {hypothesis.mechanism}, confidence {confidence}"
        + (f"; else {others}" if others else ""),
        *behind_bar("H", [shown(hypothesis.root_cause, MAX_LINE)]),
    ]
    return "\n".join(part for part in parts if part)


def _named(failed: FailedTest) -> str:
    test = failed.test
    file = f" ({test.id.file})" if test.id.file else ""
    tries = f" in {len(test.attempts)} attempts" if len(test.attempts) > 1 else ""
    return f"{test.id.title}{file} {test.outcome}{tries}"


def _drafts(
    context: Context, differences: Sequence[Difference], passed: Sequence[Test]
) -> Iterator[Draft]:
    """All that could be shown, the most telling first."""
    first, *others = _errors(context)
    yield first
    seen: set[tuple[str, int]] = set()
    for draft in (*_of_cause(context), *others, *_of_rest(context, differences)):
        record = draft.citations[0].record if draft.citations else None
        if record is not None:
            if (record.source, record.offset) in seen:
                continue
            seen.add((record.source, record.offset))
        yield draft
    yield from _steps(context)
    yield from _passed(context, passed)


def _of_cause(context: Context) -> Iterator[Draft]:
    """What the rules suspect most, and the rest of its request."""
    cause = context.cause
    if cause is None:
        return
    yield _of_record(ItemKind.CAUSE, cause.root, _suspicion(cause))
    for record in cause.chain[:MAX_CHAIN]:
        yield _of_record(ItemKind.REQUEST, record, "of the same request or moment")


def _of_rest(context: Context, differences: Sequence[Difference]) -> Iterator[Draft]:
    """What else is suspected, and what else differs from passing tests."""
    for suspect in [s for s in context.related if s is not context.cause][:MAX_SUSPECTS]:
        yield _of_record(ItemKind.SUSPECT, suspect.root, _suspicion(suspect))
    for difference in differences[:MAX_DIFFERENCES]:
        yield _of_record(ItemKind.DIFFERENCE, difference.record, _contrast(difference))


def _errors(context: Context) -> Iterator[Draft]:
    """The failures, each wording once."""
    told: dict[str, list[int]] = {}
    for number, facts in enumerate(context.facts):
        told.setdefault(facts.headline, []).append(number)
    for numbers in list(told.values())[:MAX_ERRORS]:
        facts = context.facts[numbers[0]]
        alike = f", {len(numbers)} tests alike" if len(numbers) > 1 else ""
        where = facts.failure.place
        about = f"error of a failing test{alike}; {where.source or 'the report'}"
        lines = _telling_lines(facts)
        yield Draft(ItemKind.ERROR, about, tuple(Citation(line, place=where) for line in lines))


def _telling_lines(facts: Facts) -> list[str]:
    """Of a failure's text: what it says, its code, and its stack in the project's own files."""
    lines = [line for line in facts.failure.text.splitlines() if _SAYS.search(line)]
    own = facts.own.file.rsplit("/", 1)[-1] if facts.own else ""
    frames = [line for line in lines if _FRAME.match(line)]
    kept = [line for line in lines if not _FRAME.match(line) or (own and own in line)]
    if not kept:
        kept = frames
    return list(dict.fromkeys(kept))[:ERROR_LINES]


_SAYS = re.compile(r"\w")
_FRAME = re.compile(r"\s+at (?!.*Error:)\S|\s+File \"|\s+\.\.\. \d+ more")


def _of_record(kind: ItemKind, record: LogRecord, why: str) -> Draft:
    level = f", {record.level.name}" if record.level is not Level.UNKNOWN else ""
    about = f"{kind}: {record.service}, {_clock(record.timestamp)}{level}; {why}"
    lines = [line for line in record.text.splitlines() if line.strip()]
    if len(lines) > HEAD_LINES + TAIL_LINES:
        lines = lines[:HEAD_LINES] + lines[-TAIL_LINES:]
    return Draft(kind, about, tuple(Citation(line, record=record) for line in lines))


def _suspicion(suspect: Suspect) -> str:
    noise = (
        "passing tests see such records too" if suspect.noise > _OFTEN else "new to failing tests"
    )
    return f"{suspect.kind}, suspected {suspect.score:.2f}, {noise}"


_OFTEN = 0.2


def _contrast(difference: Difference) -> str:
    passing = (
        "no passing test to compare with"
        if difference.passing is None
        else f"seen near {difference.passing:.0%} of passing ones"
    )
    return f"seen near {difference.failing:.0%} of failing attempts, {passing}"


def _clock(moment: datetime | None) -> str:
    return moment.strftime("%H:%M:%S.%f")[:-3] + " UTC" if moment else "no time"


def _steps(context: Context) -> Iterator[Draft]:
    """The last steps of the first failed test, flat, in order."""
    if not context.tests:
        return
    failed = context.tests[0]
    place = failed.facts.failure.place
    steps = list(_flat(failed.attempt.steps))[-MAX_STEPS:]
    if steps and place.source:
        citations = tuple(Citation(title, place=place) for title in dict.fromkeys(steps))
        yield Draft(ItemKind.STEP, "last steps of a failing test", citations)


def _flat(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        if step.steps:
            yield from _flat(step.steps)
        elif step.title.strip():
            yield text.first_line(step.title)


def _passed(context: Context, passed: Sequence[Test]) -> Iterator[Draft]:
    """Tests that passed meanwhile: what they need was there."""
    place = context.fact.failure.place
    if not passed or not place.source:
        return
    about = "tests that passed while these failed, or stand in the same file"
    # From the beginning: they stand anywhere in the report.
    anywhere = replace(place, line=None, near=None)
    titles = dict.fromkeys(test.id.titles[-1] for test in passed[:MAX_PASSED])
    yield Draft(ItemKind.PASSED, about, tuple(Citation(t, place=anywhere) for t in titles))


def _items(
    drafts: Sequence[Draft], verifier: Verifier, redactor: Redactor
) -> tuple[list[Item], int]:
    """Redact every line, find it in its artefact, and drop what is not found.

    Returns:
        The items, ids not given yet, and how many lines were withheld.
    """
    withheld = 0
    sent: list[list[tuple[str, tuple[Citation, ...]]]] = []
    for draft in drafts:
        lines = _redacted(draft, redactor)
        spoken = [line for line in lines if speaks_to_reader(line[0])]
        withheld += len(spoken)
        sent.append([line for line in lines if line not in spoken])
    # Together, as numbering the lines of a large log takes time.
    wanted = [c for lines in sent for _, citations in lines for c in citations]
    found = iter(verifier.locate(wanted))
    items = []
    for draft, lines in zip(drafts, sent, strict=True):
        kept = []
        for shown, citations in lines:
            evidence = [e for _ in citations if (e := next(found)) is not None]
            if evidence:
                first, exact = evidence[0], tuple(e.quote for e in evidence)
                kept.append(Line(shown, first.source, first.line, first.timestamp, exact))
        if kept:
            item = Item("E00", draft.kind, draft.about, tuple(kept), 0)
            items.append(replace(item, tokens=estimate_tokens(item_text(item))))
    return items, withheld


def _redacted(draft: Draft, redactor: Redactor) -> list[tuple[str, tuple[Citation, ...]]]:
    """Each line as it is sent, with citations of its stretches that hold no secret.

    All lines are redacted together: a private key stands on several.
    """
    if not draft.citations:
        return []
    model = draft.citations[0]
    whole = redactor("\n".join(c.quote for c in draft.citations))
    lines = []
    for line in whole.split("\n"):
        shown = _clean(line, MAX_LINE)
        stretches = (s.strip() for s in _PLACEHOLDER.split(shown.removesuffix(text.ELLIPSIS)))
        citations = tuple(replace(model, quote=s) for s in stretches if len(s) >= MIN_STRETCH)
        lines.append((shown, citations))
    return lines


def _clean(line: str, limit: int) -> str:
    """One line that hides nothing, cut where it is too long."""
    shown = text.visible(text.strip_escapes(line).strip())
    return shown if len(shown) <= limit else shown[:limit].rstrip() + text.ELLIPSIS


def _names(context: Context, hypothesis: Diagnosis) -> tuple[str, ...]:
    """What an answer may call the component."""
    suspects = [*([context.cause] if context.cause else []), *context.related]
    names = [
        *context.services,
        *(t.test.id.file for t in context.tests),
        *(name for s in suspects for name in (s.service, s.dependency, s.outside)),
        *context.ports.values(),
    ]
    if hypothesis.owner is not Owner.INSUFFICIENT_EVIDENCE:
        names.append(hypothesis.component)
    return tuple(dict.fromkeys(name for name in names if name))

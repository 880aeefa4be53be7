"""Choose from all that is known of an incident what a model is shown, within a budget.

Most telling first: what the tests saw, what the rules suspect, its request, what else differs from
passing tests, the test's last steps, what passed meanwhile. Every line is redacted and found again
in its artefact before it is sent, so that whatever an answer quotes from it exists.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heisenberg import text
from heisenberg.diagnosis.claim import Citation
from heisenberg.diagnosis.excerpt import cut, excerpts, shown, stretches
from heisenberg.diagnosis.instructions import speaks_to_reader
from heisenberg.diagnosis.prompt import VERSION, behind_bar, fixed_tokens, item_text
from heisenberg.diagnosis.tokens import estimate_tokens
from heisenberg.model.diagnosis import Owner
from heisenberg.model.logs import Level
from heisenberg.model.question import Item, ItemKind, Line, Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from heisenberg.diagnosis.context import Context
    from heisenberg.diagnosis.excerpt import Excerpt
    from heisenberg.diagnosis.verify import Verifier
    from heisenberg.model.correlation import Difference, FailedTest, Suspect
    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.report import Counts
    from heisenberg.model.run import Place, Step, Test
    from heisenberg.redact import Redactor

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
MIN_STRETCH = 4
"""Characters that a stretch needs to be worth quoting."""
MIN_ALONE = 8
"""Characters of one that has to be found without its line."""
MAX_SOUGHT = 4000
"""Characters of a line with secrets that have to stand in the artefact."""
MAX_SERVICES = 12
"""Services that are named."""
WITHHELD = "(withheld)"
"""In place of a name or a hypothesis that speaks to whoever reads it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An item before its lines are found in their artefact."""

    kind: ItemKind
    about: str
    """Our own words; a service is named in them by its mark."""
    lines: tuple[Excerpt, ...]
    record: LogRecord | None = None
    place: Place | None = None
    """Where they stand, when it is no record."""


class _Services:
    """Gives each service the mark by which our own words name it: `S1`."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The mark of a service; the same each time."""
        if name not in self._marks:
            if len(self._marks) == MAX_SERVICES:
                return "another service"
            self._marks[name] = f"S{len(self._marks) + 1}"
        return self._marks[name]

    @property
    def marks(self) -> Mapping[str, str]:
        """Mark by name, in the order in which they were given."""
        return self._marks


def ask_about(  # noqa: PLR0913 (what is known of an incident)
    context: Context,
    hypothesis: Diagnosis,
    verifier: Verifier,
    *,
    redactor: Redactor,
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
        hypothesis: The offline engine's diagnosis, without secrets.
        verifier: Finds lines in the artefacts.
        redactor: Of the run: it gives a secret one placeholder in the report and in all questions,
            and has learned from the texts of all of them (see `texts_of`).
        incident: Its id.
        fingerprint: Its fingerprint.
        counts: Of the run.
        differences: What failing tests see in the logs and passing ones do not, best first.
        passed: Tests that passed meanwhile, the nearest first.
        budget_tokens: Of the whole prompt, task and schema included.
    """
    before = Counter(redactor.counts)
    services = _Services()
    drafts = list(_drafts(context, differences, passed, services, redactor))
    head = _head(context, hypothesis, counts, services, redactor)
    items, withheld = _items(drafts, verifier)
    return Question(
        incident=incident,
        fingerprint=fingerprint,
        prompt=VERSION,
        head=head,
        items=_fitting(items, budget_tokens - fixed_tokens() - estimate_tokens(head)),
        names=_names(context, hypothesis, redactor),
        hypothesis=hypothesis,
        redacted={kind.value: n for kind, n in (Counter(redactor.counts) - before).items()},
        withheld=withheld,
    )


def texts_of(
    context: Context, differences: Sequence[Difference], passed: Sequence[Test]
) -> Iterator[str]:
    """Every text of which a question may show something: what a redactor has to learn before."""
    for facts in context.facts:
        yield facts.failure.text
    suspects = [*([context.cause] if context.cause else []), *context.related]
    records = [record for s in suspects for record in (s.root, *s.chain)]
    for record in (*records, *(d.record for d in differences)):
        yield record.text
    for failed in context.tests[:MAX_TESTS]:
        yield failed.test.id.title
    for test in passed[:MAX_PASSED]:
        yield test.id.titles[-1]
    for failed in context.tests[:1]:
        yield from _flat(failed.attempt.steps)


def _fitting(items: Sequence[Item], left: int) -> tuple[Item, ...]:
    """The items that fit, ids given; of the most telling one at least a line."""
    chosen: list[Item] = []
    for item in items:
        kept = item if chosen else _trimmed(item, left)
        if kept.tokens <= left or not chosen:
            chosen.append(replace(kept, id=f"E{len(chosen) + 1}"))
            left -= kept.tokens
    return tuple(chosen)


def _trimmed(item: Item, tokens: int) -> Item:
    """The item with as many of its first lines as fit, one at least."""
    while item.tokens > tokens and len(item.lines) > 1:
        item = _measured(replace(item, lines=item.lines[:-1]))
    return item


def _measured(item: Item) -> Item:
    return replace(item, tokens=estimate_tokens(item_text(item)))


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


def _head(
    context: Context,
    hypothesis: Diagnosis,
    counts: Counts,
    services: _Services,
    redactor: Redactor,
) -> str:
    """What happened, in our words; names and the hypothesis behind bars."""
    for name in context.services[:MAX_TESTS]:
        services(name)
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
        *behind_bar("T", [_told(name, redactor) for name in tests]),
        *([f"and {more} more"] if more > 0 else []),
        "Every attempt that failed was followed by one that passed." if context.is_flaky else "",
        "Services whose logs were read:" if services.marks else "There are no logs.",
        *(f"{mark}| {_told(name, redactor)}" for name, mark in services.marks.items()),
        "## Hypothesis, to be tested",
        f"owner {hypothesis.owner}, mechanism {hypothesis.mechanism}, confidence {confidence}"
        + (f"; else {others}" if others else ""),
        *behind_bar("H", [_told(hypothesis.root_cause, redactor, MAX_LINE)]),
    ]
    return "\n".join(part for part in parts if part)


def _told(words: str, redactor: Redactor, limit: int = MAX_NAME) -> str:
    """Words that are not ours, as one line without secrets; nothing of them if they speak to us."""
    plain = redactor(text.strip_escapes(words))
    said = shown(plain, limit)
    return WITHHELD if speaks_to_reader(plain) or speaks_to_reader(said) else said


def _named(failed: FailedTest) -> str:
    test = failed.test
    file = f" ({test.id.file})" if test.id.file else ""
    tries = f" in {len(test.attempts)} attempts" if len(test.attempts) > 1 else ""
    return f"{test.id.title}{file} {test.outcome}{tries}"


def _drafts(
    context: Context,
    differences: Sequence[Difference],
    passed: Sequence[Test],
    services: _Services,
    redactor: Redactor,
) -> Iterator[Draft]:
    """All that could be shown, the most telling first."""
    first, *others = _errors(context, redactor)
    yield first
    seen: set[tuple[str, int]] = set()

    def drafted(kind: ItemKind, record: LogRecord, why: str) -> Iterator[Draft]:
        if (record.source, record.offset) not in seen:
            seen.add((record.source, record.offset))
            yield _of_record(kind, record, why, services, redactor)

    cause = context.cause
    if cause is not None:
        yield from drafted(ItemKind.CAUSE, cause.root, _suspicion(cause))
        for record in cause.chain[:MAX_CHAIN]:
            yield from drafted(ItemKind.REQUEST, record, "of the same request or moment")
    yield from others
    for suspect in [s for s in context.related if s is not cause][:MAX_SUSPECTS]:
        yield from drafted(ItemKind.SUSPECT, suspect.root, _suspicion(suspect))
    for difference in differences[:MAX_DIFFERENCES]:
        yield from drafted(ItemKind.DIFFERENCE, difference.record, _contrast(difference))
    yield from _steps(context, redactor)
    yield from _passed(context, passed, redactor)


def _errors(context: Context, redactor: Redactor) -> Iterator[Draft]:
    """The failures, each wording once."""
    told: dict[str, list[int]] = {}
    for number, facts in enumerate(context.facts):
        told.setdefault(facts.headline, []).append(number)
    for numbers in list(told.values())[:MAX_ERRORS]:
        facts = context.facts[numbers[0]]
        alike = f", {len(numbers)} tests alike" if len(numbers) > 1 else ""
        lines = _telling_lines(facts, excerpts(facts.failure.text, redactor))
        about = f"error of a failing test{alike}"
        yield Draft(ItemKind.ERROR, about, tuple(lines), place=facts.failure.place)


def _telling_lines(facts: Facts, said: Sequence[Excerpt]) -> list[Excerpt]:
    """Of a failure's text: what it says, its code, and its stack in the project's own files."""
    lines = [line for line in said if _SAYS.search(line.text)]
    own = facts.own.file.rsplit("/", 1)[-1] if facts.own else ""
    frames = [line for line in lines if _FRAME.match(line.text)]
    kept = [line for line in lines if not _FRAME.match(line.text) or (own and own in line.text)]
    if not kept:
        kept = frames
    return list({line.text: line for line in reversed(kept)}.values())[::-1][:ERROR_LINES]


_SAYS = re.compile(r"\w")
_FRAME = re.compile(r"\s+at (?!.*Error:)\S|\s+File \"|\s+\.\.\. \d+ more")


def _of_record(
    kind: ItemKind, record: LogRecord, why: str, services: _Services, redactor: Redactor
) -> Draft:
    level = f", {record.level.name}" if record.level is not Level.UNKNOWN else ""
    about = f"{kind}: {services(record.service)}, {_clock(record.timestamp)}{level}; {why}"
    lines = [line for line in excerpts(record.text, redactor) if line.text.strip()]
    if len(lines) > HEAD_LINES + TAIL_LINES:
        lines = lines[:HEAD_LINES] + lines[-TAIL_LINES:]
    return Draft(kind, about, tuple(lines), record=record)


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


def _steps(context: Context, redactor: Redactor) -> Iterator[Draft]:
    """The last steps of the first failed test, flat, in order."""
    if not context.tests:
        return
    failed = context.tests[0]
    place = failed.facts.failure.place
    steps = list(_flat(failed.attempt.steps))[-MAX_STEPS:]
    if steps and place.source:
        lines = _first_lines(steps, redactor)
        yield Draft(ItemKind.STEP, "last steps of a failing test", lines, place=place)


def _flat(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        if step.steps:
            yield from _flat(step.steps)
        elif step.title.strip():
            yield step.title


def _first_lines(titles: Iterable[str], redactor: Redactor) -> tuple[Excerpt, ...]:
    """Of each title the first line that says something, each once."""
    lines: dict[str, Excerpt] = {}
    for title in titles:
        said = [line for line in excerpts(title, redactor) if line.text.strip()]
        if said:
            lines.setdefault(said[0].text, said[0])
    return tuple(lines.values())


def _passed(context: Context, passed: Sequence[Test], redactor: Redactor) -> Iterator[Draft]:
    """Tests that passed meanwhile: what they need was there."""
    place = context.fact.failure.place
    if not passed or not place.source:
        return
    about = "tests that passed while these failed, or stand in the same file"
    # From the beginning: they stand anywhere in the report.
    anywhere = replace(place, line=None, near=None)
    lines = _first_lines((test.id.titles[-1] for test in passed[:MAX_PASSED]), redactor)
    yield Draft(ItemKind.PASSED, about, lines, place=anywhere)


def _items(drafts: Sequence[Draft], verifier: Verifier) -> tuple[list[Item], int]:
    """Find every line in its artefact, and drop what is not found.

    Returns:
        The items, ids not given yet, and how many lines were withheld.
    """
    withheld = 0
    sent: list[list[tuple[Excerpt, str, list[Citation]]]] = []
    for draft in drafts:
        lines = []
        for excerpt in draft.lines:
            said = shown(excerpt.text, MAX_LINE)
            if speaks_to_reader(excerpt.text) or speaks_to_reader(said):
                withheld += 1
            else:
                lines.append((excerpt, said, _sought(draft, excerpt)))
        sent.append(lines)
    # Together, as numbering the lines of a large log takes time.
    found = iter(verifier.locate([c for lines in sent for _, _, sought in lines for c in sought]))
    items = []
    for draft, lines in zip(drafts, sent, strict=True):
        kept = []
        for excerpt, said, sought in lines:
            at = [e for _ in sought if (e := next(found)) is not None]
            if line := _line(excerpt, said, at):
                kept.append(line)
        if kept:
            items.append(_measured(Item("E00", draft.kind, draft.about, tuple(kept), 0)))
    return items, withheld


def _sought(draft: Draft, excerpt: Excerpt) -> list[Citation]:
    """What has to stand in the artefact: the line as it is there, else what is left of it."""
    if not excerpt.raw:
        quotes = [s for s in stretches(excerpt.text, MAX_LINE) if len(s) >= MIN_ALONE]
    elif excerpt.is_whole:
        quotes = [cut(excerpt.raw, MAX_LINE)]
    else:
        quotes = [excerpt.raw.strip()[:MAX_SOUGHT]]
    return [Citation(quote, record=draft.record, place=draft.place) for quote in quotes]


def _line(excerpt: Excerpt, said: str, found: Sequence[Evidence]) -> Line | None:
    """The line with what may be quoted of it: all of that stands at one place."""
    if not found:
        return None
    if excerpt.raw:
        (at,) = found
        exact = [s for s in stretches(excerpt.text, MAX_LINE) if s in at.quote]
    else:
        # Each was looked up alone, and may have been found elsewhere.
        at = max(found, key=lambda e: len(e.quote))
        exact = [e.quote for e in found if (e.source, e.line) == (at.source, at.line)]
    quotable = tuple(stretch for stretch in exact if len(stretch) >= MIN_STRETCH)
    return Line(said, at.source, at.line, at.timestamp, quotable) if quotable else None


def _names(context: Context, hypothesis: Diagnosis, redactor: Redactor) -> tuple[str, ...]:
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
    told = (_told(name, redactor) for name in dict.fromkeys(names) if name)
    return tuple(dict.fromkeys(name for name in told if name not in {"", WITHHELD}))

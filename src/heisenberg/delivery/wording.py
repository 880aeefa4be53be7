"""The words that every delivery uses for the same facts."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING

from msgspec.structs import replace

from heisenberg.model.diagnosis import Mechanism, Owner
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.report import Report
    from heisenberg.model.run import Location, Test

_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS

_ABBREVIATIONS = {Mechanism.DNS: "DNS failure", Mechanism.TLS: "TLS failure"}

_CERTAINTY = ((0.9, "very likely"), (0.75, "likely"), (0.5, "probably"), (0.0, "a guess"))
"""Words for a confidence of at least so much."""


def headline(report: Report) -> str:
    """One sentence: how many tests are red, out of how many, how long it took, how many causes."""
    counts = report.counts
    known = counts.duration_ms and math.isfinite(counts.duration_ms)
    took = f" in {duration(counts.duration_ms)}" if counts.duration_ms and known else ""
    if not report.incidents and not counts.failed and not counts.flaky:
        return _green(report, took)
    red = [
        f"{number} {word}"
        for number, word in ((counts.failed, "failed"), (counts.flaky, "flaky"))
        if number
    ]
    what = ", ".join(red) or "errors outside any test,"
    return f"{what} of {plural(counts.total, 'test')}{took}: {_causes(report)}"


def _green(report: Report, took: str) -> str:
    """The headline of a run without a failure."""
    counts = report.counts
    if not counts.total:
        return "no tests ran"
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    return f"{plural(counts.passed, 'test')} passed{skipped}{took}"


def _causes(report: Report) -> str:
    """How many incidents, and whose when there are several."""
    number = len(report.incidents)
    if number <= 1:
        return "one cause" if number else "no cause found"
    owners = Counter(incident.diagnosis.owner for incident in report.incidents)
    if len(owners) == 1:
        return f"{number} causes (all {owner(report.incidents[0].diagnosis.owner)})"
    return f"{number} causes (" + ", ".join(f"{n} {owner(o)}" for o, n in owners.items()) + ")"


def plural(number: int, noun: str) -> str:
    """`1 test`, `2 tests`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(milliseconds: float) -> str:
    """`480 ms`, `20.3 s`, `1 min 1 s`, `2 h 5 min`."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / _SECOND_MS:.1f} s"
    if milliseconds < _HOUR_MS:
        minutes, seconds = divmod(round(milliseconds / _SECOND_MS), 60)
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(round(milliseconds / _MINUTE_MS), 60)
    return f"{hours} h {minutes} min"


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as `2026-01-01T12:00:03.120Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(moment: datetime) -> str:
    """Time of day in UTC, as `12:00:03.120Z`: all of one run is on one day, or nearly."""
    return timestamp(moment).partition("T")[2]


def owner(value: Owner) -> str:
    """The owner, as one says it."""
    return "not enough evidence" if value is Owner.INSUFFICIENT_EVIDENCE else value.value


def words(value: str) -> str:
    """A word of the vocabulary without its underscores."""
    return value.replace("_", " ")


def mechanism(value: Mechanism) -> str:
    """The mechanism, as one says it."""
    if value is Mechanism.UNKNOWN:
        return "cause unknown"
    return _ABBREVIATIONS.get(value) or words(value)


def component(diagnosis: Diagnosis) -> str:
    """Which part is at fault, or nothing when the owner says as much: "test in test"."""
    if diagnosis.owner is Owner.INSUFFICIENT_EVIDENCE:
        return ""
    return "" if diagnosis.component == diagnosis.owner.value else diagnosis.component


def probability(value: float) -> float:
    """A confidence as a number in [0, 1] with four digits, whatever was computed."""
    return round(min(1.0, max(0.0, value)), 4) if math.isfinite(value) else 0.0


def confidence(value: float) -> str:
    """A confidence in words and per cent."""
    share = probability(value)
    word = next(word for least, word in _CERTAINTY if share >= least)
    return f"{word} ({share:.0%})"


def model(diagnosis: Diagnosis) -> str:
    """Which model said it, and what that cost; nothing for the offline engine alone."""
    asked = diagnosis.input_tokens + diagnosis.output_tokens
    if not asked and not diagnosis.prompt:
        return ""
    cost = f", {diagnosis.cost_usd:.4f} USD" if diagnosis.cost_usd else ""
    tokens = (
        f"{diagnosis.input_tokens} + {diagnosis.output_tokens} tokens{cost}" if asked else "kept"
    )
    return f"{diagnosis.engine} ({tokens})"


def attempts(test: Test) -> str:
    """How the test got to its outcome, when it took more than one attempt; else nothing.

    A repetition of a test has its number, as nothing else tells it from the others.
    """
    repeat = f"repeat {test.id.repeat}, " if test.id.repeat else ""
    return f"{repeat}{_attempts(test)}".removesuffix(", ")


def _attempts(test: Test) -> str:
    number = len(test.attempts)
    if number <= 1:
        return ""
    if test.outcome is Outcome.FLAKY:
        return f"passed on attempt {number}"
    return f"{number} attempts"


def location(test: Test) -> Location | None:
    """Where the test failed in its own file, else where it is written, else where it failed.

    A file that the report knows by a shorter name, relative to the suite, has that name.
    """
    failed = [f.location for a in test.bad_attempts for f in a.failures if f.location]
    places = [place for place in (*failed, test.location) if place and place.file]
    own = next((place for place in places if _is_own(test, place)), None)
    if own:
        return replace(own, file=test.id.file)
    return next(iter(places), None)


def _is_own(test: Test, place: Location) -> bool:
    """Whether a place is in the test's file, whichever folder either name starts from."""
    file, name = place.file.replace("\\", "/"), test.id.file.replace("\\", "/")
    return bool(name) and (file == name or file.endswith(f"/{name}"))


def by_place(evidence: Iterable[Evidence]) -> list[list[Evidence]]:
    """Evidence of one line of one artefact together, in the order of its first quote."""
    places: dict[tuple[str, int], list[Evidence]] = {}
    for item in evidence:
        places.setdefault((item.source, item.line), []).append(item)
    return list(places.values())


def projects(report: Report) -> frozenset[str]:
    """The projects that need to be told apart: none when all red tests are of one."""
    found = {test.id.project for incident in report.incidents for test in incident.tests}
    return frozenset(found - {""}) if len(found) > 1 else frozenset()

"""Scores as text and as JSON, `heisenberg.eval/1`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from heisenberg import text
from heisenberg.delivery import json_report, wording
from heisenberg.evaluation.scores import share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heisenberg.evaluation.scores import CaseScore, Evaluation, Verdict
    from heisenberg.model.report import Incident

SCHEMA = "heisenberg.eval/1"
TITLE_WIDTH = 60


def render_json(evaluation: Evaluation) -> str:
    """Write every figure and, for each case, what was expected and what was got."""
    return json_report.dump(
        {
            "schema": SCHEMA,
            "cases": len(evaluation.cases),
            "incidents": len(evaluation.verdicts),
            "owner_accuracy": _rounded(evaluation.owner_accuracy),
            "mechanism_accuracy": _rounded(evaluation.mechanism_accuracy),
            "incident_f1": _rounded(evaluation.incident_f1),
            "incident_precision": _rounded(evaluation.incident_precision),
            "incident_recall": _rounded(evaluation.incident_recall),
            "evidence_recall": _rounded(evaluation.evidence_recall),
            "clean_runs": evaluation.clean_runs,
            "false_alarms": evaluation.false_alarms,
            "outcome_accuracy": _rounded(evaluation.outcome_accuracy),
            "brier": _rounded(evaluation.brier),
            "ece": _rounded(evaluation.ece),
            "reliability": [
                {
                    "low": b.low,
                    "high": b.high,
                    "n": b.number,
                    "confidence": _rounded(b.confidence),
                    "accuracy": _rounded(b.accuracy),
                }
                for b in evaluation.reliability
            ],
            "median_seconds": _rounded(evaluation.median_seconds),
            "model": {
                "calls": evaluation.cost.calls,
                "input_tokens": evaluation.cost.input_tokens,
                "output_tokens": evaluation.cost.output_tokens,
                "cost_usd": round(evaluation.cost.usd, 6),
            },
            "by_owner": _by(evaluation, lambda v: v.expected.owner),
            "by_mechanism": _by(evaluation, lambda v: v.expected.mechanism),
            "results": [_case_document(case) for case in evaluation.cases],
            "problems": [{"source": p.source, "reason": p.reason} for p in evaluation.problems],
        }
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _by(evaluation: Evaluation, category: Callable[[Verdict], str]) -> dict[str, dict[str, Any]]:
    """Figures for each category of true incidents, by name."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in evaluation.verdicts:
        groups[str(category(verdict))].append(verdict)
    return {
        name: {
            "n": len(group),
            "owner_accuracy": _rounded(share(v.is_owner_right for v in group)),
            "mechanism_accuracy": _rounded(share(v.is_mechanism_right for v in group)),
            "evidence_recall": _rounded(
                share(v.is_proven for v in group if v.expected.key_evidence)
            ),
        }
        for name, group in sorted(groups.items())
    }


def _case_document(case: CaseScore) -> dict[str, Any]:
    return {
        "case": case.name,
        "report": case.report,
        "seconds": round(case.seconds, 4),
        "incidents": [
            {
                "tests": list(v.expected.tests),
                "expected": {
                    "owner": v.expected.owner.value,
                    "mechanism": v.expected.mechanism.value,
                },
                "got": _got(v.got),
                "evidence": v.is_proven if v.expected.key_evidence else None,
            }
            for v in case.verdicts
        ],
        "unexpected": [_got(incident) for incident in case.unexpected],
        "wrong": list(_wrong(case)),
    }


def _got(incident: Incident | None) -> dict[str, Any] | None:
    if incident is None:
        return None
    return {
        "owner": incident.diagnosis.owner.value,
        "mechanism": incident.diagnosis.mechanism.value,
        "confidence": wording.probability(incident.diagnosis.confidence),
        "tests": [test.id.title for test in incident.tests],
    }


def _wrong(case: CaseScore) -> Iterator[str]:
    """What was wrong with a case, one short line each."""
    for verdict in case.verdicts:
        expected, got = verdict.expected, verdict.got
        truth = f"{expected.owner} {expected.mechanism}"
        if got is None:
            yield f"missed: {truth} ({_first(expected.tests)})"
            continue
        said = f"{got.diagnosis.owner} {got.diagnosis.mechanism}"
        if not (verdict.is_owner_right and verdict.is_mechanism_right):
            share = wording.probability(got.diagnosis.confidence)
            yield f"expected {truth}, got {said} ({share:.0%})"
        if expected.key_evidence and not verdict.is_proven:
            yield f"evidence: no quote holds {_short(expected.key_evidence[0])!r}"
    for incident in case.unexpected:
        said = f"{incident.diagnosis.owner} {incident.diagnosis.mechanism}"
        yield f"false alarm: {said} ({_first(tuple(t.id.title for t in incident.tests))})"
    if case.pairs.both < case.pairs.true:
        yield f"split: {case.pairs.true - case.pairs.both} of {case.pairs.true} pairs not together"
    if case.pairs.both < case.pairs.predicted:
        wrong = case.pairs.predicted - case.pairs.both
        yield f"merged: {wrong} of {case.pairs.predicted} predicted pairs do not belong together"
    for title, true, got_outcome in case.outcomes:
        if true is not got_outcome:
            yield f"outcome: {_short(title)} is {true or 'not red'}, got {got_outcome or 'not red'}"


def _first(tests: tuple[str, ...]) -> str:
    """The first test, and how many more."""
    if not tests:
        return "outside any test"
    more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
    return f"{_short(tests[0])}{more}"


def _short(words: str) -> str:
    return text.truncate(text.one_line(words), TITLE_WIDTH)


def render_text(evaluation: Evaluation, *, ascii_only: bool = False) -> str:
    """Write the figures, the tables by category and what was wrong in each case."""
    lines = "\n".join(_lines(evaluation)) + "\n"
    return "\n".join(text.to_ascii(line) if ascii_only else line for line in lines.split("\n"))


def _lines(evaluation: Evaluation) -> Iterator[str]:
    cases = wording.plural(len(evaluation.cases), "case")
    yield f"{cases}, {wording.plural(len(evaluation.verdicts), 'incident')}"
    yield ""
    for label, value in (
        ("owner accuracy", _percent(evaluation.owner_accuracy)),
        ("mechanism accuracy", _percent(evaluation.mechanism_accuracy)),
        ("incident F1 (pairs)", _number(evaluation.incident_f1)),
        ("evidence recall", _percent(evaluation.evidence_recall)),
        ("false alarms", f"{evaluation.false_alarms} of {evaluation.clean_runs} clean"),
        ("outcome accuracy", _percent(evaluation.outcome_accuracy)),
        ("Brier score", _number(evaluation.brier)),
        ("calibration error", _number(evaluation.ece)),
        ("median time", f"{_number(evaluation.median_seconds)} s"),
    ):
        yield f"{label:<20} {value:>10}"
    cost = evaluation.cost
    if cost.calls:
        yield f"{'model calls':<20} {cost.calls:>10}"
        yield f"{'tokens in, out':<20} {f'{cost.input_tokens}, {cost.output_tokens}':>10}"
        yield f"{'cost':<20} {f'{cost.usd:.4f} USD':>10}"
    yield from _reliability(evaluation)
    for title, table in (
        ("owner", _by(evaluation, lambda v: v.expected.owner)),
        ("mechanism", _by(evaluation, lambda v: v.expected.mechanism)),
    ):
        yield from _table(title, table)
    yield ""
    for case in evaluation.cases:
        wrong = list(_wrong(case))
        yield f"{'✘' if wrong else '✔'} {text.one_line(case.name)}  {case.seconds:.2f} s"
        yield from (f"    {line}" for line in wrong)
    for problem in evaluation.problems:
        yield f"problem: {text.one_line(problem.source)}: {text.one_line(problem.reason)}"


def _reliability(evaluation: Evaluation) -> Iterator[str]:
    """Confidence against accuracy, without the empty bins."""
    yield ""
    yield f"{'confidence':<20} {'n':>4} {'mean':>6} {'right':>6}"
    for b in evaluation.reliability:
        if b.number:
            row = f"{b.number:>4} {_percent(b.confidence):>6} {_percent(b.accuracy):>6}"
            yield f"{b.low:.1f} to {b.high:.1f}{'':<10} {row}"


def _table(title: str, table: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Accuracy for each true category."""
    yield ""
    yield f"{title:<20} {'n':>4} {'owner':>6} {'mech.':>6} {'proof':>6}"
    for name, row in table.items():
        shares = (row["owner_accuracy"], row["mechanism_accuracy"], row["evidence_recall"])
        yield f"{name:<20} {row['n']:>4} " + " ".join(f"{_percent(s):>6}" for s in shares)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

"""Labelled runs of two applications, analysed from end to end.

`shop` runs: Playwright against an API, payments, PostgreSQL. `docpress-*` runs: pytest against a
document service with a worker, Valkey and PostgreSQL. One fault was really injected into each.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from heisenberg.evaluation import evaluate
from heisenberg.model.run import Outcome
from heisenberg.pipeline import analyze
from heisenberg.text import strip_escapes

CASES = Path(__file__).parent / "data" / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())


def reports_of(case: str) -> list[Path]:
    """The reports of a case, in every format that it has."""
    return [p for p in (CASES / case / "report.json", CASES / case / "junit.xml") if p.exists()]


@pytest.mark.parametrize("case", NAMES)
def test_owner_mechanism_and_grouping_are_right(case: str) -> None:
    """Each labelled incident is found with its tests, its owner and its mechanism."""
    truth = json.loads((CASES / case / "truth.json").read_text(encoding="utf-8"))

    report = analyze([reports_of(case)[0]], [CASES / case / "logs"])

    found = {
        (
            i.diagnosis.owner.value,
            i.diagnosis.mechanism.value,
            tuple(sorted(t.id.title for t in i.tests)),
        )
        for i in report.incidents
    }
    wanted = {(i["owner"], i["mechanism"], tuple(sorted(i["tests"]))) for i in truth["incidents"]}
    assert wanted == found


@pytest.mark.parametrize("case", [n for n in NAMES if len(reports_of(n)) > 1])
def test_every_format_tells_the_same(case: str) -> None:
    """Playwright's JSON and JUnit reports of one run lead to the same diagnoses."""
    told = [
        {
            (i.diagnosis.owner, i.diagnosis.mechanism, tuple(sorted(t.id.title for t in i.tests)))
            for i in analyze([path], [CASES / case / "logs"]).incidents
        }
        for path in reports_of(case)
    ]

    assert told[0] == told[1]


@pytest.mark.parametrize("case", NAMES)
def test_every_quote_stands_where_it_is_cited(case: str) -> None:
    """A quote is found in its file at its line, escapes and colours undone, by another hand."""
    report = analyze([reports_of(case)[0]], [CASES / case / "logs"])

    evidence = [e for i in report.incidents for e in i.diagnosis.evidence]
    assert bool(evidence) == bool(report.incidents)
    for item in evidence:
        path = next(
            p
            for p in (CASES / case / item.source, CASES / case / "logs" / item.source)
            if p.exists()
        )
        lines = path.read_text(encoding="utf-8").split("\n")
        record = "\n".join(lines[item.line - 1 : item.line + 400])
        assert any(item.quote in text for text in undone(record)), item


def undone(text: str) -> tuple[str, ...]:
    """The text as it is, with JSON's escapes undone, and with XML's."""
    unescaped = re.sub(
        r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))', lambda m: chr(int(m[1], 16)) if m[1] else m[2], text
    ).replace("\\n", "\n")
    return tuple(strip_escapes(t) for t in (text, unescaped, html.unescape(text)))


def test_a_folder_with_both_reports_counts_each_test_once() -> None:
    """The same run in two formats beside its logs is one run."""
    folder = CASES / "null-coupon"

    report = analyze([folder])

    assert (report.counts.total, report.counts.failed) == (20, 2)
    assert [2] == [len(i.tests) for i in report.incidents]


def test_each_red_test_is_in_exactly_one_incident() -> None:
    """No failed or flaky test is lost, and none is told of twice."""
    for case in NAMES:
        report = analyze([reports_of(case)[0]], [CASES / case / "logs"])

        ids = [t.id for i in report.incidents for t in i.tests]
        assert len(ids) == len(set(ids)) == report.counts.failed + report.counts.flaky
        assert all(
            t.outcome in (Outcome.FAILED, Outcome.FLAKY) for i in report.incidents for t in i.tests
        )


def test_eval_scores_these_cases() -> None:
    """`heisenberg eval` agrees: all right, and no alarm on the clean run."""
    result = evaluate(CASES)

    assert (result.owner_accuracy, result.mechanism_accuracy) == (1.0, 1.0)
    assert result.false_alarms == 0


def test_a_green_run_has_no_incidents_whatever_its_logs_say() -> None:
    """Errors in the logs of a run without failures are nobody's problem."""
    report = analyze([CASES / "clean-1" / "report.json"], [CASES / "clean-1" / "logs"])

    assert report.incidents == ()

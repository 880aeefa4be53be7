from __future__ import annotations

import json
import unicodedata
from datetime import timedelta, timezone

from hypothesis import given

from delivery_samples import NOON, a_diagnosis, a_report, green_report, hostile_report, hostile_text
from heisenberg.delivery import json_report
from heisenberg.model.diagnosis import Evidence
from heisenberg.model.report import Counts, Incident, Report


def test_the_document_is_the_contract() -> None:
    """Every key of the analysis document is there, in order, with its type."""
    document = json_report.to_document(a_report(tests=1))

    assert {
        "schema": "heisenberg.analysis/1",
        "run": {
            "total": 40,
            "passed": 35,
            "failed": 1,
            "flaky": 1,
            "skipped": 2,
            "duration_ms": 61234,
        },
        "incidents": [
            {
                "id": "i-1",
                "fingerprint": "message-v1:aa11",
                "tests": [
                    {
                        "id": "shop.spec.ts › orders › lists past orders 0",
                        "title": "orders › lists past orders 0",
                        "file": "shop.spec.ts",
                        "project": "",
                        "outcome": "failed",
                        "attempts": 1,
                    }
                ],
                "diagnosis": {
                    "state": "first_seen",
                    "owner": "product",
                    "mechanism": "unhandled_exception",
                    "symptom": "assertion",
                    "component": "payments",
                    "root_cause": "Listing orders fails on an order without a coupon.",
                    "suggested_fix": "Handle an order whose coupon is None before calling upper().",
                    "confidence": 0.9124,
                    "evidence": [
                        {
                            "source": "logs/payments.log",
                            "line": 812,
                            "timestamp": "2026-01-01T12:00:03.120Z",
                            "quote": "AttributeError: 'NoneType' object has no attribute 'upper'",
                        },
                        {
                            "source": "report.json",
                            "line": 33,
                            "timestamp": None,
                            "quote": "Error: expect(locator).toBeVisible() failed",
                        },
                    ],
                    "alternatives": [
                        {"owner": "test", "mechanism": "async_wait", "confidence": 0.06}
                    ],
                    "missing": ["the log of postgres"],
                    "engine": "offline/1",
                    "input_tokens": 0,
                    "output_tokens": 0,
                    "cost_usd": 0.0,
                },
            }
        ],
        "problems": [
            {
                "source": "junit.xml",
                "reason": "line 3: the document is cut off; was the job killed?",
            }
        ],
    } == {**document, "incidents": document["incidents"][:1]}


def test_a_flaky_test_says_so() -> None:
    """A test that failed and then passed has the outcome flaky and both its attempts."""
    test = json_report.to_document(a_report())["incidents"][1]["tests"][0]

    assert ("flaky", 2, "webkit") == (test["outcome"], test["attempts"], test["project"])


def test_a_green_run_has_no_incidents() -> None:
    """Without failures the lists are there and empty."""
    document = json.loads(json_report.render(green_report))

    assert [] == document["incidents"]
    assert [] == document["problems"]


def test_an_unknown_duration_is_null() -> None:
    """What the report does not tell is not made up."""
    document = json_report.to_document(Report(Counts(0, 0, 0, 0, 0, None)))

    assert document["run"]["duration_ms"] is None


def test_times_are_utc() -> None:
    """A time of any zone is written in UTC with milliseconds."""
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    incident = Incident("i", "f", (), a_diagnosis(evidence=(Evidence("a.log", 1, "x", local),)))
    document = json_report.to_document(Report(Counts(1, 0, 1, 0, 0, 1.0), (incident,)))

    evidence = document["incidents"][0]["diagnosis"]["evidence"][0]
    assert "2026-01-01T12:00:03.120Z" == evidence["timestamp"]


@given(hostile_text)
def test_the_document_survives_any_text(name: str) -> None:
    """It reads back as it was, bar lone surrogates, and holds nothing that a terminal obeys."""
    report = hostile_report(name)
    rendered = json_report.render(report)

    expected = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in name)
    document = json.loads(rendered.encode().decode())
    assert expected == document["incidents"][0]["diagnosis"]["root_cause"]
    assert expected == document["incidents"][0]["diagnosis"]["evidence"][0]["quote"]
    assert {"\n"} >= {c for c in rendered if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}}
    assert not any(c in "\u202e\u2066\u200b\u200f" for c in rendered)

"""No secret that an artefact holds gets out, however the analysis is delivered."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from heisenberg import pipeline
from heisenberg.diagnosis.disclosure import without_secrets
from heisenberg.model.diagnosis import Diagnosis, Evidence, Mechanism, Owner, State, Symptom
from heisenberg.model.report import Counts, Incident, Problem, Report
from heisenberg.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
PASSWORD = "hunter2hunter2"
MAIL = "ada@example.org"
SECRETS = (KEY, PASSWORD, MAIL)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A report and a log whose every telling line holds a secret."""
    report = {
        "results": {
            "tool": {"name": "jest"},
            "summary": {
                "tests": 1, "passed": 0, "failed": 1, "pending": 0, "skipped": 0, "other": 0,
                "start": 1767268800000, "stop": 1767268806000,
            },
            "tests": [
                {
                    "name": "pays by card", "status": "failed", "duration": 5000,
                    "start": 1767268800000, "stop": 1767268805000,
                    "message": f"Error: POST /api/pay answered 500 for {MAIL}, key {KEY}",
                    "trace": f"Error: POST /api/pay answered 500 for {MAIL}, key {KEY}\n"
                    "    at pay (/srv/shop/tests/pay.test.js:7:9)",
                }
            ],
        }
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(report))
    lines = [
        f"2026-01-01 12:00:02,000 ERROR shop.db: no connection to postgresql://shop:{PASSWORD}@db/shop",
        f"2026-01-01 12:00:02,100 ERROR shop.pay: payment of {MAIL} refused: api_key={KEY}",
        "Traceback (most recent call last):",
        '  File "/srv/shop/pay.py", line 3, in pay',
        f"shop.errors.PaymentError: could not charge with {KEY} and {PASSWORD} as {MAIL}",
        f'2026-01-01 12:00:02,200 ERROR shop.web: POST /api/pay 500 user={MAIL} password="{PASSWORD}"',
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api.log").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("form", ["text", "json", "markdown", "sarif"])
def test_no_secret_reaches_any_format(run: Path, form: str) -> None:
    """What the command prints holds no secret of the report and the log, and still says something."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "analyze", "report.json", "--logs", "logs", "--format", form],
        cwd=run, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert [] == [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    assert "pays by card" in done.stdout


def test_quotes_stay_exact(run: Path) -> None:
    """Each quote that is left stands in its artefact as it is told."""
    report = pipeline.analyze([run / "report.json"], [run / "logs"])

    evidence = [e for i in report.incidents for e in i.diagnosis.evidence]
    texts = {
        "report.json": (run / "report.json").read_text(),
        "api.log": (run / "logs" / "api.log").read_text(),
    }
    assert evidence
    assert all(e.quote in texts[e.source.rpartition("/")[2]] for e in evidence)


def a_report(*quotes: str) -> Report:
    """One incident whose every text holds a secret."""
    diagnosis = Diagnosis(
        State.UNKNOWN, Owner.PRODUCT, Mechanism.AUTH, Symptom.OTHER, f"api {KEY}",
        f"It failed with password={PASSWORD}.", f"Replace {KEY}.", 0.9,
        tuple(Evidence("api.log", n, quote) for n, quote in enumerate(quotes, 1)),
        missing=(f"the mail to {MAIL}",),
    )  # fmt: skip
    counts = Counts(1, 0, 1, 0, 0, None)
    return Report(counts, (Incident("1", "m:1", (), diagnosis),), (Problem("x", f"bad {KEY}"),))


def test_every_text_is_redacted() -> None:
    """Component, sentences, what is missing and problems share the numbers of their secrets."""
    told = without_secrets(a_report(), Redactor())

    diagnosis = told.incidents[0].diagnosis
    assert "api <secret:1>" == diagnosis.component
    assert "It failed with password=<secret:2>" == diagnosis.root_cause.rstrip(".")
    assert "Replace <secret:1>." == diagnosis.suggested_fix
    assert ("the mail to <email:1>",) == diagnosis.missing
    assert "bad <secret:1>" == told.problems[0].reason


def test_quotes_are_cut_or_dropped() -> None:
    """A quote is cut to what is clear, even of a secret known from elsewhere; else it is dropped."""
    told = without_secrets(
        a_report(f"connection refused for {MAIL}", KEY, f"it is {PASSWORD} here"), Redactor()
    )

    assert [(1, "connection refused for")] == [
        (e.line, e.quote) for e in told.incidents[0].diagnosis.evidence
    ]

"""The analysis document, for machines: the contract of every consumer, `heisenberg.analysis/1`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from heisenberg import text
from heisenberg.delivery import wording
from heisenberg.model.report import SCHEMA

if TYPE_CHECKING:
    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.report import Incident, Report
    from heisenberg.model.run import Test

Document = dict[str, Any]
"""A JSON object."""


def render(report: Report) -> str:
    """Write the document as indented JSON that is safe to print and to encode as UTF-8."""
    return dump(to_document(report))


def dump(document: Document) -> str:
    r"""Write any JSON object so that no control, bidi or invisible character stands in it raw.

    Such characters are written as `\uXXXX`, which reads back as the same text; lone surrogates,
    which UTF-8 cannot carry, become U+FFFD. The text ends with a newline.
    """
    plain = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    return "\n".join(text.escape_for_json(line) for line in plain.split("\n")) + "\n"


def to_document(report: Report) -> Document:
    """Turn a report into the document; a duration that is not known is null."""
    counts = report.counts
    return {
        "schema": SCHEMA,
        "run": {
            "total": counts.total,
            "passed": counts.passed,
            "failed": counts.failed,
            "flaky": counts.flaky,
            "skipped": counts.skipped,
            "duration_ms": _milliseconds(counts.duration_ms),
        },
        "incidents": [_incident(incident) for incident in report.incidents],
        "problems": [
            {"source": problem.source, "reason": problem.reason} for problem in report.problems
        ],
    }


def _milliseconds(value: float | None) -> int | None:
    """Whole milliseconds, or None when the duration is unknown or no number."""
    return round(value) if value is not None and math.isfinite(value) else None


def _incident(incident: Incident) -> Document:
    return {
        "id": incident.id,
        "fingerprint": incident.fingerprint,
        "tests": [_test(test) for test in incident.tests],
        "diagnosis": diagnosis_document(incident.diagnosis),
    }


def _test(test: Test) -> Document:
    return {
        "id": str(test.id),
        "title": test.id.title,
        "file": test.id.file,
        "project": test.id.project,
        "outcome": test.outcome.value,
        "attempts": len(test.attempts),
    }


def diagnosis_document(diagnosis: Diagnosis) -> Document:
    """Turn a diagnosis into its part of the document."""
    return {
        "state": diagnosis.state.value,
        "owner": diagnosis.owner.value,
        "mechanism": diagnosis.mechanism.value,
        "symptom": diagnosis.symptom.value,
        "component": diagnosis.component,
        "root_cause": diagnosis.root_cause,
        "suggested_fix": diagnosis.suggested_fix,
        "confidence": wording.probability(diagnosis.confidence),
        "evidence": [_evidence(evidence) for evidence in diagnosis.evidence],
        "alternatives": [
            {
                "owner": other.owner.value,
                "mechanism": other.mechanism.value,
                "confidence": wording.probability(other.confidence),
            }
            for other in diagnosis.alternatives
        ],
        "missing": list(diagnosis.missing),
        "engine": diagnosis.engine,
        **({"prompt": diagnosis.prompt} if diagnosis.prompt else {}),
        "input_tokens": diagnosis.input_tokens,
        "output_tokens": diagnosis.output_tokens,
        "cost_usd": round(diagnosis.cost_usd, 6) if math.isfinite(diagnosis.cost_usd) else 0,
    }


def _evidence(evidence: Evidence) -> Document:
    moment = evidence.timestamp
    return {
        "source": evidence.source,
        "line": evidence.line,
        "timestamp": wording.timestamp(moment) if moment else None,
        "quote": evidence.quote,
    }

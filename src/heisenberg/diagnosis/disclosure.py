"""What of a report may leave: everything but the secrets that its artefacts held."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heisenberg.model.diagnosis import Diagnosis, Evidence
    from heisenberg.model.report import Report
    from heisenberg.redact import Redactor


def without_secrets(report: Report, redact: Redactor) -> Report:
    """Take secrets out of a report, once and before it is delivered, stored or sent anywhere.

    Sentences have placeholders where secrets stood. A quote has to stay exact, so it is cut to its
    longest stretch without one, and evidence of which nothing is left is dropped. Tests keep their
    titles and files, by which they are known.

    Args:
        report: As it was diagnosed.
        redact: Of the run. It has learned from the texts that the report was drawn from: a secret
            that has a name there is known bare here.
    """
    for incident in report.incidents:
        redact.learn(incident.diagnosis.root_cause)
        for evidence in incident.diagnosis.evidence:
            redact.learn(evidence.quote)
    told = [replace(i, diagnosis=_told(i.diagnosis, redact)) for i in report.incidents]
    problems = tuple(replace(p, reason=redact(p.reason)) for p in report.problems)
    quoted = (
        replace(i, diagnosis=replace(i.diagnosis, evidence=tuple(_cut(i.diagnosis, redact))))
        for i in told
    )
    return replace(report, incidents=tuple(quoted), problems=problems)


def _told(diagnosis: Diagnosis, redact: Redactor) -> Diagnosis:
    """A diagnosis, its sentences without secrets."""
    return replace(
        diagnosis,
        component=redact(diagnosis.component),
        root_cause=redact(diagnosis.root_cause),
        suggested_fix=redact(diagnosis.suggested_fix),
        missing=tuple(redact(missing) for missing in diagnosis.missing),
    )


def _cut(diagnosis: Diagnosis, redact: Redactor) -> Iterator[Evidence]:
    """The evidence, its quotes cut; each stretch is told once."""
    seen = set()
    for evidence in diagnosis.evidence:
        quote = redact.clear(evidence.quote)
        place = (evidence.source, evidence.line, quote)
        if quote and place not in seen:
            seen.add(place)
            yield evidence if quote == evidence.quote else replace(evidence, quote=quote)

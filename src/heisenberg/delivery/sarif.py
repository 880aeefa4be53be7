"""A report for code scanning pages: SARIF 2.1.0, a rule a mechanism, a result an incident.

Source:
    OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 2020.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from heisenberg import __version__, text
from heisenberg.delivery import json_report, wording
from heisenberg.model.diagnosis import Mechanism, Owner, State
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from heisenberg.model.diagnosis import Evidence
    from heisenberg.model.report import Incident, Problem, Report
    from heisenberg.model.run import Test

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
TESTS_SHOWN = 10
"""Viewers show few locations; the JSON report has all tests."""
QUOTE_WIDTH = 1000

_DRIVE = re.compile(r"[A-Za-z]:/")
_LINK = re.compile(r"\[(?=[^\]]*\]\()")

_MEANINGS = {
    Mechanism.ASYNC_WAIT: "The test does not wait for what it needs.",
    Mechanism.RACE: "The result depends on which of two things happens first.",
    Mechanism.ORDER_DEPENDENCY: "The test depends on which tests ran before it.",
    Mechanism.SHARED_STATE: "Tests disturb each other through state that they share.",
    Mechanism.SELECTOR_DRIFT: "The test looks for an element that is no longer called so.",
    Mechanism.WRONG_EXPECTATION: "The test expects what is no longer meant to be.",
    Mechanism.LOGIC_ERROR: "The product computes or shows the wrong thing.",
    Mechanism.UNHANDLED_EXCEPTION: "The product raises an exception that nothing catches.",
    Mechanism.BACKEND_ERROR: "A service answers with an error.",
    Mechanism.TIMEOUT_BUDGET: "The work takes longer than it is allowed to.",
    Mechanism.NETWORK: "A connection fails or breaks.",
    Mechanism.DNS: "A name cannot be resolved.",
    Mechanism.TLS: "A secure connection cannot be agreed on.",
    Mechanism.AUTH: "Credentials or rights are missing or refused.",
    Mechanism.RATE_LIMIT: "A service refuses because it is asked too often.",
    Mechanism.DATABASE_CONNECTION: "The database cannot be reached, or has no connection left.",
    Mechanism.DATABASE_LOCK: "Transactions wait for each other, or deadlock.",
    Mechanism.RESOURCE_EXHAUSTION: "Memory, disk, descriptors or processors have run out.",
    Mechanism.PROCESS_CRASH: "A process ended while it was needed.",
    Mechanism.CLOCK: "The result depends on the time or the time zone.",
    Mechanism.CONFIGURATION: "A setting is missing or wrong.",
    Mechanism.DEPENDENCY_DOWN: "A service that is depended on is down.",
    Mechanism.RANDOMNESS: "The result depends on chance.",
    Mechanism.UNKNOWN: "How it came to fail is not known.",
}


def render(report: Report) -> str:
    """Write the log as indented JSON."""
    return json_report.dump(to_document(report))


def to_document(report: Report) -> dict[str, Any]:
    """Turn a report into a SARIF log of one run."""
    used = sorted({incident.diagnosis.mechanism for incident in report.incidents})
    counts = report.counts
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Heisenberg",
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": [_rule(mechanism) for mechanism in used],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [_notification(p) for p in report.problems],
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(incident, used.index(incident.diagnosis.mechanism))
                    for incident in report.incidents
                ],
                "properties": {
                    "total": counts.total,
                    "passed": counts.passed,
                    "failed": counts.failed,
                    "flaky": counts.flaky,
                    "skipped": counts.skipped,
                },
            }
        ],
    }


def _rule(mechanism: Mechanism) -> dict[str, Any]:
    return {
        "id": mechanism.value,
        "name": "".join(word.capitalize() for word in mechanism.split("_")),
        "shortDescription": {"text": _MEANINGS[mechanism]},
        "defaultConfiguration": {"level": "error"},
    }


def _notification(problem: Problem) -> dict[str, Any]:
    """An artefact that could not be read."""
    return {"level": "warning", "message": _message(f"{problem.source}: {problem.reason}")}


def _result(incident: Incident, rule_index: int) -> dict[str, Any]:
    said = incident.diagnosis
    tests = [place for test in incident.tests[:TESTS_SHOWN] if (place := _test_location(test))]
    proof = [place for evidence in said.evidence if (place := _evidence_location(evidence))]
    result: dict[str, Any] = {
        "ruleId": said.mechanism.value,
        "ruleIndex": rule_index,
        "level": _level(incident),
        "message": _message(_sentence(incident)),
        # A result without a place is not shown at all, so the proof stands in for the test.
        "locations": tests or proof[:1],
        "partialFingerprints": _fingerprints(incident),
        "rank": round(100 * wording.probability(said.confidence), 2),
        "properties": {
            "incident": incident.id,
            "state": said.state.value,
            "owner": said.owner.value,
            "symptom": said.symptom.value,
            "component": said.component,
            "confidence": wording.probability(said.confidence),
            "suggested_fix": said.suggested_fix,
            "engine": said.engine,
            "tests": [test.id.title for test in incident.tests],
        },
    }
    if proof:
        result["relatedLocations"] = [{"id": n, **place} for n, place in enumerate(proof, 1)]
    return result


def _level(incident: Incident) -> str:
    """A flake warns, what has recovered is a note, the rest is an error."""
    if incident.diagnosis.state is State.RECOVERED:
        return "note"
    all_flaky = incident.tests and all(t.outcome is Outcome.FLAKY for t in incident.tests)
    return "warning" if all_flaky or incident.diagnosis.state is State.FLAKY else "error"


def _sentence(incident: Incident) -> str:
    """Who, what, why and what to do."""
    said = incident.diagnosis
    component = wording.component(said)
    where = f" in {component}" if component else ""
    owner = wording.owner(said.owner)
    who = owner.capitalize() if said.owner is Owner.INSUFFICIENT_EVIDENCE else f"Owner: {owner}"
    tests = wording.plural(len(incident.tests), "test") if incident.tests else "No test"
    cause = text.one_line(said.root_cause) or "The cause could not be told."
    verdict = f"{who}, {wording.mechanism(said.mechanism)}{where}"
    sure = wording.confidence(said.confidence)
    return f"{cause} {verdict}, {sure}; {tests} affected. {said.suggested_fix}".rstrip()


def _message(raw: str) -> dict[str, str]:
    """A plain text message: brackets that would make a link are escaped."""
    return {"text": _LINK.sub(r"\\[", text.one_line(raw)) or "-"}


def _fingerprints(incident: Incident) -> dict[str, str]:
    """The algorithm names the fingerprint, its hash is the value."""
    algorithm, _, digest = incident.fingerprint.rpartition(":")
    return {f"heisenberg/{text.one_line(algorithm) or 'v0'}": digest}


def _test_location(test: Test) -> dict[str, Any] | None:
    """Where a test failed, or where it is."""
    place = wording.location(test)
    file = place.file if place else test.id.file
    location = _location(file, place.line if place else None, place.column if place else None)
    if location:
        location["logicalLocations"] = [
            {"name": test.id.titles[-1], "fullyQualifiedName": str(test.id), "kind": "function"}
        ]
    return location


def _evidence_location(evidence: Evidence) -> dict[str, Any] | None:
    """Where a quote stands; the quote is both the snippet and the caption."""
    location = _location(evidence.source, evidence.line)
    if location:
        location["physicalLocation"]["region"]["snippet"] = {"text": evidence.quote}
        location["message"] = _message(text.truncate(text.one_line(evidence.quote), QUOTE_WIDTH))
    return location


def _location(file: str, line: int | None, column: int | None = None) -> dict[str, Any] | None:
    """A place in a file; lines and columns that count from less than 1 are taken for 1."""
    if not file:
        return None
    region = {"startLine": max(1, line or 1)}
    if line and column:
        region["startColumn"] = max(1, column)
    return {"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": region}}


def uri(file: str) -> str:
    """A file's name as a URI reference: relative if it is relative, percent-encoded as UTF-8."""
    path = text.replace_surrogates(file).replace("\\", "/")
    if _DRIVE.match(path):
        return "file:///" + path[:2] + quote(path[2:])
    if path.startswith("/"):
        return "file://" + ("/" + quote(path.lstrip("/")))
    return quote(path.removeprefix("./") or ".")

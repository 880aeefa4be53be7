"""Reports built by hand, calm and hostile, for the tests of every delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import strategies as st

from heisenberg.model.diagnosis import (
    Alternative,
    Diagnosis,
    Evidence,
    Mechanism,
    Owner,
    State,
    Symptom,
)
from heisenberg.model.failure import Failure
from heisenberg.model.report import Counts, Incident, Problem, Report
from heisenberg.model.run import Attempt, Location, Place, Status, Test, TestId

NOON = datetime(2026, 1, 1, 12, 0, 3, 120_000, tzinfo=UTC)

HOSTILE_NAMES = (
    "\x1b[31mred\x1b]0;owned\x07",
    "two\nlines\r\nthree",
    "user\u202egpj.exe\u2066\u200b",
    "<script>alert(1)</script><img src=x>",
    "@everyone fixes #123 | a `b` ```c``` [x](javascript:1) ![i](//e) **d** _e_ ~~f~~ $g$",
    "[red]markup[/red] [/nope] [link=x]",
    "half \ud83d \x9b31m \x00 nul",
    "日本語のテスト › 検索 " * 20,
    "https://evil.example/x www.evil.example a@evil.example",
    "w" * 5000,
)


def a_test(
    *titles: str,
    file: str = "shop.spec.ts",
    statuses: tuple[Status, ...] = (Status.FAILED,),
    project: str = "",
) -> Test:
    """A test with one attempt a status; those that failed failed at line 12."""
    failure = Failure("boom", Place("report.json"), location=Location(file, 12, 5))
    return Test(
        TestId(file, titles, project),
        tuple(
            Attempt(status, retry, failures=() if status is Status.PASSED else (failure,))
            for retry, status in enumerate(statuses)
        ),
        location=Location(file, 10, 1),
    )


def a_diagnosis(**changes: object) -> Diagnosis:
    """A diagnosis with everything in it."""
    whole = Diagnosis(
        state=State.FIRST_SEEN,
        owner=Owner.PRODUCT,
        mechanism=Mechanism.UNHANDLED_EXCEPTION,
        symptom=Symptom.ASSERTION,
        component="payments",
        root_cause="Listing orders fails on an order without a coupon.",
        suggested_fix="Handle an order whose coupon is None before calling upper().",
        confidence=0.91237,
        evidence=(
            Evidence(
                "logs/payments.log",
                812,
                "AttributeError: 'NoneType' object has no attribute 'upper'",
                NOON,
            ),
            Evidence("report.json", 33, "Error: expect(locator).toBeVisible() failed"),
        ),
        alternatives=(Alternative(Owner.TEST, Mechanism.ASYNC_WAIT, 0.06),),
        missing=("the log of postgres",),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # reason: names are the caller's


def a_report(*, tests: int = 2) -> Report:
    """Two incidents, the second one flaky, and one problem."""
    failed = tuple(a_test("orders", f"lists past orders {n}") for n in range(tests))
    flaky = a_test("finds a product", statuses=(Status.TIMED_OUT, Status.PASSED), project="webkit")
    return Report(
        Counts(40, 35, tests, 1, 2, 61_234.4),
        (
            Incident("i-1", "message-v1:aa11", failed, a_diagnosis()),
            Incident(
                "i-2",
                "message-v1:bb22",
                (flaky,),
                a_diagnosis(
                    state=State.FLAKY,
                    owner=Owner.TEST,
                    mechanism=Mechanism.ASYNC_WAIT,
                    symptom=Symptom.TIMEOUT,
                    component="test",
                    confidence=0.55,
                    evidence=(),
                    alternatives=(),
                    missing=(),
                ),
            ),
        ),
        (Problem("junit.xml", "line 3: the document is cut off; was the job killed?"),),
    )


def hostile_report(name: str) -> Report:
    """A report in which every field that an artefact fills holds `name`."""
    test = a_test(name, name, file=name, project=name, statuses=(Status.FAILED, Status.FAILED))
    diagnosis = a_diagnosis(
        component=name,
        root_cause=name,
        suggested_fix=name,
        evidence=(Evidence(name, 1, name, NOON), Evidence("a.log", 2, f"{name}\n  {name}")),
        missing=(name,),
        confidence=float("nan"),
        engine=name,
    )
    incident = Incident("i-1", f"message-v1:{name}", (test,), diagnosis)
    return Report(Counts(1, 0, 1, 0, 0, float("inf")), (incident,), (Problem(name, name),))


hostile_text = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.text(
        st.one_of(st.sampled_from("\x1b\x9b\n\r\u202e\u2066\u200b<>@#|`[]()&"), st.characters())
    ),
)
"""Names and messages as nobody would want them."""

green_report = Report(Counts(40, 39, 0, 0, 1, 480.0))
"""A run without a failure."""

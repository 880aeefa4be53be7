"""Each rule on one failure that it is about and one that it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from builders import a_context, a_record, a_suspect, accept_all, at
from heisenberg.diagnosis.engine import diagnose
from heisenberg.diagnosis.rules import (
    RULES,
    Rule,
    environment,
    outages,
    page,
    services,
    values,
    waiting,
)
from heisenberg.model.correlation import SuspectKind
from heisenberg.model.diagnosis import Mechanism, Owner
from heisenberg.model.logs import Level

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context


@dataclass(frozen=True)
class Case:
    """A rule, an incident it speaks of and what it says, and one it is silent on."""

    rule: Rule
    positive: Context
    owner: Owner
    mechanism: Mechanism
    negative: Context

    @property
    def name(self) -> str:
        """Module and function."""
        return name_of(self.rule)


def name_of(rule: Rule) -> str:
    return f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"


def text(locator: str, expected: str, received: str, code: str = "await expect(x).toHaveText(y);") -> str:  # fmt: skip
    return (
        f"Error: expect(locator).toHaveText(expected) failed\n\nLocator: {locator}\n"
        f"Expected: {expected}\nReceived: {received}\nTimeout: 5000ms\n\nCall log:\n"
        f'  - Expect "toHaveText" with timeout 5000ms\n\n> 9 |   {code}\n'
    )


def look(expected: str, received: str, code: str, before: str = "") -> str:
    above = f"  8 |   {before}\n" if before else ""
    return (
        "Error: expect(received).toBe(expected)\n\n"
        f"Expected: {expected}\nReceived: {received}\n\n{above}> 9 |   {code}\n"
    )


def click(locator: str, ms: int = 10_000, more: str = "") -> str:
    return (
        f"TimeoutError: locator.click: Timeout {ms}ms exceeded.\nCall log:\n"
        f"  - waiting for {locator}\n{more}"
    )


def printing(context: Context, output: str) -> Context:
    """The same incident, its test having printed something."""
    test = context.tests[0]
    attempt = structs.replace(test.attempt, stderr=output)
    return replace(context, tests=(replace(test, attempt=attempt),))


PLAIN = "AssertionError: it is not so"
STACK = 'Traceback (most recent call last):\n  File "/srv/pay.py", line 9, in pay\nTypeError: no'
BOOM = a_suspect(
    root=a_record(1, "unhandled", Level.ERROR, exception=STACK),
    trouble=Mechanism.UNHANDLED_EXCEPTION,
    error="TypeError: no",
    place="/srv/pay.py:9",
)
RACING = a_suspect(
    root=a_record(1, "dictionary changed size during iteration", Level.ERROR, exception="x"),
    trouble=Mechanism.RACE,
    error="RuntimeError: dictionary changed size during iteration",
)
LOCKED = a_suspect(
    SuspectKind.ERROR,
    a_record(1, "deadlock detected", Level.ERROR, service="postgres"),
    trouble=Mechanism.DATABASE_LOCK,
)
ANSWERED = a_suspect(
    SuspectKind.REQUEST,
    a_record(1, "POST /pay 500", Level.ERROR, request=("POST", "/pay", 500)),
    status=500,
)
REFUSED = a_suspect(
    SuspectKind.REQUEST,
    a_record(1, "POST /users 409", Level.WARNING, request=("POST", "/users", 409)),
    status=409,
)
SLOW = a_suspect(
    SuspectKind.SLOW,
    a_record(6, "GET /report 200", request=("GET", "/report", 200), duration_ms=5400.0),
    status=200,
)
AWAY = a_suspect(SuspectKind.OUTAGE, a_record(1, "Server starting"), until=at(3))
DIED = replace(
    AWAY,
    until=None,
    root=a_record(1, "out of memory", Level.FATAL),
    trouble=Mechanism.RESOURCE_EXHAUSTION,
    error="MemoryError: out of memory",
    telling=("MemoryError: out of memory",),
)
END = a_suspect(SuspectKind.OUTAGE, a_record(1.2, "Server starting"), until=at(3))

CASES = (
    Case(outages.outage, a_context(PLAIN, AWAY), Owner.ENVIRONMENT, Mechanism.PROCESS_CRASH, a_context(PLAIN, BOOM)),
    Case(
        outages.died, a_context(PLAIN, DIED),
        Owner.ENVIRONMENT, Mechanism.RESOURCE_EXHAUSTION, a_context(PLAIN, AWAY),
    ),
    Case(
        outages.crashed, a_context(PLAIN, BOOM, related=(BOOM, END)),
        Owner.PRODUCT, Mechanism.PROCESS_CRASH, a_context(PLAIN, BOOM),
    ),
    Case(
        services.raced, a_context(PLAIN, RACING, is_flaky=True),
        Owner.PRODUCT, Mechanism.RACE, a_context(PLAIN, LOCKED),
    ),
    Case(
        services.named_trouble, a_context(PLAIN, LOCKED),
        Owner.PRODUCT, Mechanism.DATABASE_LOCK, a_context(PLAIN, ANSWERED),
    ),
    Case(
        services.unhandled_exception, a_context(PLAIN, BOOM),
        Owner.PRODUCT, Mechanism.UNHANDLED_EXCEPTION, a_context(PLAIN, ANSWERED),
    ),
    Case(
        services.backend_error, a_context(PLAIN, ANSWERED),
        Owner.PRODUCT, Mechanism.BACKEND_ERROR, a_context(PLAIN, REFUSED),
    ),
    Case(
        services.refused_request, a_context(PLAIN, REFUSED),
        Owner.TEST, Mechanism.SHARED_STATE, a_context(PLAIN, ANSWERED),
    ),
    Case(
        services.slow_request, a_context(click("locator('#r')", 5000), SLOW),
        Owner.PRODUCT, Mechanism.TIMEOUT_BUDGET, a_context(PLAIN, BOOM),
    ),
    Case(
        page.selector_drift, a_context(click("getByTestId('pay')")),
        Owner.TEST, Mechanism.SELECTOR_DRIFT, a_context(PLAIN),
    ),
    Case(
        page.ambiguous_locator,
        a_context("Error: locator.click: Error: strict mode violation: getByText('Save') resolved to 2 elements:\n    1) a"),
        Owner.TEST, Mechanism.SELECTOR_DRIFT, a_context(PLAIN),
    ),
    Case(
        page.text_not_shown,
        a_context(
            "Error: expect(locator).toBeVisible() failed\n\nLocator: getByText('Thank you')\nExpected: visible\n"
            "Timeout: 5000ms\nError: element(s) not found"
        ),
        Owner.TEST, Mechanism.WRONG_EXPECTATION, a_context(click("locator('#pay')")),
    ),
    Case(
        page.element_not_ready,
        a_context(click("locator('#pay')", more="    - locator resolved to <b/>\n    - element is not enabled\n")),
        Owner.PRODUCT, Mechanism.LOGIC_ERROR, a_context(PLAIN),
    ),
    Case(
        page.script_error,
        printing(a_context(click("locator('#pay')")), "Uncaught TypeError: Cannot read properties of null"),
        Owner.PRODUCT, Mechanism.UNHANDLED_EXCEPTION, a_context(PLAIN),
    ),
    Case(
        values.wrong_number, a_context(text("locator('#t')", '"48.00 EUR"', '"44.00 EUR"')),
        Owner.PRODUCT, Mechanism.LOGIC_ERROR, a_context(text("locator('#t')", '"paid"', '"open"')),
    ),
    Case(
        values.wrong_text, a_context(text("locator('h1')", '"Your cart"', '"Your basket"')),
        Owner.TEST, Mechanism.WRONG_EXPECTATION, a_context(text("locator('h1')", '"3"', '"4"')),
    ),
    Case(
        values.lost_update, a_context(look("20", "17", "expect(await stock()).toBe(20);", "await Promise.all(orders);")),
        Owner.PRODUCT, Mechanism.RACE, a_context(look("20", "17", "expect(await stock()).toBe(20);")),
    ),
    Case(
        values.left_over_data, a_context(look("1", "3", "expect(rows.length).toBe(1);")),
        Owner.TEST, Mechanism.SHARED_STATE, a_context(look("3", "1", "expect(rows.length).toBe(3);")),
    ),
    Case(
        values.wrong_time, a_context(look('"2026-03-04"', '"2026-03-03"', "expect(day(new Date())).toBe(today);")),
        Owner.PRODUCT, Mechanism.CLOCK, a_context(look('"a"', '"b"', "expect(x).toBe(y);")),
    ),
    Case(
        values.other_order, a_context(look('["tea", "rice"]', '["rice", "tea"]', "expect(names).toEqual(all);")),
        Owner.TEST, Mechanism.RANDOMNESS, a_context(look('["tea"]', '["rice"]', "expect(names).toEqual(all);")),
    ),
    Case(
        values.wrong_status, a_context(look("201", "429", "expect(response.status()).toBe(201);")),
        Owner.ENVIRONMENT, Mechanism.RATE_LIMIT, a_context(look("1", "2", "expect(n).toBe(1);")),
    ),
    Case(
        values.wrong_value, a_context(look('"open"', '""', "expect(state).toBe('open');")),
        Owner.PRODUCT, Mechanism.LOGIC_ERROR, a_context(PLAIN),
    ),
    Case(
        waiting.fixed_sleep,
        a_context(look("2", "0", "expect(await n()).toBe(2);", "await page.waitForTimeout(300);"), is_flaky=True),
        Owner.TEST, Mechanism.ASYNC_WAIT, a_context(look("2", "0", "expect(await n()).toBe(2);"), is_flaky=True),
    ),
    Case(
        waiting.read_too_early,
        a_context(look('"done"', '"busy"', "expect(await status.textContent()).toBe('done');"), is_flaky=True),
        Owner.TEST, Mechanism.ASYNC_WAIT, a_context(text("locator('#s')", '"done"', '"busy"'), is_flaky=True),
    ),
    Case(
        waiting.raced_page, a_context(text("locator('#s')", '"new"', '"old"'), is_flaky=True),
        Owner.PRODUCT, Mechanism.RACE, a_context(text("locator('#s')", '"new"', '"old"')),
    ),
    Case(
        waiting.short_budget, a_context(click("locator('#r')", 400, "    - locator resolved to <b/>\n")),
        Owner.TEST, Mechanism.TIMEOUT_BUDGET, a_context(click("locator('#r')", 30_000)),
    ),
    Case(
        waiting.ran_out_of_time, a_context("Test timeout of 30000ms exceeded."),
        Owner.TEST, Mechanism.TIMEOUT_BUDGET, a_context(PLAIN),
    ),
    Case(
        environment.unreachable,
        a_context("Error: page.goto: net::ERR_NAME_NOT_RESOLVED at http://shop.internal/"),
        Owner.ENVIRONMENT, Mechanism.DNS, a_context(PLAIN),
    ),
    Case(
        environment.named_trouble, a_context("OSError: [Errno 28] No space left on device"),
        Owner.ENVIRONMENT, Mechanism.RESOURCE_EXHAUSTION, a_context(PLAIN),
    ),
    Case(
        environment.crashed, a_context("Error: page.click: Target page, context or browser has been closed"),
        Owner.ENVIRONMENT, Mechanism.PROCESS_CRASH, a_context(PLAIN),
    ),
    Case(
        environment.suite_code, a_context("ReferenceError: cart is not defined\n    at /e2e/a.spec.ts:3:1"),
        Owner.TEST, Mechanism.UNHANDLED_EXCEPTION, a_context(PLAIN),
    ),
    Case(
        environment.suite_setup,
        a_context("browserType.launch: Executable doesn't exist at /ms/chromium", tests=()),
        Owner.ENVIRONMENT, Mechanism.CONFIGURATION, a_context(PLAIN),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rule_speaks_of_what_it_is_about(case: Case) -> None:
    """Through the engine the rule alone yields its owner and mechanism, with evidence and a fix."""
    diagnosis = diagnose(case.positive, accept_all, (case.rule,))

    assert (case.owner, case.mechanism) == (diagnosis.owner, diagnosis.mechanism)
    assert all((diagnosis.evidence, diagnosis.component, diagnosis.root_cause, diagnosis.suggested_fix))  # fmt: skip
    assert "\n" not in diagnosis.root_cause


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rule_is_silent_on_the_rest(case: Case) -> None:
    """A failure of another kind is no business of the rule."""
    claim = case.rule(case.negative)

    assert claim is None or claim.mechanism is not case.mechanism


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_rules_together_find_it(case: Case) -> None:
    """With every rule asked, the right reading is the diagnosis or among its alternatives."""
    diagnosis = diagnose(case.positive, accept_all)

    told = [diagnosis.mechanism, *(a.mechanism for a in diagnosis.alternatives)]
    assert case.mechanism in told


def test_every_rule_has_a_case() -> None:
    """No rule is registered without an example and a counter-example."""
    assert {case.name for case in CASES} >= {name_of(rule) for rule in RULES} - {
        "environment.output_error"
    }


def test_what_the_test_printed_is_read() -> None:
    """An error that was printed while the test ran is told, and a quiet test tells none."""
    context = a_context("AssertionError: no page")
    printed = printing(context, "up\nValueError: no such coupon\n")
    diagnosis = diagnose(printed, accept_all, (environment.output_error,))

    assert Owner.PRODUCT == diagnosis.owner
    assert "ValueError: no such coupon" in [e.quote for e in diagnosis.evidence]
    assert environment.output_error(context) is None


@given(
    st.text(min_size=1) | st.sampled_from([c.positive.fact.failure.message for c in CASES]),
    st.sampled_from([None, AWAY, DIED, BOOM, RACING, LOCKED, ANSWERED, REFUSED, SLOW]),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_every_incident_is_diagnosed(
    message: str, cause: object, is_flaky: bool, has_tests: bool
) -> None:
    """Any text with any cause yields a diagnosis in full, with every strength in [0, 1]."""
    context = a_context(message, cause, is_flaky=is_flaky)  # type: ignore[arg-type]
    if not has_tests:
        context = replace(context, tests=(), services=())
    claims = [claim for rule in RULES if (claim := rule(context))]
    diagnosis = diagnose(context, accept_all)

    assert all(0 <= claim.strength <= 1 for claim in claims)
    assert diagnosis.root_cause
    assert diagnosis.suggested_fix
    assert diagnosis.component

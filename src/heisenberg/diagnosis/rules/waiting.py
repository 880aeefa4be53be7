"""Rules about tests that look too early, wait too little, or for too much."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Citation, Claim
from heisenberg.diagnosis.context import clip
from heisenberg.diagnosis.rules.code import SLEEP
from heisenberg.model.diagnosis import Mechanism, Owner, Symptom

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context

_ONE_LOOK = re.compile(
    r"expect\(\s*await\b|\.(?:count|textContent|innerText|inputValue|isVisible|isEnabled|allTextContents|isChecked)\(\)"
    r"|\.(?:text_content|inner_text|is_visible|all_text_contents)\(\)|find_element|getText\(\)"
)
_BUDGET = re.compile(
    r"(?:[Tt]imeout|timed out|[Tt]imeout of)[^\d\n]{0,20}(?P<ms>\d+(?:\.\d+)?)\s?ms"
)
SMALL_TEST_MS = 5000
"""A whole test in a browser that is given less than this has hardly time to begin."""
_SMALL_BUDGET_MS = 3000


def fixed_sleep(context: Context) -> Claim | None:
    """The test sleeps for a fixed time and then looks once."""
    sleeps = SLEEP.findall(context.code)
    f = context.fact
    if not sleeps or f.is_polling:
        return None
    if f.symptom not in (Symptom.ASSERTION, Symptom.TIMEOUT, Symptom.OTHER):
        return None
    return Claim(
        Owner.TEST,
        Mechanism.ASYNC_WAIT,
        0.85 if context.is_flaky else 0.6,
        "test",
        f"The test sleeps for a fixed time ({sleeps[-1]}) and then looks once; "
        "when the product needs a little longer, it sees the state before.",
        "Replace the sleep by a wait for the state itself (a web-first assertion, or polling until it holds).",
        context.cite_failure(sleeps[-1], f.code, f"eceived: {f.received}", f.headline),
    )


def read_too_early(context: Context) -> Claim | None:
    """The test reads the page once, without waiting for what it wants to see."""
    f = context.fact
    if f.is_polling or not f.has_received or SLEEP.search(context.code):
        return None
    if not _ONE_LOOK.search(f.code):
        return None
    return Claim(
        Owner.TEST,
        Mechanism.ASYNC_WAIT,
        0.72 if context.is_flaky else 0.4,
        "test",
        f"The test reads the value once and does not wait for it to settle: it saw {f.received} before {f.expected} was there.",
        "Use an assertion that retries until the state holds, rather than one look.",
        context.cite_failure(f.code, f"eceived: {f.received}", f.headline),
    )


def raced_page(context: Context) -> Claim | None:
    """Passes and fails on the same code although the test waits as it should."""
    f = context.fact
    if not context.is_flaky or not f.is_polling or f.network_error or context.cause:
        return None
    return Claim(
        Owner.PRODUCT,
        Mechanism.RACE,
        0.5,
        context.answering[0] if context.answering else "front end",
        f"{f.locator or 'The page'} stays wrong for as long as the test waits, though the same test passes on the same code: "
        "what the page shows depends on the order in which things arrive.",
        "Look for answers that arrive out of order or twice (a stale one overwriting a newer), and let only the last count.",
        context.cite_symptom(),
        missing=("a trace of a failing and a passing attempt, to compare the order of requests",),
    )


def short_budget(context: Context) -> Claim | None:
    """The wait is given less time than usual."""
    f = context.fact
    if not f.timeout_ms or f.timeout_ms >= _SMALL_BUDGET_MS or f.network_error:
        return None
    return Claim(
        Owner.TEST,
        Mechanism.TIMEOUT_BUDGET,
        0.62 if f.timeout_ms < _SMALL_BUDGET_MS / 2 else 0.5,
        "test",
        f"The test gives {f.locator or f.url or f.action or 'the operation'} only {f.timeout_ms:g} ms.",
        "Give the wait the time that the operation takes at its slowest in CI.",
        context.cite_failure(f"{f.timeout_ms:g}", f.code, f.headline),
    )


def ran_out_of_time(context: Context) -> Claim | None:
    """The budget of the test, or of a wait without a locator, ran out."""
    f = context.fact
    if not f.is_test_timeout and not (f.symptom is Symptom.TIMEOUT and not f.locator):
        return None
    # The budget of the test is told in a failure of its own, beside the wait that ran into it.
    told = [x for t in context.tests for x in t.attempt.failures if _BUDGET.search(x.message)]
    lines = [clip(x.message.splitlines()[0]) for x in told[:1]]
    budget = _BUDGET.search(lines[0]) if lines else None
    is_short = budget is not None and float(budget["ms"]) <= SMALL_TEST_MS
    return Claim(
        Owner.TEST,
        Mechanism.TIMEOUT_BUDGET,
        0.6 if is_short else 0.4,
        "test",
        f"The test ran out of time ({(lines or [f.headline])[0].rstrip('.')}).",
        "See which step took the time: split the test, wait for less, or mend what is slow.",
        (
            *(Citation(line, place=told[0].place) for line in lines),
            *context.cite_failure(f.headline, f.code),
        ),
        missing=("a trace or the steps of the attempt, to see where the time went",),
    )

"""What a fingerprint holds on to, and what it lets go."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import facts_of
from heisenberg.analysis.fingerprint import ALGORITHM, digest, fingerprint

TEMPLATE = """Error: expect(locator).toHaveText(expected) failed

Locator: getByTestId('order-{id}')
Expected: "{amount} EUR"
Received: "0 EUR"
Timeout: 5000ms

> 12 |   await expect(total).toHaveText(amount);
    at /tmp/run-{id}/shop.spec.ts:{line}:9
"""


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 999))
def test_the_same_failure_has_the_same_name(number: int, amount: int, line: int) -> None:
    """Ids, amounts, folders and line numbers do not tell two failures apart."""
    one = facts_of(TEMPLATE.format(id=7, amount=48, line=12))
    two = facts_of(TEMPLATE.format(id=number, amount=amount, line=line))

    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    "other",
    [
        TEMPLATE.replace("toHaveText", "toContainText"),
        TEMPLATE.replace("order-", "cart-"),
        TEMPLATE.replace('"0 EUR"', '"free"'),
        "TimeoutError: locator.click: Timeout 5000ms exceeded.",
        "Error: page.goto: net::ERR_CONNECTION_REFUSED at http://localhost:4173/",
        "Error: page.goto: net::ERR_NAME_NOT_RESOLVED at http://localhost:4173/",
    ],
)
def test_different_failures_have_different_names(other: str) -> None:
    """Another assertion, locator, kind of value or error is another failure."""
    one = facts_of(TEMPLATE.format(id=7, amount=48, line=12))

    assert fingerprint(one) != fingerprint(facts_of(other.replace("{id}", "7")))


@given(st.text(min_size=1))
def test_a_name_tells_its_algorithm(text: str) -> None:
    """Any failure's fingerprint is the algorithm with its version and 16 hexadecimal digits."""
    assert re.fullmatch(rf"{ALGORITHM}:[0-9a-f]{{16}}", fingerprint(facts_of(text)))
    assert re.fullmatch(r"[a-z]+-v\d+", ALGORITHM)


@given(st.text(st.characters()), st.text(st.characters()))
def test_digests_tell_texts_apart(one: str, two: str) -> None:
    """Equal texts have equal digests, and no two others that are ever seen."""
    assert (one == two) == (digest(one) == digest(two))

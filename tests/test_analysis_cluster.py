"""Laws of grouping failed tests into incidents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_record, a_suspect, at, failed
from heisenberg.analysis.cluster import cluster
from heisenberg.model.correlation import Cluster, Correlation, FailedTest, Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism
from heisenberg.model.logs import Level

if TYPE_CHECKING:
    from random import Random

VALUE = (
    "Error: expect(locator).toHaveText(expected) failed\n\nLocator: locator('{}')\n"
    'Expected: "{}"\nReceived: "{}"\nTimeout: 5000ms'
)
GONE = "TimeoutError: locator.click: Timeout 5000ms exceeded.\nCall log:\n  - waiting for getByTestId('{}')"  # fmt: skip
MESSAGES = (
    VALUE.format("#a", "3 EUR", "4 EUR"),
    VALUE.format("#b", "30 EUR", "40 EUR"),
    VALUE.format("#c", "paid", "open"),
    GONE.format("pay"),
    GONE.format("buy"),
    "Error: page.goto: net::ERR_CONNECTION_REFUSED at http://localhost:80/a",
    "AssertionError: assert 500 == 200",
    "it went wrong",
)
CRASH = a_suspect(
    root=a_record(1, "boom", Level.ERROR), trouble=Mechanism.UNHANDLED_EXCEPTION, error="TypeError: x"
)  # fmt: skip
OTHER = a_suspect(
    root=a_record(1.2, "bang", Level.ERROR), trouble=Mechanism.UNHANDLED_EXCEPTION, error="KeyError: y"
)  # fmt: skip
POOL = a_suspect(
    SuspectKind.ERROR,
    a_record(1.1, "couldn't get a connection", Level.ERROR),
    trouble=Mechanism.DATABASE_CONNECTION,
)
AWAY = a_suspect(SuspectKind.OUTAGE, a_record(0.9, "Shutting down", service="db"), until=at(2))
WEAK = a_suspect(SuspectKind.WARNING, a_record(1, "hm", Level.WARNING), score=0.15)
SUSPECTS = (CRASH, OTHER, POOL, AWAY, WEAK)

Drawn = tuple[str, list[tuple[Suspect, float]], bool]
TESTS = st.lists(
    st.tuples(
        st.sampled_from(MESSAGES),
        st.lists(st.tuples(st.sampled_from(SUSPECTS), st.floats(0.1, 1)), max_size=3),
        st.booleans(),
    ),
    max_size=9,
)


def built(drawn: list[Drawn]) -> list[FailedTest]:
    """Tests with suspects best first, one a signature, as correlating yields them."""
    tests = []
    for n, (message, near, is_flaky) in enumerate(drawn):
        scored = {s.signature: replace(s, score=score) for s, score in near}
        ranked = sorted(scored.values(), key=lambda s: -s.score)
        tests.append(failed(f"test {n}", message, *ranked, start=2 * n, is_flaky=is_flaky))
    return tests


def grouped(tests: list[FailedTest]) -> tuple[Cluster, ...]:
    return cluster(Correlation(tuple(tests)))


def sets(clusters: tuple[Cluster, ...]) -> set[frozenset[str]]:
    return {frozenset(t.test.id.title for t in c.tests) for c in clusters}


@given(TESTS)
@settings(deadline=None)
def test_clusters_are_a_partition(drawn: list[Drawn]) -> None:  # fmt: skip
    """Each test is in exactly one cluster, no cluster is empty, and the larger come first."""
    tests = built(drawn)
    clusters = grouped(tests)

    told = [t.test.id.title for c in clusters for t in c.tests]
    assert sorted(t.test.id.title for t in tests) == sorted(told)
    assert all(c.tests for c in clusters)
    sizes = [len(c.tests) for c in clusters]
    assert sizes == sorted(sizes, reverse=True)


@given(TESTS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_tests_does_not_decide(drawn: list[Drawn], shuffle: Random) -> None:
    """The same tests in any order fall into the same clusters."""
    tests = built(drawn)
    other = list(tests)
    shuffle.shuffle(other)

    assert sets(grouped(tests)) == sets(grouped(other))
    assert grouped(tests) == grouped(tests)


def test_one_cause_with_different_messages_is_one() -> None:
    """Tests near one exception are one incident, whatever each of them saw."""
    clusters = grouped([failed(f"t{n}", m, CRASH) for n, m in enumerate(MESSAGES)])

    assert 1 == len(clusters)
    assert clusters[0].cause == CRASH


def test_two_causes_with_alike_messages_stay_two() -> None:
    """Tests that saw the same, for two exceptions, are two incidents."""
    tests = [failed("a", MESSAGES[2], CRASH), failed("b", MESSAGES[2], OTHER)]

    assert {frozenset("a"), frozenset("b")} == sets(grouped(tests))


@pytest.mark.parametrize("message", MESSAGES[2:6])
def test_one_silent_cause_is_one(message: str) -> None:
    """Without logs the same value, locator or host is one cause."""
    assert 1 == len(grouped([failed("a", message), failed("b", message)]))


def test_two_locators_that_are_nowhere_are_two() -> None:
    """Messages that are alike but for the locator are two causes."""
    assert 2 == len(grouped([failed("a", MESSAGES[3]), failed("b", MESSAGES[4])]))


def test_a_weak_suspect_does_not_join() -> None:
    """A warning that is hardly suspected makes no incident of different failures."""
    assert 2 == len(grouped([failed("a", MESSAGES[3], WEAK), failed("b", MESSAGES[4], WEAK)]))


def test_an_outage_takes_in_what_it_broke() -> None:
    """Errors of infrastructure while a service was away belong to its outage."""
    clusters = grouped([failed("a", MESSAGES[2], AWAY), failed("b", MESSAGES[6], POOL)])

    assert 1 == len(clusters)
    assert clusters[0].cause == AWAY


def test_an_outage_does_not_take_in_a_bug() -> None:
    """A fault in the code at the time of an outage is its own incident."""
    tests = [failed("a", MESSAGES[2], AWAY), failed("b", MESSAGES[6], CRASH)]

    assert 2 == len(grouped(tests))


def test_values_off_by_one_amount_are_one() -> None:
    """Sums that are all too high by the same telling amount are computed wrong in one place."""
    tests = [
        failed("a", VALUE.format("#cart", "48.00", "43.01")),
        failed("b", VALUE.format("#order", "100.00", "95.01"), file="b.spec.ts"),
        failed("c", VALUE.format("#stock", "10", "7"), file="c.spec.ts"),
    ]

    assert {frozenset("ab"), frozenset("c")} == sets(grouped(tests))

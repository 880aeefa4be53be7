"""Laws of intervals, and when inside an attempt a cause must lie."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from builders import a_run, a_test, an_attempt, at, facts_of
from heisenberg.analysis.windows import Span, Spans, merge, run_span, subtract, window

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 15)).map(lambda t: Span(at(t[0]), at(t[0] + t[1]))),
    max_size=8,
)  # fmt: skip
WHOLE = Span(at(0), at(100))
HALF_SECONDS = [at(n / 2 + 0.25) for n in range(160)]
"""Moments off every end."""


@given(SPANS)
def test_merging_keeps_every_moment(spans: list[Span]) -> None:
    """Merged spans are sorted, disjoint, and hold just the moments that the spans held."""
    merged = merge(spans)

    assert all(a.end < b.start for a, b in pairwise(merged))
    assert all(
        any(s.holds(t) for s in spans) == any(m.holds(t) for m in merged) for t in HALF_SECONDS
    )
    assert merged == merge(merged)
    assert merged == merge(reversed(spans))


@given(SPANS, SPANS)
def test_subtracting_leaves_what_no_hole_holds(spans: list[Span], holes: list[Span]) -> None:
    """What is left is sorted, and holds just the moments of the spans that are in no hole."""
    left = subtract(spans, holes)

    assert left == sorted(left, key=lambda s: s.start)
    assert all(
        any(s.holds(t) for s in left)
        == (any(s.holds(t) for s in spans) and not any(h.holds(t) for h in holes))
        for t in HALF_SECONDS
    )
    assert sum(s.seconds for s in left) <= sum(s.seconds for s in merge(spans))


@given(SPANS, SPANS)
def test_spans_are_asked_together(spans: list[Span], others: list[Span]) -> None:
    """Whether one overlaps and how far the nearest is, as if each were asked."""
    together = Spans(spans)

    for other in others:
        apart = [max(other.start - s.end, s.start - other.end, timedelta()) for s in spans]
        assert together.overlaps(other) == any(s.overlaps(other) for s in spans)
        assert together.distance(other) == min(apart, default=None)


def test_the_focus_of_a_wait_is_about_its_beginning() -> None:
    """When a wait timed out, the cause lies near when it began, not when it gave up."""
    facts = facts_of("TimeoutError: locator.click: Timeout 10000ms exceeded.")
    found = window(an_attempt(0, 20, "x"), facts, WHOLE)

    assert found.focus.holds(at(10))
    assert not found.focus.holds(at(19))
    assert found.span.holds(at(19))


def test_the_focus_of_an_assertion_is_its_end() -> None:
    """When nothing was waited for, the cause lies shortly before the end."""
    found = window(an_attempt(0, 20, "x"), facts_of("AssertionError: assert 1 == 2"), WHOLE)

    assert found.focus.holds(at(19.5))
    assert not found.focus.holds(at(5))


@given(st.floats(0, 50), st.floats(0, 30), st.sampled_from([None, 1, 5000, 60_000]))
def test_the_focus_lies_in_the_window(start: float, seconds: float, wait: int | None) -> None:
    """Whatever the times are, the window holds the attempt and the focus lies in the window."""
    facts = facts_of(f"Error: locator.click: Timeout {wait}ms exceeded" if wait else "Error: no")
    found = window(an_attempt(start, seconds, "x"), facts, WHOLE)

    assert found.span.start <= found.focus.start <= found.focus.end <= found.span.end
    assert found.span.holds(at(start))


def test_an_attempt_without_times_has_the_window_of_the_run() -> None:
    """A report that does not tell when an attempt ran leaves the whole run, and says so."""
    found = window(an_attempt(None, message="x"), None, WHOLE)

    assert (WHOLE, False) == (found.span, found.is_exact)


def test_the_run_spans_its_attempts() -> None:
    """A run lasts from its first start to its last end; without any time it has no span."""
    run = a_run(a_test("one", an_attempt(5, 2)), a_test("two", an_attempt(3, 1)))

    assert Span(at(3), at(7)) == run_span(run)
    assert run_span(a_run(a_test("one", an_attempt()))) is None

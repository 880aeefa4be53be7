"""Laws of turning a strength into a confidence."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from heisenberg.diagnosis.calibration import POINTS, calibrated


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_stronger_is_never_less_sure(one: float, two: float) -> None:
    """Confidence lies in [0, 1] and does not fall as strength rises, whatever the strength."""
    low, high = sorted((one, two))

    assert 0 <= calibrated(low) <= calibrated(high) <= 1


def test_the_points_hold() -> None:
    """At each of its points the curve passes through it, and the points ascend."""
    assert [share for _, share in POINTS] == [calibrated(strength) for strength, _ in POINTS]
    assert all(a < b for a, b in pairwise(POINTS))

"""Laws of turning a strength, or what an engine states, into a confidence."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.diagnosis.calibration import (
    BINS,
    CEILING,
    POINTS,
    PRIOR_WEIGHT,
    Calibration,
    calibrated,
    learn,
    read_calibration,
    write_calibration,
)
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

SHARES = st.floats(0, 1)
RECORDS = st.lists(st.tuples(SHARES, st.sampled_from([0.0, 0.5, 1.0])), max_size=200)
ROUNDING = 1e-4
"""Confidences have four digits."""


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_stronger_is_never_less_sure(one: float, two: float) -> None:
    """Confidence lies in [0, 1] and does not fall as strength rises, whatever the strength."""
    low, high = sorted((one, two))

    assert 0 <= calibrated(low) <= calibrated(high) <= 1


def test_the_points_hold() -> None:
    """At each of its points the curve passes through it, and the points ascend."""
    assert [share for _, share in POINTS] == [calibrated(strength) for strength, _ in POINTS]
    assert all(a < b for a, b in pairwise(POINTS))


@given(RECORDS, st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_what_is_learned_keeps_the_order(
    records: list[tuple[float, float]], one: float, two: float
) -> None:
    """Whatever came true, a stronger word is never told as less sure, and nothing as certain."""
    learned = learn(records)
    low, high = sorted((one, two))

    assert 0 <= learned(low) <= learned(high) <= CEILING
    assert len(records) == learned.records


@given(st.floats(0.0999, 0.1001), st.floats(0.0999, 0.1001), st.integers(1, 9))
def test_bins_whose_records_touch(one: float, two: float, count: int) -> None:
    """Records on both sides of a border between bins, however close, can be learned from."""
    learned = learn([(one, 1.0)] * count + [(two, 0.0)] * count)

    assert learned(min(one, two)) <= learned(max(one, two))


@given(SHARES)
def test_nothing_is_changed_without_records(stated: float) -> None:
    """An engine of which nothing is known is taken at its word, up to the ceiling."""
    assert round(min(stated, CEILING), 4) == learn([])(stated)


@given(st.floats(0.05, 0.95), SHARES, st.integers(1, 3))
def test_few_records_change_little(stated: float, share: float, count: int) -> None:
    """What is told moves by no more than the records weigh against the prior."""
    learned = learn([(stated, share)] * count)

    assert abs(learned(stated) - stated) <= count / (count + PRIOR_WEIGHT) + ROUNDING


@given(SHARES, st.floats(0, 1), st.sampled_from([1_000, 20_000]))
def test_many_records_are_believed(stated: float, share: float, count: int) -> None:
    """The more records, the closer what is told comes to the share that came true."""
    right = round(count * share)
    learned = learn([(stated, 1.0)] * right + [(stated, 0.0)] * (count - right))

    observed = min(right / count, CEILING)
    prior = BINS * PRIOR_WEIGHT
    assert abs(learned(stated) - observed) <= prior / (count + prior) + ROUNDING


def test_an_engine_that_boasts_is_brought_down() -> None:
    """Of diagnoses stated at 0.9 of which half were right, the next is told at about a half."""
    learned = learn([(0.9, float(number % 2)) for number in range(200)])

    assert [0.55, 0.56, 0.65] == [round(learned(stated), 2) for stated in (0.9, 0.91, 1.0)]
    assert 0.3 == round(learned(0.3), 2)


def test_partly_right_counts_half() -> None:
    """Ten that were half right say the same as five right and five wrong."""
    assert learn([(0.8, 0.5)] * 10) == learn([(0.8, 1.0), (0.8, 0.0)] * 5)


@given(RECORDS)
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[float, float]]
) -> None:
    """Reading what was written gives an equal calibration."""
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    write_calibration(path, learn(records))

    assert learn(records) == read_calibration(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "\udcff",
        '{"schema": "heisenberg.calibration/2"}',
        '{"points": [[0.5, 0.5], [0.4, 0.6]]}',
        '{"points": [[0.5, 0.5], [0.6, 0.4]]}',
        '{"points": [[0.5, 1.5]]}',
        '{"points": [[0.5]]}',
        '{"records": -1}',
        '{"extra": 1}',
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, content: str) -> None:
    """What is no calibration, or descends, is a wrong use that names the file."""
    path = tmp_path / "calibration.json"
    path.write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(UsageError, match=r"calibration\.json: no calibration"):
        read_calibration(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Neither reading nor writing where nothing can be is more than one line."""
    path = tmp_path / "no" / "calibration.json"

    with pytest.raises(UsageError, match=r"calibration\.json: No such file"):
        read_calibration(path)
    with pytest.raises(UsageError, match=r"calibration\.json: No such file"):
        write_calibration(path, Calibration())

"""What normalising masks, keeps and folds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heisenberg.analysis.normalize import MASKS, MAX_LENGTH, normalize

EXAMPLES = {
    "uuid": "order 3f2b8c1e-9d47-4a6f-8b1e-0c5d7e9f1a2b is gone",
    "time": "due 2026-03-04T12:00:01.250Z is past",
    "date": "due 2026-03-04 is past",
    "clock": "woke at 12:00:01 sharp",
    "email": "no account ann.b+x@shop.example today",
    "address": "no answer from 10.0.4.17:5432 yet",
    "pointer": "<Cart object at 0x7f1c0b2d>",
    "temp": "cannot open /tmp/pw-x81/trace.zip now",
    "hex": "trace 9f86d081884c7d65 was lost",
    "duration": "gave up after 5000 ms of waiting",
    "number": "seat 14 is taken",
}
PIECES = st.sampled_from(
    [
        *EXAMPLES.values(),
        *"<>-+_.:/@ \n\t",
        "number",
        "12",
        "e7",
        "0x",
        "localhost:80",
        "/tmp/",  # noqa: S108 -- a text, not a path
        "5s",
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=12).map("".join)


@pytest.mark.parametrize("mask", [mask.name for mask in MASKS])
def test_each_mask_has_an_example(mask: str) -> None:
    """Every mask takes its own kind of text, and no other takes a part of it."""
    masked = normalize(EXAMPLES[mask])

    assert [mask] == re.findall(r"<(\w+)>", masked)


@given(TEXTS)
@settings(deadline=None)
def test_masking_twice_changes_nothing(text: str) -> None:
    """A masked text is its own mask, without white space but single spaces inside."""
    once = normalize(text)

    assert once == normalize(once)
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("order 12 not found", "order 977 not found"),
        ("at 12:01:02 in 3.1s", "at 23:59:59 in 12.75s"),
        ("run-1 of ann@a.example", "run-22 of bob@b.example"),
        ("key  a1b2c3d4e5\nis gone", "key ffee9988aa is gone"),
    ],
)
def test_what_varies_is_masked(one: str, two: str) -> None:
    """Two tellings of one failure that differ in ids, times and numbers read the same."""
    assert normalize(one) == normalize(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("order not found", "user not found"),
        ("utf8 is wrong", "latin is wrong"),
        ("read timed out", "write timed out"),
    ],
)
def test_words_are_kept(one: str, two: str) -> None:
    """Two failures that differ in words read differently."""
    assert normalize(one) != normalize(two)


@pytest.mark.parametrize("unit", ["a", "1", "a@", "a.", "f0", "-", "1.", "1,", "0x", "1:", " ", "1x "])  # fmt: skip
def test_a_long_text_is_cut(unit: str) -> None:
    """Of an endless text only the beginning is looked at, whatever it repeats."""
    started = time.process_time()
    masked = normalize(unit * 1_000_000)
    elapsed_s = time.process_time() - started

    assert len(masked) <= MAX_LENGTH
    assert masked == normalize(masked)
    assert elapsed_s < 0.5

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.diagnosis.providers.json_text import find_json


@given(st.dictionaries(st.text(), st.text() | st.integers(), min_size=1))
def test_an_object_is_found_in_whatever_is_round_it(value: dict[str, Any]) -> None:
    """Bare, fenced, or the only one in prose, it comes out the same."""
    bare = json.dumps(value)

    for around in ("{}", "\n {} \n", "```json\n{}\n```", "```\n{}\n```", "Here: {} Good luck."):
        assert value == json.loads(find_json(around.replace("{}", bare)))


@given(st.text())
def test_what_is_no_single_object_is_left_to_the_reader(text: str) -> None:
    """No text makes it fail, and nothing is invented."""
    assert find_json(text) in text


@pytest.mark.parametrize(
    "answer",
    ['{"a": 1} or {"a": 2}', "no object", "", "```json\n{}\n```\n```json\n{}\n```", '{"a": [1,'],
)
def test_what_is_not_clear_is_not_guessed(answer: str) -> None:
    """Two objects, none, or a broken one come back as they are."""
    assert answer == find_json(answer)


@pytest.mark.parametrize(
    "hostile", ["{" * 10**6, '{"a":' * 10**6, "x{" * 10**6, "```json\n" * 10**5]
)
def test_a_hostile_answer_is_looked_through_in_no_time(hostile: str) -> None:
    """A megabyte of braces does not take a minute."""
    started = time.perf_counter()
    find_json(hostile)

    assert time.perf_counter() - started < 2

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from heisenberg.model.failure import Failure
from heisenberg.model.run import Artefact, Attempt, Outcome, Place, Run, Status, Test, TestId
from heisenberg.readers import registry
from heisenberg.readers.merge import merge

DATA = Path(__file__).parent / "data" / "readers"
START = datetime(2026, 1, 1, tzinfo=UTC)


def read(name: str) -> Run:
    path = DATA / name
    return registry.read(Artefact(name, path, path.stat().st_size))


def run(source: str, minute: int, **statuses: Status) -> Run:
    start = START + timedelta(minutes=minute)
    place = Place(source)
    tests = tuple(
        Test(
            TestId("a.ts", (title,)),
            (
                Attempt(
                    status,
                    started_at=start,
                    duration_ms=float(7 + i),
                    worker=0,
                    failures=(Failure("boom", place),) if status is Status.FAILED else (),
                ),
            ),
        )
        for i, (title, status) in enumerate(statuses.items())
    )
    return Run(tests, started_at=start, duration_ms=30_000, sources=(source,), workers=1)


def test_one_run_in_two_formats_counts_once() -> None:
    """JSON and JUnit of one run are one run, told by the richer."""
    merged = merge([read("playwright-junit.xml"), read("playwright.json")])

    assert 20 == len(merged.tests)
    assert {"playwright.json", "playwright-junit.xml"} == set(merged.sources)
    assert all(a.started_at for t in merged.tests for a in t.attempts)


def test_a_retried_job_adds_attempts() -> None:
    """Failed in one run and passed in a later one is flaky, with both attempts."""
    merged = merge([run("2", 5, a=Status.PASSED), run("1", 0, a=Status.FAILED)])

    (test,) = merged.tests
    assert [Status.FAILED, Status.PASSED] == [a.status for a in test.attempts]
    assert [0, 1] == [a.retry for a in test.attempts]


def test_a_failure_beside_a_pass_is_another_project() -> None:
    """Of two runs at the same time neither is the other's retry."""
    merged = merge([run("x", 0, a=Status.FAILED), run("y", 0, a=Status.PASSED)])

    assert {Outcome.FAILED, Outcome.PASSED} == {t.outcome for t in merged.tests}


def test_workers_of_shards_are_different_workers() -> None:
    """Attempts of one worker never overlap, so shards' workers are numbered on."""
    merged = merge([run("1", 0, a=Status.PASSED), run("2", 0, b=Status.PASSED)])

    assert [0, 1] == [a.worker for t in merged.tests for a in t.attempts]
    assert 2 == merged.workers


def test_nothing_merges_to_nothing() -> None:
    """No reports make a run without tests."""
    assert Run(tests=()) == merge([])


_STATUSES = st.sampled_from([Status.PASSED, Status.FAILED, Status.SKIPPED])
_RUNS = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from("abcd"), _STATUSES)), max_size=4
)


@settings(max_examples=150)
@given(specs=_RUNS, data=st.data())
def test_order_does_not_matter_and_no_red_is_lost(
    specs: list[tuple[int, dict[str, Status]]], data: st.DataObject
) -> None:
    """Any order of reports gives one outcome, in which every red title is still red."""
    runs = [run(f"{i}.json", minute, **statuses) for i, (minute, statuses) in enumerate(specs)]
    shuffled = data.draw(st.permutations(runs))

    merged, again = merge(runs), merge(shuffled)

    assert merged == again
    red = {t.id.titles for r in runs for t in r.tests if t.outcome is Outcome.FAILED}
    bad = {Outcome.FAILED, Outcome.FLAKY}
    assert red == {t.id.titles for t in merged.tests if t.outcome in bad}
    assert {t.id.titles for r in runs for t in r.tests} == {t.id.titles for t in merged.tests}


def test_merging_a_run_with_its_copy_changes_nothing() -> None:
    """A report found twice counts once."""
    one = run("a.json", 0, a=Status.FAILED, b=Status.PASSED)

    merged = merge([one, replace(one, sources=("b.json",))])

    assert one.tests == merged.tests

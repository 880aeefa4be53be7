from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import quoteattr

from hypothesis import example, given, settings
from hypothesis import strategies as st

from heisenberg.errors import ReadError
from heisenberg.model.run import Artefact, Run
from heisenberg.readers import registry

DATA = Path(__file__).parent / "data" / "readers"
REPORTS = [
    (DATA / n).read_bytes() for n in ("playwright.json", "playwright-junit.xml", "ctrf.json")
]

_TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)
_OUTCOMES = st.lists(
    st.tuples(_TITLES, st.sampled_from(["passed", "failed", "skipped"])), max_size=9
)


def read(data: bytes) -> Run | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(data)
        try:
            return registry.read(Artefact("x", path, len(data)))
        except ReadError as error:
            reason = str(error)
    assert reason
    assert "\n" not in reason
    return None


@settings(max_examples=150)
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"<testsuite>", b'{"results":{"tool":1,"tests":']),
)
def test_any_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    """No input raises anything but a ReadError of one line."""
    read(start + data)


@settings(max_examples=100, deadline=None)
@example(which=0, cut=319, dirt=b"\x80")
@example(which=1, cut=1541, dirt=b"\0")
@given(which=st.integers(0, 2), cut=st.integers(0, 40_000), dirt=st.binary(max_size=4))
def test_damaged_reports_are_read_or_refused(which: int, cut: int, dirt: bytes) -> None:
    """A real report cut off, or overwritten in the middle, never crashes a reader."""
    report = REPORTS[which]
    at = cut % len(report)
    whole = outcomes(read(report)).total()
    found = [read(report[:cut]), read(report[:at] + dirt + report[at + len(dirt) :])]

    assert all(run is None or len(run.tests) <= whole for run in found)


def outcomes(run: Run | None) -> Counter[str]:
    assert run is not None
    return Counter(t.outcome.value for t in run.tests)


@settings(max_examples=60)
@given(cases=_OUTCOMES)
def test_counts_survive_playwright_json(cases: list[tuple[str, str]]) -> None:
    """Every test comes back with its outcome."""
    specs = [
        {"title": title, "tests": [{"results": [{"status": status}], "expectedStatus": "passed"}]}
        for title, status in cases
    ]
    report = {"config": {"rootDir": "/"}, "suites": [{"title": "a", "file": "a", "specs": specs}]}

    assert Counter(s for _, s in cases) == outcomes(read(json.dumps(report).encode()))


@settings(max_examples=60)
@given(cases=_OUTCOMES)
def test_counts_survive_ctrf(cases: list[tuple[str, str]]) -> None:
    """Every test comes back with its outcome."""
    tests = [{"name": title, "status": status} for title, status in cases]
    report = {"results": {"tool": {"name": "x"}, "summary": {}, "tests": tests}}

    assert Counter(s for _, s in cases) == outcomes(read(json.dumps(report).encode()))


@settings(max_examples=60)
@given(cases=_OUTCOMES)
def test_counts_survive_junit(cases: list[tuple[str, str]]) -> None:
    """Every test case of another name comes back with its outcome."""
    body = {"passed": "", "failed": "<failure/>", "skipped": "<skipped/>"}
    xml = "".join(
        f"<testcase classname='c' name={quoteattr(f'{i} {title}')}>{body[status]}</testcase>"
        for i, (title, status) in enumerate(cases)
    )

    run = read(f"<testsuite name='s'>{xml}</testsuite>".encode())

    assert Counter(s for _, s in cases) == outcomes(run)

"""Read JUnit XML of any producer, as it streams by."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from heisenberg.model.run import Attempt, Run, Status, Test, TestId
from heisenberg.readers.content import no_collection
from heisenberg.readers.junit_case import Case, CaseReader
from heisenberg.readers.junit_suite import SuiteReader
from heisenberg.readers.xml_stream import NeedsRepairError, elements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from heisenberg.model.run import Artefact
    from heisenberg.readers.junit_suite import Suite

ROOTS = frozenset({"testsuites", "testsuite", "testcase", "testrun"})
"""Local names of the elements that a report may begin with."""

_CLEAR_EVERY = 256
"""Cases after which those already read are taken out of the tree."""


def sniff(root: str) -> bool:
    """Tell by the local name of the root element whether XML is this format."""
    return root in ROOTS


def read(artefact: Artefact) -> Run:
    """Read every test case.

    Elements win over attributes. A test case that follows a failed one of the same name is its
    retry; one that follows a passed one is a repetition. Characters that XML forbids, which test
    output is full of, are dropped, and `metadata["repaired"]` says so.

    Raises:
        MalformedError: The XML is broken.
        TooLargeError: It is beyond the parser's limits.
    """
    with no_collection():
        try:
            return _Reader(artefact).run(repair=False)
        except NeedsRepairError:
            return _Reader(artefact).run(repair=True)


class _Reader:
    """Collects the tests of one report."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.tests: list[Test] = []
        self.ranges: list[tuple[Suite, int]] = []
        self.paths: list[tuple[str, ...]] = []
        """Of the suite of each test."""
        self.last: dict[TestId, int] = {}
        """Where in `tests` the last repetition of a test is, in the suites that had it first."""
        self.elsewhere: dict[tuple[tuple[str, ...], TestId], int] = {}
        """The same for tests that were met in other suites before."""

    def run(self, *, repair: bool) -> Run:
        suites = SuiteReader(self.artefact)
        cases = CaseReader(self.artefact, repaired=repair)
        suite, parent = suites.current, None
        count = ended = 0
        for element in elements(
            self.artefact, ("testcase", "testsuite", "testsuites"), repair=repair
        ):
            above = element.getparent()
            if not element.tag.endswith("testcase"):
                suites.end(element)
                ended += 1
                if above is not None and ended % _CLEAR_EVERY == 0:
                    del above[:-1]
                continue
            if above is not parent or count == 0:
                parent, suite = above, suites.enter(above, element.get("classname"))
                self.ranges.append((suite, len(self.tests)))
            self.add(cases.read(element, suite), suite)
            count += 1
            if len(element):
                element.clear()
            if above is not None and count % _CLEAR_EVERY == 0:
                del above[:-1]
        self.set_starts(suites)
        return suites.run(tuple(self.told_apart()), repaired=repair)

    def add(self, case: Case, suite: Suite) -> None:
        """Add a case as a test, or as a retry of one that failed."""
        file, titles, attempts, location, tags = case
        test_id = TestId(file, titles, suite.project)
        test = Test(test_id, attempts, Status.PASSED, location, tags)
        number = len(self.tests)
        position = self.last.setdefault(test_id, number)
        if position != number:
            self.add_again(test, suite, position)
        else:
            self.tests.append(test)
            self.paths.append(suite.path)

    def add_again(self, test: Test, suite: Suite, position: int) -> None:
        """Add a case of which a test of the same name is known, at that position."""
        number = len(self.tests)
        is_elsewhere = self.paths[position] != suite.path
        if is_elsewhere:
            position = self.elsewhere.setdefault((suite.path, test.id), number)
        if position != number:
            before = self.tests[position]
            if not suite.is_playwright and before.attempts[-1].status in _RED:
                tried = len(before.attempts)
                again = (replace(a, retry=tried + i) for i, a in enumerate(test.attempts))
                self.tests[position] = replace(before, attempts=(*before.attempts, *again))
                return
            if is_elsewhere:
                self.elsewhere[suite.path, test.id] = number
            else:
                self.last[test.id] = number
            test = replace(test, id=replace(test.id, repeat=before.id.repeat + 1))
        self.tests.append(test)
        self.paths.append(suite.path)

    def told_apart(self) -> list[Test]:
        """Name the suite in the titles of tests that only their suites tell apart."""
        if not self.elsewhere:
            return self.tests
        return self.renamed({test_id for _, test_id in self.elsewhere})

    def renamed(self, shared: set[TestId]) -> list[Test]:
        """Prefix the innermost suite's name; where that does not tell either, count."""
        used: set[TestId] = set()
        tests = []
        for (suite, begin), end in self.spans():
            for test in self.tests[begin:end]:
                test_id = test.id
                if replace(test_id, repeat=0) in shared and not suite.is_playwright and suite.path:
                    test_id = replace(test_id, titles=(suite.path[-1], *test_id.titles))
                while test_id in used:
                    test_id = replace(test_id, repeat=test_id.repeat + 1)
                used.add(test_id)
                tests.append(test if test_id is test.id else replace(test, id=test_id))
        return tests

    def spans(self) -> Iterator[tuple[tuple[Suite, int], int]]:
        """The suites in order, each with the number of its first test and of the next suite's."""
        ends = [begin for _, begin in self.ranges[1:]]
        return zip(self.ranges, (*ends, len(self.tests)), strict=False)

    def set_starts(self, suites: SuiteReader) -> None:
        """Date the attempts of suites whose cases evidently ran one after another."""
        for (suite, begin), end in self.spans():
            if suite.is_playwright or suite.started_at is None:
                continue
            tests = self.tests[begin:end]
            start = suites.sequential_start(suite, tests)
            if start is not None:
                self.tests[begin:end] = _dated(tests, *start)
                suites.metadata["times"] = "estimated"


_RED = frozenset({Status.FAILED, Status.TIMED_OUT, Status.INTERRUPTED})


def _dated(tests: list[Test], start: datetime, gap: timedelta) -> list[Test]:
    """Give each attempt its start, from the durations before it and the time between two."""
    dated = []
    for test in tests:
        attempts: list[Attempt] = []
        for attempt in test.attempts:
            attempts.append(attempt if attempt.started_at else replace(attempt, started_at=start))
            start += timedelta(milliseconds=attempt.duration_ms or 0) + gap
        dated.append(replace(test, attempts=tuple(attempts)))
    return dated

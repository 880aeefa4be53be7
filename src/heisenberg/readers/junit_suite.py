"""What the suites around JUnit test cases say: names, project, times, errors of their own."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from heisenberg.model.failure import Failure
from heisenberg.model.run import Place, Run, Test
from heisenberg.readers.junit_text import clean, join_message, parse_ms, parse_time
from heisenberg.readers.xml_stream import line_of, local_name, text_of

if TYPE_CHECKING:
    from lxml import etree

    from heisenberg.model.run import Artefact

_SLACK_MS = 1000.0
"""A suite may take this much longer than its cases and still have run them one after another."""


class Suite(Struct, frozen=True):
    """The suites that enclose a test case."""

    path: tuple[str, ...] = ()
    """Names, outermost first."""
    project: str = ""
    file: str = ""
    """As the suites tell; with forward slashes when Playwright wrote it."""
    is_playwright: bool = False
    started_at: datetime | None = None
    duration_ms: float | None = None


class SuiteReader:
    """Keeps what the suites said until the run is complete."""

    def __init__(self, artefact: Artefact) -> None:
        self.source = artefact.source
        self.current = Suite()
        self.entered: etree._Element | None = None
        self.outer: etree._Element | None = None
        self.around = _Around()
        self.failures: list[Failure] = []
        self.metadata: dict[str, str] = {}
        self.stamps: Counter[datetime] = Counter()
        self.ended_at: datetime | None = None
        self.started_at: datetime | None = None
        self.duration_ms: float | None = None
        self.suites = 0
        self.suite_ms: float | None = None

    def enter(self, element: etree._Element | None, classname: str | None) -> Suite:
        """Describe the suite that a case of that class stands in."""
        self.entered = element
        if element is None:
            self.current = Suite()
            return self.current
        outer = element.getparent()
        if outer is not self.outer:
            self.outer, self.around = outer, _around(outer)
        around = self.around
        path, file = around.path, around.file
        if local_name(element) == "testsuite":
            path = (*path, (element.get("name") or "").strip())
            file = _file_of(element) or file
        # Playwright's suite is a file, and its `hostname` is the project.
        project = element.get("hostname")
        is_playwright = (
            around.may_be_playwright
            and project is not None
            and len(path) == 1
            and classname == element.get("name")
        )
        self.current = Suite(
            path,
            project if is_playwright and project else "",
            path[-1].replace("\\", "/") if is_playwright else file,
            is_playwright,
            self.time_of(element),
            parse_ms(element.get("time") or ""),
        )
        return self.current

    def time_of(self, element: etree._Element) -> datetime | None:
        """The element's `timestamp`, noting when it does not name its zone."""
        parsed = parse_time(element.get("timestamp") or "")
        if parsed is None:
            return None
        moment, named = parsed
        if not named:
            self.metadata["timezone"] = "assumed"
        return moment

    def end(self, element: etree._Element) -> None:
        """Take what a suite says of itself, and empty it."""
        if element is self.entered:
            started_at, duration_ms = self.current.started_at, self.current.duration_ms
        else:
            started_at, duration_ms = self.time_of(element), parse_ms(element.get("time") or "")
        if local_name(element) == "testsuite":
            self.suites += 1
            self.suite_ms = duration_ms
            self.suite_ended(element, started_at, duration_ms)
        elif duration_ms:
            self.duration_ms = duration_ms
        if started_at is not None and (self.started_at is None or started_at < self.started_at):
            self.started_at = started_at
        if element.getparent() is not None:
            element.clear()

    def suite_ended(
        self, element: etree._Element, started_at: datetime | None, duration_ms: float | None
    ) -> None:
        """Note the suite's times, properties and errors outside its cases."""
        if started_at is not None:
            self.stamps[started_at] += 1
            ended_at = started_at + timedelta(milliseconds=duration_ms or 0)
            self.ended_at = max(self.ended_at or ended_at, ended_at)
        for child in element.iterchildren("{*}error", "{*}failure", "{*}properties"):
            kind = local_name(child)
            if kind != "properties":
                place = Place(self.source, line=line_of(child), near=element.get("name"))
                text = join_message(
                    child.get("message") or "", text_of(child), child.get("type") or ""
                )
                self.failures.append(Failure(text, place, type=child.get("type") or ""))
            else:
                for item in child:
                    name, value = item.get("name"), item.get("value")
                    if name and value and len(value) < 200 and len(self.metadata) < 100:  # noqa: PLR2004 (facts, not environments)
                        self.metadata.setdefault(name, clean(value))

    def sequential_start(
        self, suite: Suite, tests: list[Test]
    ) -> tuple[datetime, timedelta] | None:
        """When the suite began, if its cases evidently ran one after another from then on.

        Returns:
            (start, time between two cases: what the suite took beyond them, spread evenly).
        """
        if suite.started_at is None or suite.duration_ms is None:
            return None
        if self.stamps[suite.started_at] != 1:
            return None
        total = sum(a.duration_ms or 0 for t in tests for a in t.attempts)
        fits = total <= suite.duration_ms + _SLACK_MS / 10
        close = total >= suite.duration_ms / 2 or suite.duration_ms - total <= _SLACK_MS
        if not (fits and close):
            return None
        between = max(0.0, suite.duration_ms - total) / max(1, len(tests))
        return suite.started_at, timedelta(milliseconds=between)

    def run(self, tests: tuple[Test, ...], *, repaired: bool) -> Run:
        """Put the run together."""
        duration_ms = self.duration_ms
        if duration_ms is None and self.suites == 1:
            duration_ms = self.suite_ms
        if duration_ms is None and self.started_at is not None and self.ended_at is not None:
            duration_ms = (self.ended_at - self.started_at) / timedelta(milliseconds=1)
        if self.current.is_playwright:
            self.metadata["producer"] = "playwright"
        if repaired:
            self.metadata["repaired"] = "characters that XML forbids, or over-long texts, left out"
        return Run(
            tests=tests,
            failures=tuple(self.failures),
            started_at=self.started_at,
            duration_ms=duration_ms,
            sources=(self.source,),
            metadata=self.metadata,
        )


class _Around(Struct, frozen=True):
    """What suites share that stand in the same one."""

    path: tuple[str, ...] = ()
    file: str = ""
    may_be_playwright: bool = False
    """Whether the root is as Playwright writes it."""


def _around(element: etree._Element | None) -> _Around:
    """Describe an element that suites stand in, from itself outwards."""
    if element is None:
        return _Around()
    above = [element, *element.iterancestors()]
    suites = [e for e in above if local_name(e) == "testsuite"]
    root = above[-1]
    return _Around(
        tuple((e.get("name") or "").strip() for e in reversed(suites)),
        next((file for file in map(_file_of, suites) if file), ""),
        local_name(root) == "testsuites" and root.get("id") is not None,
    )


def _file_of(suite: etree._Element) -> str:
    """The file that a suite names."""
    return suite.get("file") or suite.get("filepath") or suite.get("filename") or ""

"""What the suites around JUnit test cases say: names, project, times, errors of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from heisenberg.model.failure import Failure
from heisenberg.model.run import Place, Run, Test
from heisenberg.readers.junit_text import clean, join_message, parse_ms, parse_time
from heisenberg.readers.xml_stream import line_of, local_name, text_of

if TYPE_CHECKING:
    from lxml import etree

    from heisenberg.model.run import Artefact

_SLACK_MS = 1000.0
"""A suite may take this much longer than its cases and still have run them one after another."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The suites that enclose a test case."""

    path: tuple[str, ...] = ()
    """Names, outermost first."""
    project: str = ""
    file: str = ""
    is_playwright: bool = False
    started_at: datetime | None = None
    duration_ms: float | None = None


class SuiteReader:
    """Keeps what the suites said until the run is complete."""

    def __init__(self, artefact: Artefact) -> None:
        self.source = artefact.source
        self.current = Suite()
        self.failures: list[Failure] = []
        self.metadata: dict[str, str] = {}
        self.stamps: Counter[datetime] = Counter()
        self.ends: list[datetime] = []
        self.times: list[float | None] = []
        self.started_at: datetime | None = None
        self.duration_ms: float | None = None
        self.suites = 0

    def enter(self, element: etree._Element | None) -> Suite:
        """Describe the suite that a case stands in."""
        if element is None:
            self.current = Suite()
            return self.current
        above = [element, *element.iterancestors()]
        inner, root = above[0], above[-1]
        suites = [e for e in above if local_name(e) == "testsuite"]
        names = tuple((e.get("name") or "").strip() for e in reversed(suites))
        files = (e.get("file") or e.get("filepath") or e.get("filename") or "" for e in suites)
        is_playwright = _is_playwright(inner, root)
        self.current = Suite(
            path=names,
            project=(inner.get("hostname") or "") if is_playwright else "",
            file=next((f for f in files if f), ""),
            is_playwright=is_playwright,
            started_at=self.time_of(inner),
            duration_ms=parse_ms(inner.get("time") or ""),
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
        started_at, duration_ms = self.time_of(element), parse_ms(element.get("time") or "")
        if local_name(element) == "testsuite":
            self.suites += 1
            self.times.append(duration_ms)
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
            self.ends.append(started_at + timedelta(milliseconds=duration_ms or 0))
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
        if suite.is_playwright or suite.started_at is None or suite.duration_ms is None:
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
        if duration_ms is None and len(self.times) == 1:
            duration_ms = self.times[0]
        if duration_ms is None and self.started_at is not None and self.ends:
            duration_ms = (max(self.ends) - self.started_at) / timedelta(milliseconds=1)
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


def _is_playwright(suite: etree._Element, root: etree._Element) -> bool:
    """Whether Playwright wrote it: the suite is a file, its `hostname` is the project."""
    if (
        "hostname" not in suite.attrib
        or "id" not in root.attrib
        or local_name(root) != "testsuites"
    ):
        return False
    first = next(suite.iterchildren("{*}testcase"), None)
    return first is not None and first.get("classname") == suite.get("name")

"""Read one JUnit test case: its attempts, and what each of them said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from heisenberg.model.failure import Failure
from heisenberg.model.run import Attachment, Attempt, Location, Place, Status
from heisenberg.readers import junit_playwright as playwright
from heisenberg.readers.junit_elements import (
    body_of,
    by_name,
    named_children,
    outputs_of,
    tags_of,
)
from heisenberg.readers.junit_identity import UNNAMED, identify
from heisenberg.readers.junit_text import bounded, clean, join_message, parse_ms, parse_time
from heisenberg.readers.xml_lines import LineFinder
from heisenberg.readers.xml_stream import attributes_of, line_of

if TYPE_CHECKING:
    from datetime import datetime

    from lxml import etree

    from heisenberg.model.run import Artefact
    from heisenberg.readers.junit_suite import Suite

Case: TypeAlias = tuple[str, tuple[str, ...], tuple[Attempt, ...], Location | None, tuple[str, ...]]
"""File, title path, attempts, place in the code, tags."""

_MAX_SHARED = 100_000
"""Different durations remembered, each with the attempt that passed in that time."""

_SKIPPED_CHILDREN = frozenset({"skipped", "disabled", "ignored", "skip", "pending"})
_FAILED_CHILDREN = frozenset({"failure", "error"})
_FLAKY_CHILDREN = frozenset({"flakyFailure", "flakyError"})
_RERUN_CHILDREN = frozenset({"rerunFailure", "rerunError"})
_SKIPPED_WORDS = frozenset(
    {"skipped", "skip", "disabled", "ignored", "pending", "notrun", "not_run", "suppressed", "todo"}
)
_TELLING = frozenset({"status", "result", "timestamp"})
"""Attributes that may say more of a case without children than that it passed."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_FAILED_WORDS = frozenset({"failed", "failure", "fail", "error", "broken", "errored"})


class CaseReader:
    """Reads the cases of one report in the order they stand in it."""

    def __init__(self, artefact: Artefact, *, repaired: bool) -> None:
        self.source = artefact.source
        self.lines = LineFinder(artefact)
        self.repaired = repaired
        self.shared: dict[str, tuple[Attempt, ...]] = {}
        self.ordinal = 0

    def read(self, element: etree._Element, suite: Suite) -> Case:
        """Convert one `testcase` element."""
        self.ordinal += 1
        attributes = attributes_of(element)
        name = attributes.get("name", "").strip()
        if suite.is_playwright:
            file, titles = _playwright_titles(attributes.get("classname", ""), name, suite)
        else:
            classname = attributes.get("classname") or attributes.get("class") or ""
            file_attribute = attributes.get("file") or attributes.get("filepath") or suite.file
            file, titles = identify(suite.path, classname.strip(), name, file_attribute)
        location = _location(file, attributes["line"]) if "line" in attributes else None
        if len(element):
            return self.read_children(element, attributes, suite, (file, titles, location))
        time = attributes.get("time", "")
        if _TELLING.isdisjoint(attributes):
            return file, titles, self.shared.get(time) or self.passed(time), location, ()
        status = _told_status(attributes)
        if status is Status.FAILED:
            return self.read_children(element, attributes, suite, (file, titles, location))
        attempt = Attempt(status, 0, _start(attributes), parse_ms(time))
        return file, titles, (attempt,), location, ()

    def passed(self, time: str) -> tuple[Attempt, ...]:
        """One passed attempt, which cases that took the same time share."""
        attempts = (Attempt(Status.PASSED, duration_ms=parse_ms(time)),)
        if len(self.shared) < _MAX_SHARED:
            self.shared[time] = attempts
        return attempts

    def read_children(
        self,
        element: etree._Element,
        attributes: dict[str, str],
        suite: Suite,
        identity: tuple[str, tuple[str, ...], Location | None],
    ) -> Case:
        """Convert a case that says more than that it passed."""
        file, titles, location = identity
        named = named_children(element)
        children = by_name(named)
        tags = tags_of(children)
        failed = [child for name, child in named if name in _FAILED_CHILDREN]
        duration_ms = parse_ms(attributes.get("time", ""))
        if suite.is_playwright:
            output = outputs_of(children)
            place = self.place(element, attributes) if failed or output[0] else Place(self.source)
            attempts, found = _playwright_attempts(failed, children, place, duration_ms, output)
            return file, titles, attempts, found or location, tags
        flaky = [child for name, child in named if name in _FLAKY_CHILDREN]
        rerun = [child for name, child in named if name in _RERUN_CHILDREN]
        start, status = _start(attributes), _status(failed, children, attributes)
        if status is not Status.FAILED and not flaky and not rerun:
            return file, titles, (Attempt(status, 0, start, duration_ms),), location, tags
        place, output = self.place(element, attributes), outputs_of(children)
        tries = [self.failed_try((c,), place, None, None) for c in flaky]
        if status is Status.FAILED:
            tries.append(self.failed_try(tuple(failed), place, start, duration_ms, output))
        elif not rerun:
            out, err = output
            tries.append(Attempt(status, 0, start, duration_ms, (), stdout=out, stderr=err))
        tries += [self.failed_try((c,), place, None, None) for c in rerun]
        return file, titles, _numbered(tries), location, tags

    def failed_try(
        self,
        elements: tuple[etree._Element, ...],
        place: Place,
        start: datetime | None,
        duration_ms: float | None,
        output: tuple[str, str] = ("", ""),
    ) -> Attempt:
        """One attempt that failed, with what each of its elements says."""
        failures = tuple(self.failure(e, place) for e in elements)
        if not failures:
            failures = (Failure(join_message("", "", ""), place),)
        for child in elements:
            if len(child):
                own = outputs_of(by_name(named_children(child)))
                output = (output[0] or own[0], output[1] or own[1])
            duration_ms = (
                duration_ms if duration_ms is not None else parse_ms(child.get("time", ""))
            )
        return Attempt(
            Status.FAILED, 0, start, duration_ms, failures, stdout=output[0], stderr=output[1]
        )

    def failure(self, element: etree._Element, place: Place) -> Failure:
        """What one failure element says."""
        kind = (element.get("type") or "").strip()
        line = None if self.repaired else line_of(element)
        if line is not None:
            place = Place(place.source, line + self.lines.skipped, place.near)
        return Failure(
            join_message(element.get("message") or "", body_of(element), kind), place, kind
        )

    def place(self, element: etree._Element, attributes: dict[str, str]) -> Place:
        """Where the case stands in the file, also beyond the lines that libxml2 counts."""
        known = None if self.repaired else line_of(element)
        name = attributes.get("name", "")
        if known is not None:
            return Place(self.source, known + self.lines.skipped)
        line = self.lines.line_of(self.ordinal, name)
        return Place(self.source, line, None if line else name)


def _playwright_titles(classname: str, name: str, suite: Suite) -> tuple[str, tuple[str, ...]]:
    """File and title path as Playwright's JSON reporter gives them."""
    if suite.project and name.startswith("["):
        name = name.removeprefix(f"[{suite.project}] ")
    titles = tuple(name.split(" › "))
    if "" in titles:
        titles = tuple(part for part in titles if part) or (name or UNNAMED,)
    # The suite's name is the same text, and there is only one of it in memory.
    return suite.file if classname == suite.path[-1] else classname.replace("\\", "/"), titles


def _playwright_attempts(
    failed: list[etree._Element],
    children: dict[str, list[etree._Element]],
    place: Place,
    duration_ms: float | None,
    output: tuple[str, str],
) -> tuple[tuple[Attempt, ...], Location | None]:
    """The attempts of a Playwright test, from the texts and the files it left behind."""
    paths = playwright.attached_paths(output[0])
    stdout = playwright.without_attachments(output[0])
    if failed:
        # Colours are undone and blank lines kept: the tries are told apart by their layout.
        bodies = [bounded(body_of(element)) for element in failed]
        tries = playwright.parse_tries("\n".join(bodies))
        alone = duration_ms if len(tries) == 1 else None
        attempts = []
        for number, one in enumerate(tries):
            is_last = number == len(tries) - 1
            errors = one.errors or (clean(failed[0].get("message") or "") or "Failed.",)
            attempts.append(
                Attempt(
                    one.status,
                    one.retry,
                    None,
                    alone,
                    tuple(Failure(error, place) for error in errors),
                    stdout=stdout if is_last else "",
                    stderr=output[1] if is_last else "",
                    attachments=_attachments(paths, one.retry) or one.attachments,
                )
            )
        return tuple(attempts), playwright.parse_location(bodies[0])
    if children.keys() & _SKIPPED_CHILDREN:
        return (Attempt(Status.SKIPPED, duration_ms=duration_ms),), None
    tried = 0 if _is_marked_failing(children) else playwright.failed_tries(paths)
    if not tried:
        return (Attempt(Status.PASSED, duration_ms=duration_ms),), None
    untold = (Failure(playwright.UNTOLD_TRY, place),)
    attempts = [
        Attempt(Status.FAILED, retry, failures=untold, attachments=_attachments(paths, retry))
        for retry in range(tried)
    ]
    attempts.append(
        Attempt(
            Status.PASSED,
            tried,
            stdout=stdout,
            stderr=output[1],
            attachments=_attachments(paths, tried),
        )
    )
    return tuple(attempts), None


def _attachments(paths: tuple[tuple[int, str], ...], retry: int) -> tuple[Attachment, ...]:
    """The files that one try left."""
    if not paths:
        return ()
    return tuple(
        Attachment(path.rpartition("/")[2].rpartition(".")[0], path=path)
        for number, path in paths
        if number == retry
    )


def _is_marked_failing(children: dict[str, list[etree._Element]]) -> bool:
    """Whether the test is meant to fail (`test.fail`)."""
    return any(p.get("name") == "fail" for group in children.get("properties", ()) for p in group)


def _status(
    failed: list[etree._Element],
    children: dict[str, list[etree._Element]],
    attributes: dict[str, str],
) -> Status:
    """How the case ended: elements first, attributes where there are none."""
    if failed:
        return Status.FAILED
    if children.keys() & _SKIPPED_CHILDREN:
        return Status.SKIPPED
    return _told_status(attributes)


def _told_status(attributes: dict[str, str]) -> Status:
    """How the case ended as its attributes say."""
    words = {attributes.get("status", "").lower(), attributes.get("result", "").lower()}
    if words & _FAILED_WORDS:
        return Status.FAILED
    return Status.SKIPPED if words & _SKIPPED_WORDS else Status.PASSED


def _start(attributes: dict[str, str]) -> datetime | None:
    """When the case began, in UTC."""
    told = parse_time(attributes["timestamp"]) if "timestamp" in attributes else None
    return told[0] if told else None


def _numbered(tries: list[Attempt]) -> tuple[Attempt, ...]:
    """The tries with their retry numbers."""
    if len(tries) == 1:
        return (tries[0],)
    return tuple(
        Attempt(
            a.status, i, a.started_at, a.duration_ms, a.failures, stdout=a.stdout, stderr=a.stderr
        )
        for i, a in enumerate(tries)
    )


def _location(file: str, line: str) -> Location | None:
    """Where the test stands in the code, when the case has a line."""
    if not file or not _NUMBER.fullmatch(line):
        return None
    return Location(file, int(line))

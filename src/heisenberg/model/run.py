"""A run of a test suite, as its report tells it.

What there is one of for every test is a Struct: it is built five times faster than a frozen
dataclass, and the garbage collector does not visit it. `msgspec.structs.replace` copies one with changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from heisenberg.model.failure import Failure

TITLE_SEPARATOR = " › "
"""Joins the parts of a title path, as Playwright does."""


class Status(StrEnum):
    """How one attempt ended."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class Outcome(StrEnum):
    """What all attempts of a test in one run amount to."""

    PASSED = "passed"
    FAILED = "failed"
    FLAKY = "flaky"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that a run left behind."""

    source: str
    """Name shown to the user: relative to the folder of the argument that led to it."""
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Roughly where in an artefact something was read: a hint from which to search for a quote."""

    source: str
    """`Artefact.source`."""
    line: int | None = None
    """1-based line of the enclosing element, when the format tells."""
    near: str | None = None
    """Text that stands shortly before the quote, when the line is unknown (a test's title)."""


class Location(Struct, frozen=True, gc=False):
    """A position in the suite's source code."""

    file: str
    line: int | None = None
    column: int | None = None


class TestId(Struct, frozen=True, gc=False):
    """What makes a test the same test in another run."""

    __test__ = False

    file: str
    """As the report names it, with forward slashes; empty when it does not."""
    titles: tuple[str, ...]
    """Title path, outermost suite first, without file and project; never empty."""
    project: str = ""
    """Playwright project, browser or other parameter set; empty when there is one only."""
    repeat: int = 0
    """Which repetition of the same test in one run (`--repeat-each`), from 0."""

    @property
    def title(self) -> str:
        """Full title path joined with ` › `."""
        return TITLE_SEPARATOR.join(self.titles)

    def __str__(self) -> str:
        """`[project] › file › title › path (repeat 2)`, with the empty parts left out."""
        project = f"[{self.project}]" if self.project else ""
        name = TITLE_SEPARATOR.join(part for part in (project, self.file, self.title) if part)
        return f"{name} (repeat {self.repeat})" if self.repeat else name


@dataclass(frozen=True, slots=True)
class Step:
    """One action inside an attempt."""

    title: str
    category: str = ""
    started_at: datetime | None = None
    duration_ms: float | None = None
    error: str = ""
    """First line of what went wrong in it; empty when it passed."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or text that the attempt left behind."""

    name: str
    content_type: str = ""
    path: str = ""
    """As the report names it; it need not exist here."""
    body: str = ""
    """Text carried in the report itself, when it is text."""


class Attempt(Struct, frozen=True, gc=False):
    """One try of one test."""

    status: Status
    retry: int = 0
    """0 for the first try."""
    started_at: datetime | None = None
    """Aware UTC; None when the format does not tell."""
    duration_ms: float | None = None
    failures: tuple[Failure, ...] = ()
    steps: tuple[Step, ...] = ()
    worker: int | None = None
    """Slot that ran it: attempts of one worker never overlap in time."""
    stdout: str = ""
    stderr: str = ""
    attachments: tuple[Attachment, ...] = ()


class Test(Struct, frozen=True, gc=False):
    """A test with all its attempts in this run, in order of retry."""

    __test__ = False

    id: TestId
    attempts: tuple[Attempt, ...]
    expected: Status = Status.PASSED
    """A test marked as failing (`test.fail`, xfail) is fine when it fails."""
    location: Location | None = None
    tags: tuple[str, ...] = ()
    timeout_ms: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What the attempts amount to; a test that never ran is skipped."""
        ran = [a for a in self.attempts if a.status is not Status.SKIPPED]
        if not ran or (
            self.expected is Status.SKIPPED and all(a.status is Status.SKIPPED for a in ran)
        ):
            return Outcome.SKIPPED
        fine = [self.is_fine(a) for a in ran]
        if all(fine):
            return Outcome.PASSED
        return Outcome.FLAKY if fine[-1] else Outcome.FAILED

    def is_fine(self, attempt: Attempt) -> bool:
        """Whether the attempt ended as the test was meant to end."""
        if attempt.status is Status.SKIPPED:
            return True
        if self.expected is Status.FAILED:
            return attempt.status is Status.FAILED
        return attempt.status is Status.PASSED

    @property
    def bad_attempts(self) -> tuple[Attempt, ...]:
        """The attempts that did not end as meant, in order."""
        return tuple(a for a in self.attempts if not self.is_fine(a))


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a suite, merged from all its shards."""

    tests: tuple[Test, ...]
    failures: tuple[Failure, ...] = ()
    """Errors outside any test: a global setup, a file that does not load."""
    started_at: datetime | None = None
    duration_ms: float | None = None
    """Wall clock; None when the format does not tell."""
    workers: int | None = None
    """How many ran side by side, when the format tells."""
    interrupted: bool = False
    """The run ended before all tests had run."""
    sources: tuple[str, ...] = ()
    """The artefacts it was read from."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else the report says of the run: producer, version, properties."""

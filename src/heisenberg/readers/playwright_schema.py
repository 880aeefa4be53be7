"""What is read of Playwright's JSON report; every other field is skipped undecoded.

Source:
    `JSONReport` in playwright/types/testReporter.d.ts, versions 1.30 to 1.58.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (msgspec reads the annotation when it decodes)

from msgspec import Raw, Struct

_EMPTY = Raw(b"[]")


class Position(Struct, gc=False):
    """A place in the suite's source code."""

    file: str = ""
    line: int | None = None
    column: int | None = None


class Error(Struct, gc=False):
    """`TestError`: `value` is what was thrown when it was no Error."""

    message: str | None = None
    stack: str | None = None
    value: str | None = None
    snippet: str | None = None
    location: Position | None = None


class Step(Struct, gc=False):
    """`JSONReportTestStep`; category and start are not in every version."""

    title: str = ""
    category: str = ""
    startTime: datetime | None = None  # noqa: N815 (the report's own name)
    duration: float | None = None
    error: Error | None = None
    steps: list[Step] = []


class Attachment(Struct, gc=False, rename="camel"):
    """A file, or base64 of its bytes."""

    name: str = ""
    content_type: str = ""
    path: str | None = None
    body: str | None = None


class Output(Struct, gc=False):
    """`JSONReportSTDIOEntry`: a text, or base64 of bytes."""

    text: str | None = None
    buffer: str | None = None


class Result(Struct, gc=False, rename="camel"):
    """One attempt. What only a test that went wrong needs stays undecoded."""

    status: str | None = None
    retry: int = 0
    parallel_index: int | None = None
    worker_index: int | None = None
    start_time: datetime | None = None
    duration: float | None = None
    error: Raw = _EMPTY
    errors: Raw = _EMPTY
    steps: Raw = _EMPTY
    stdout: Raw = _EMPTY
    stderr: Raw = _EMPTY
    attachments: Raw = _EMPTY


class Annotation(Struct, gc=False):
    """A mark such as `slow`, `fixme` or `issue`."""

    type: str = ""
    description: str | None = None


class Test(Struct, gc=False, rename="camel"):
    """One test in one project and repetition."""

    timeout: float | None = None
    annotations: list[Annotation] = []
    expected_status: str = "passed"
    project_name: str = ""
    results: list[Result] = []


class Spec(Struct, gc=False):
    """A test as written, with its runs in every project."""

    title: str = ""
    tags: list[str] = []
    tests: list[Test] = []
    file: str = ""
    line: int | None = None
    column: int | None = None


class Suite(Struct, gc=False):
    """A file, or a describe block in it."""

    title: str = ""
    file: str = ""
    specs: list[Spec] = []
    suites: list[Suite] = []


class Project(Struct, gc=False):
    """A project of the configuration."""

    name: str = ""


class Config(Struct, gc=False, rename="camel"):
    """The parts of the configuration that say how the run went."""

    version: str | None = None
    root_dir: str | None = None
    config_file: str | None = None
    workers: int | None = None
    projects: list[Project] = []
    metadata: Raw = Raw(b"{}")
    shard: Raw = Raw(b"null")


class Stats(Struct, gc=False, rename="camel"):
    """When the run started and how long it took."""

    start_time: datetime | None = None
    duration: float | None = None


class Report(Struct, gc=False):
    """The document."""

    config: Config | None = None
    suites: list[Suite] = []
    errors: list[Error] = []
    stats: Stats | None = None

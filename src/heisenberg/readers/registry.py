"""Choose the reader of an artefact by its content, never by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heisenberg.errors import UnknownFormatError
from heisenberg.readers import ctrf, junit, playwright_json
from heisenberg.readers.content import head_text
from heisenberg.readers.json_head import shape_of
from heisenberg.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from heisenberg.model.run import Artefact, Run
    from heisenberg.readers.json_head import Shape

_JSON_READERS: dict[str, tuple[Callable[[Shape], bool], Callable[[Artefact], Run]]] = {
    "playwright-json": (playwright_json.sniff, playwright_json.read),
    "ctrf": (ctrf.sniff, ctrf.read),
}
_READERS: dict[str, Callable[[Artefact], Run]] = {
    **{name: read for name, (_, read) in _JSON_READERS.items()},
    "junit": junit.read,
}
FORMATS = tuple(_READERS)
"""Names of the report formats that can be read."""

_OTHER_XML = {
    "test-run": "NUnit 3 report",
    "test-results": "NUnit 2 report",
    "assemblies": "xUnit.net report",
    "assembly": "xUnit.net report",
    "TestRun": "Visual Studio test report (TRX)",
    "robot": "Robot Framework report",
    "Site": "CTest report",
    "TestLog": "Boost.Test report",
    "TestResult": "Boost.Test report",
    "Catch": "Catch2 report",
    "Catch2TestRun": "Catch2 report",
    "testng-results": "TestNG report",
    "doctest": "doctest report",
}
_NOT_TESTS = {
    "coverage": "coverage report",
    "checkstyle": "Checkstyle report",
    "html": "HTML page",
    "project": "build file",
}
_OTHER_JSON = (
    ({"numTotalTests", "testResults"}, "Jest report"),
    ({"numTotalTestSuites", "testResults"}, "Jest report"),
    ({"stats", "results"}, "mochawesome report"),
    ({"stats", "tests", "failures", "passes"}, "mocha report"),
    ({"examples", "summary", "version"}, "RSpec report"),
    ({"runs", "totalTests", "totalFailed"}, "Cypress report"),
    ({"Time", "Action", "Package"}, "output of go test -json"),
    ({"protocolVersion", "runnerVersion"}, "Dart test report"),
    ({"exitcode", "root", "tests"}, "pytest-json-report"),
    ({"pytest_version", "$report_type"}, "pytest report log"),
    ({"historyId", "uuid", "status"}, "Allure result"),
)

_PROLOG = re.compile(
    r"(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?:[^\[>]|\[(?:[^\]\"']|\"[^\"]*\"|'[^']*')*\])*>)*+",
    re.DOTALL,
)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_TAP = re.compile(r"(?:TAP version \d+|1\.\.\d+\s*$|(?:not )?ok \d+ )", re.MULTILINE)
_ACCEPTED = "Playwright's JSON, JUnit XML or CTRF"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the head of an artefact shows."""

    format: str | None = None
    """One of `FORMATS`."""
    other: str = ""
    """What it seems to be instead."""
    is_report: bool = False
    """Whether it tells of tests, readable or not."""


def sniff(artefact: Artefact) -> str | None:
    """Name the report format that the content shows, or None.

    Raises:
        ReadError: The file cannot be opened.
    """
    return _kind(head_text(artefact)).format


def looks_like_report(artefact: Artefact) -> bool:
    """Whether the content is a test report, be it broken or of a format that is not read.

    A file for which this is false, found in a folder, is none of our business; where it is true
    and `read` raises, the user should hear of it.

    Raises:
        ReadError: The file cannot be opened.
    """
    return _kind(head_text(artefact)).is_report


def read(artefact: Artefact) -> Run:
    """Read a report of any known format.

    Raises:
        UnknownFormatError: It is none; the message tells what it seems to be.
        MalformedError: It is broken; the message tells where.
        TooLargeError: It is beyond a limit; the message tells which.
        ReadError: It cannot be opened.
    """
    kind = _kind(head_text(artefact))
    if kind.format is None:
        raise UnknownFormatError(f"{kind.other}; name a report of {_ACCEPTED}")
    return _READERS[kind.format](artefact)


def _kind(head: str) -> _Kind:
    """Look at the first characters, blanks stripped."""
    if not head:
        return _Kind(other="empty file")
    if head.startswith("<"):
        return _xml_kind(head)
    if head.startswith(("{", "[")):
        return _json_kind(head)
    if head.startswith("PK\x03\x04"):
        return _Kind(other="ZIP archive; if it is a blob report, merge it into JSON first")
    if "\0" in head:
        return _Kind(other="binary file")
    if _TAP.match(head):
        return _Kind(other="TAP output, which is not read", is_report=True)
    return _Kind(other="neither XML nor JSON, so no test report")


def _xml_kind(head: str) -> _Kind:
    """Tell by the root element."""
    prolog = _PROLOG.match(head)
    root = _ROOT.match(head, prolog.end() if prolog else 0)
    if root is None:
        return _Kind(other="XML without a root element within its first 64 KB")
    name = root[1]
    if junit.sniff(name):
        return _Kind(format="junit", is_report=True)
    if name in _OTHER_XML:
        return _Kind(other=f"{_OTHER_XML[name]}, which is not read", is_report=True)
    known = _NOT_TESTS.get(name.lower())
    return _Kind(
        other=f"{known}, not a test report" if known else f"XML of another kind (<{name}>)"
    )


def _json_kind(head: str) -> _Kind:
    """Tell by the first keys."""
    shape = shape_of(head)
    if shape is None:
        return _Kind(other="JSON array, and no report known begins so")
    for name, (matches, _) in _JSON_READERS.items():
        if matches(shape):
            return _Kind(format=name, is_report=True)
    for keys, other in _OTHER_JSON:
        if keys <= shape.keys():
            return _Kind(other=f"{other}, which is not read", is_report=True)
    names = ", ".join(f"'{one_line(key)[:40]}'" for key in list(shape)[:3])
    return _Kind(other=f"JSON of another kind (keys: {names})" if names else "JSON without keys")

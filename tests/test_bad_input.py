"""Bad input through the command itself: one clear line, or a problem beside what could be read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg.cli import app

if TYPE_CHECKING:
    from pathlib import Path

STARTED = "2026-03-04T12:00:00.000Z"
LOG = [
    "2026-03-04T12:00:00.100Z INFO shop: request started",
    "2026-03-04T12:00:00.500Z ERROR shop: cannot load «naïve» café",
    "Traceback (most recent call last):",
    '  File "/srv/app/menu.py", line 7, in load',
    "KeyError: 'crème brûlée'",
    "2026-03-04T12:00:00.900Z INFO shop: request finished",
]


def failed(message: str = "Error: boom", title: str = "pays", **changes: Any) -> dict[str, Any]:
    """A failed spec of a Playwright report."""
    attempt = {
        "status": "failed",
        "retry": 0,
        "duration": 1000,
        "startTime": STARTED,
        "errors": [{"message": message}],
        **changes,
    }
    test = {"projectName": "chromium", "expectedStatus": "passed", "results": [attempt]}
    return {"title": title, "file": "a.spec.ts", "tests": [{**test, "status": "unexpected"}]}


def report(*specs: dict[str, Any]) -> str:
    """A Playwright report."""
    suite = {"title": "a.spec.ts", "file": "a.spec.ts", "specs": specs or [failed()]}
    return json.dumps({"config": {}, "suites": [suite], "errors": []}, ensure_ascii=False)


def junit(message: str, encoding: str) -> bytes:
    """A JUnit report that states its encoding and keeps to it."""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<testsuite name="s"><testcase name="t">\n'
        f"<failure>{message}</failure></testcase></testsuite>\n"
    )
    return text.encode(encoding)


class Said:
    """What the command said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        """The analysis."""
        return json.loads(self.out)

    @property
    def quotes(self) -> str:
        """All the evidence."""
        incidents = self.document["incidents"]
        return "\n".join(e["quote"] for i in incidents for e in i["diagnosis"]["evidence"])


@pytest.fixture
def analyze(capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Run `heisenberg analyze --format json`."""

    def run(*arguments: str | Path) -> Said:
        code = app.run(["analyze", "--format", "json", *map(os.fspath, arguments)])
        written = capsysbinary.readouterr()
        return Said(code, written.out.decode(), written.err.decode())

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"duration": 10**15},
        {"duration": 1e300},
        {"startTime": "0001-01-01T00:00:00.000Z"},
        {"startTime": "9999-12-31T23:59:59.999Z"},
        {"errors": [{"message": "Error: Timeout 99999999999999999999ms exceeded."}]},
    ],
)
def test_times_beyond_the_calendar_are_not_reckoned_with(
    changes: dict[str, Any], tmp_path: Path, analyze: Any
) -> None:
    """A clock that is broken costs the test its window, not the run its analysis."""
    (tmp_path / "r.json").write_text(report(failed(title="odd", **changes), failed()))
    (tmp_path / "shop.log").write_text("\n".join(LOG))

    said = analyze(tmp_path)

    assert (0, 2) == (said.code, said.document["run"]["failed"])
    assert "KeyError: 'crème brûlée'" in said.quotes


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize(
    "line", ["{}T00:00:01.000+14:00 ERROR x: y\n", '{{"time": "{}T00:00:01+14:00", "msg": "y"}}\n']
)
def test_logs_beyond_the_calendar_have_no_times(
    day: str, line: str, tmp_path: Path, analyze: Any
) -> None:
    """The ends of the calendar are no times of a log."""
    (tmp_path / "r.json").write_text(report())
    (tmp_path / "odd.log").write_text(line.format(day) * 3)

    said = analyze(tmp_path)

    assert (0, 1) == (said.code, said.document["run"]["failed"])

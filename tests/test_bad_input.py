"""Bad input through the command itself: one clear line, or a problem beside what could be read."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg import pipeline
from heisenberg.cli import app
from heisenberg.diagnosis import verify
from heisenberg.readers.json_head import shape_of
from heisenberg.sources import disk

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
        code = app.run(["analyze", "--format", "json", *(os.fspath(a) for a in arguments)])
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


@pytest.mark.parametrize("is_given", [False, True])
def test_a_log_that_vanishes_is_a_problem(is_given: bool, tmp_path: Path) -> None:
    """A log deleted before it is opened is named, and the rest is analysed."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "r.json").write_text(report())
    log = tmp_path / ("logs" if is_given else "run") / "shop.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("\n".join(LOG))

    def vanish(_: str) -> None:
        log.unlink(missing_ok=True)

    found = pipeline.analyze([tmp_path / "run"], [log.parent] if is_given else (), progress=vanish)

    assert ["shop.log"] == [p.source for p in found.problems]
    assert 1 == found.counts.failed


@pytest.mark.parametrize("is_given", [False, True])
def test_a_log_that_vanished_while_listed_is_a_problem(
    is_given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log deleted between being found and being looked at is named, and the rest is analysed."""
    (tmp_path / "r.json").write_text(report())
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "shop.log"
    log.write_text("\n".join(LOG))
    discover = disk.discover

    def discover_and_delete(paths: Any) -> Any:
        found = discover(paths)
        log.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(disk, "discover", discover_and_delete)
    paths = [tmp_path / "r.json"] if is_given else [tmp_path]
    found = pipeline.analyze(paths, [log.parent] if is_given else ())

    assert 1 == len(found.problems)
    assert found.problems[0].source.endswith("shop.log")
    assert 1 == found.counts.failed


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "Error: no café — ‹naïve›"),
        ("windows-1251", "Error: нет кафе — ‹да›"),
        ("windows-1251", "нет такого кафе"),
        ("shift_jis", "Error: 喫茶店 「能」"),
        ("iso-8859-1", "«naïve» café"),
    ],
)
def test_evidence_is_found_in_any_encoding(
    encoding: str, message: str, tmp_path: Path, analyze: Any
) -> None:
    """What a JUnit report says is quoted whatever encoding it is declared to be in."""
    (tmp_path / "r.xml").write_bytes(junit(message, encoding))

    said = analyze(tmp_path)

    assert message in said.quotes
    assert {3} == {
        e["line"] for i in said.document["incidents"] for e in i["diagnosis"]["evidence"]
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32"])
def test_evidence_is_found_in_json_in_any_encoding(
    encoding: str, tmp_path: Path, analyze: Any
) -> None:
    """What a JSON report says is quoted, with a byte order mark or without one."""
    (tmp_path / "r.json").write_bytes(report(failed("Error: no café 🍰")).encode(encoding))

    said = analyze(tmp_path)

    assert "Error: no café 🍰" in said.quotes


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_evidence_is_found_in_logs_in_any_encoding(
    encoding: str, tmp_path: Path, analyze: Any
) -> None:
    """What a log says is quoted, with a byte order mark or without one."""
    (tmp_path / "r.json").write_text(report())
    (tmp_path / "shop.log").write_bytes("\r\n".join(LOG).encode(encoding))

    said = analyze(tmp_path)

    assert "KeyError: 'crème brûlée'" in said.quotes


def test_many_failures_on_one_long_line_take_linear_time(tmp_path: Path, analyze: Any) -> None:
    """A quote costs what stands around it, not the line that it stands on."""
    padding = [{"type": "note", "description": "é \\u001b " * 400}]
    specs = [failed(f"Error: {n:x}{'abcdef'[n % 6]} broke", f"t{n}") for n in range(400)]
    for spec in specs:
        spec["tests"][0]["annotations"] = padding
    (tmp_path / "r.json").write_text(report(*specs))
    started = time.process_time()

    said = analyze(tmp_path)

    assert 400 == said.document["run"]["failed"]
    assert time.process_time() - started < 5


def test_a_report_cut_off_while_quotes_are_looked_for_ends_the_search(tmp_path: Path) -> None:
    """What is no longer there is not found; the process lives on."""
    path = tmp_path / "r.json"
    path.write_bytes(b"x" * 100_000 + b" boom\n")
    with path.open("rb") as file:
        stored = verify._Stored(file.fileno())
        found = stored.find(b"boom", 0)
        os.truncate(path, 10)

        assert 100_001 == found
        assert -1 == stored.find(b"boom", 0)
        assert b"" == stored[found : found + 4]


def test_half_a_character_reads_as_a_replacement() -> None:
    """JavaScript escapes the half of a character that it cut; a quote of it is found."""
    assert "no \ufffd cake" in verify.readings('"no \\ud83c cake"')[1]


def test_a_long_line_is_counted_once(tmp_path: Path, analyze: Any) -> None:
    """A line that is read for several purposes is still one line."""
    (tmp_path / "r.json").write_text(report())
    long = f"2026-03-04T12:00:00.950Z ERROR shop: {'x' * 3_000_000}"
    (tmp_path / "shop.log").write_text("\n".join([*LOG, long, *LOG[-1:]]))

    said = analyze(tmp_path)

    assert ["1 line was longer than 1048576 bytes; the rest was left out"] == [
        p["reason"] for p in said.document["problems"]
    ]
    assert "KeyError: 'crème brûlée'" in said.quotes


@pytest.mark.parametrize("half", [r"\ud83c cake", r"\ud83c", r"\udf70", r"\ud83cA"])
def test_half_a_character_does_not_spoil_whole_ones(
    half: str, tmp_path: Path, analyze: Any
) -> None:
    """JavaScript escapes the half of a character that it cut; the report is read all the same."""
    message = rf"Error: {half} \\ud83c \ud83c\udf70 whole"
    (tmp_path / "r.json").write_text(report(failed("MESSAGE")).replace("MESSAGE", message))

    said = analyze(tmp_path)

    assert "\\ud83c 🍰 whole" in said.quotes


@pytest.mark.parametrize("wrong", [None, 7, 1e308, "x", [], {}, [[]], [{}]])
@pytest.mark.parametrize("key", ["config", "suites", "errors", "stats"])
def test_wrong_types_at_the_top_are_no_internal_error(
    key: str, wrong: Any, tmp_path: Path, analyze: Any
) -> None:
    """A field of the wrong type is dropped, or the report is refused."""
    (tmp_path / "r.json").write_text(json.dumps({**json.loads(report()), key: wrong}))

    said = analyze(tmp_path)

    assert said.code == 0 or "internal error" not in said.err


@pytest.mark.parametrize("seconds", ["1e300", "NaN", "inf", "-1", "9" * 400, "x"])
@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00", "99999999999"]
)
def test_impossible_times_of_junit_are_none(
    seconds: str, when: str, tmp_path: Path, analyze: Any
) -> None:
    """A JUnit report whose clock is broken has no times, and all its failures."""
    (tmp_path / "r.xml").write_text(
        f'<testsuite name="s" timestamp="{when}" time="{seconds}">'
        f'<testcase name="t" time="{seconds}"><failure>boom</failure></testcase></testsuite>'
    )

    said = analyze(tmp_path)

    assert (0, 1) == (said.code, said.document["run"]["failed"])


def test_a_start_east_of_the_first_year_is_no_time(tmp_path: Path, analyze: Any) -> None:
    """A start that UTC cannot express is dropped."""
    (tmp_path / "r.json").write_text(report(failed(startTime="0001-01-01T00:00:00+14:00")))

    assert 0 == analyze(tmp_path).code


def test_a_string_that_breaks_off_takes_linear_time() -> None:
    """The head of a long JSON line may end inside a string full of quotes."""
    started = time.process_time()
    shape_of('{"message": "' + '\\"' * 32_000)

    assert time.process_time() - started < 1

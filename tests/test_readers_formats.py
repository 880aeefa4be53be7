from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heisenberg.errors import MalformedError, ReadError, TooLargeError, UnknownFormatError
from heisenberg.model.run import Artefact, Outcome, Run, Status, Test
from heisenberg.readers import registry

DATA = Path(__file__).parent / "data" / "readers"
JSON = (DATA / "playwright.json").read_bytes()
JUNIT = (DATA / "playwright-junit.xml").read_bytes()


def artefact(path: Path) -> Artefact:
    return Artefact(path.name, path, path.stat().st_size)


def read(name: str) -> Run:
    return registry.read(artefact(DATA / name))


def read_bytes(tmp_path: Path, data: bytes) -> Run:
    path = tmp_path / "file"
    path.write_bytes(data)
    return registry.read(artefact(path))


def named(run: Run, title: str) -> Test:
    return next(t for t in run.tests if t.id.titles[-1] == title)


def case(body: str, *, attributes: str = "", encoding: str = "UTF-8") -> bytes:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<testsuites><testsuite name="s">\n'
        f'<testcase classname="a.B" name="x" {attributes}>{body}</testcase></testsuite></testsuites>'
    )
    return text.encode(encoding)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("playwright.json", "playwright-json"),
        ("playwright-junit.xml", "junit"),
        ("surefire-reruns.xml", "junit"),
        ("ctrf.json", "ctrf"),
    ],
)
def test_format_is_told_by_content(name: str, expected: str, tmp_path: Path) -> None:
    """A report is recognised whatever its file is called."""
    path = tmp_path / "artefact.bin"
    path.write_bytes((DATA / name).read_bytes())

    assert expected == registry.sniff(artefact(path))


def test_playwright_json_keeps_every_attempt() -> None:
    """Two failed tries and a passed one are three attempts with their times and errors."""
    run = read("playwright.json")

    test = named(run, "finds nothing for a nonsense word")
    assert [Status.FAILED, Status.FAILED, Status.PASSED] == [a.status for a in test.attempts]
    assert [0, 1, 2] == [a.retry for a in test.attempts]
    assert Outcome.FLAKY is test.outcome
    assert all(a.started_at is not None and a.started_at.tzinfo is UTC for a in test.attempts)
    assert "\x1b" not in test.attempts[0].failures[0].message
    assert "catalog.spec.ts" == test.id.file
    assert ("finds nothing for a nonsense word",) == test.id.titles
    assert {"passed": 19, "flaky": 1} == Counter(t.outcome.value for t in run.tests)
    assert 2 == run.workers


@pytest.mark.parametrize("kind", ["playwright", "playwright-failed"])
def test_junit_of_the_same_run_names_the_same_tests(kind: str) -> None:
    """Identity and outcome do not depend on the reporter."""
    by_json, by_junit = read(f"{kind}.json"), read(f"{kind}-junit.xml")

    assert {t.id: t.outcome for t in by_json.tests} == {t.id: t.outcome for t in by_junit.tests}


def test_junit_of_the_same_run_says_the_same() -> None:
    """The errors of a failed test read alike, blanks aside."""
    by_json, by_junit = read("playwright-failed.json"), read("playwright-failed-junit.xml")

    texts = [
        {str(t.id): [f.message.split() for a in t.attempts for f in a.failures] for t in run.tests}
        for run in (by_json, by_junit)
    ]
    assert texts[0] == texts[1]


def test_passed_junit_case_with_files_of_a_failed_try_was_flaky() -> None:
    """Playwright's JUnit drops the failed tries; their attachments give them away."""
    test = named(read("playwright-junit.xml"), "finds nothing for a nonsense word")

    assert [Status.FAILED, Status.FAILED, Status.PASSED] == [a.status for a in test.attempts]
    assert "keeps no error text" in test.attempts[0].failures[0].message


def test_surefire_reruns_are_attempts() -> None:
    """flakyFailure, flakyError, rerunFailure and rerunError are tries with their own text."""
    run = read("surefire-reruns.xml")

    flaky, failed = named(run, "addsItem"), named(run, "removesItem")
    assert [Status.FAILED, Status.FAILED, Status.PASSED] == [a.status for a in flaky.attempts]
    assert "at CartTest.java:7" in flaky.attempts[0].failures[0].message
    assert "first try" == flaky.attempts[0].stdout
    assert ["one", "two", "three"] == [a.failures[0].message for a in failed.attempts]
    assert 1_234_500 == run.duration_ms


def test_elements_win_over_attributes() -> None:
    """A case with an error element failed, whatever its status says."""
    run = read("surefire-reruns.xml")

    assert Outcome.FAILED is named(run, "contradicts").outcome
    assert Outcome.SKIPPED is named(run, "off").outcome
    assert Outcome.SKIPPED is named(run, "later").outcome


def test_ctrf_counts_and_retries() -> None:
    """Statuses, hidden retries, times and texts of CTRF arrive."""
    run = read("ctrf.json")

    outcomes = {t.id.titles[-1]: t.outcome.value for t in run.tests}
    expected = {"adds": "passed", "pays": "failed", "retries": "flaky"}
    assert {**expected, "later": "skipped", "off": "skipped"} == outcomes
    failed = named(run, "pays")
    assert ("cart", "pays") == failed.id.titles
    assert "boom" == failed.attempts[0].failures[0].message
    assert "at cart.test.ts:9" == failed.attempts[0].failures[0].stack
    assert "a\nb" == failed.attempts[0].stdout
    assert 3 == len(named(run, "retries").attempts)
    assert datetime(2026, 1, 1, tzinfo=UTC) == run.started_at
    assert 5000 == run.duration_ms


def test_case_after_a_failed_one_is_its_retry(tmp_path: Path) -> None:
    """Fail, pass is one flaky test; pass, fail is two tests, and the red one stays."""
    run = read_bytes(
        tmp_path,
        b"<testsuite name='s'><testcase classname='c' name='a'><failure/></testcase>"
        b"<testcase classname='c' name='a'/><testcase classname='c' name='b'/>"
        b"<testcase classname='c' name='b'><error/></testcase></testsuite>",
    )

    outcomes = [(t.id.title, t.id.repeat, t.outcome.value) for t in run.tests]
    assert [("c › a", 0, "flaky"), ("c › b", 0, "passed"), ("c › b", 1, "failed")] == outcomes


def test_same_case_in_two_suites_is_two_tests(tmp_path: Path) -> None:
    """Suites tell tests of one name apart, and a retry or repetition stays in its suite."""
    green = "<testcase name='a' classname='C'/>"
    red = "<testcase name='a' classname='C'><failure/></testcase>"
    suites = f"<testsuite name='s'>{green}</testsuite><testsuite name='t'>{red}{green}</testsuite>"
    run = read_bytes(tmp_path, f"<testsuites>{suites}{suites}</testsuites>".encode())

    assert [(("s", "C", "a"), 0, 1), (("t", "C", "a"), 0, 2)] == [
        (t.id.titles, t.id.repeat, len(t.attempts)) for t in run.tests[:2]
    ]
    assert [("s", 1, 1), ("t", 1, 2)] == [
        (t.id.titles[0], t.id.repeat, len(t.attempts)) for t in run.tests[2:]
    ]


def test_timed_out_attempt_without_error_still_says_so(tmp_path: Path) -> None:
    """An attempt that went wrong carries at least one failure."""
    run = read_bytes(
        tmp_path,
        b'{"config": {}, "suites": [{"title": "a.ts", "file": "a.ts", "specs": [{"title": "t",'
        b'"tests": [{"results": [{"status": "timedOut", "retry": 0}]}]}]}]}',
    )

    assert "timed out" in run.tests[0].attempts[0].failures[0].message


def test_wrong_types_cost_the_field_not_the_report(tmp_path: Path) -> None:
    """Fields of the wrong type are dropped, the rest is read."""
    run = read_bytes(
        tmp_path,
        b'{"config": {"version": 5}, "suites": [{"title": "a.ts", "file": "a.ts", "specs": ['
        b'{"title": "t", "tags": "x", "tests": [{"projectName": null, "results": [{"status":'
        b'"failed", "startTime": "soon", "duration": "x", "errors": [{"message": "boom"}, 7]}]}]}'
        b"]}]}",
    )

    assert ["boom"] == [f.message for f in run.tests[0].attempts[0].failures]


def test_line_beyond_what_the_parser_counts(tmp_path: Path) -> None:
    """The place of a failure is right beyond line 65,535."""
    passed = b"<testcase name='p' classname='c'><system-out>a\n</system-out></testcase>\n" * 40_000
    failed = b"<testcase name='q'>\n<failure>x</failure></testcase></testsuite>"

    run = read_bytes(tmp_path, b"<testsuite name='s'>\n" + passed + failed)

    assert 80_002 == named(run, "q").attempts[0].failures[0].place.line


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (case('<failure message="b\u00e4h"/>', encoding="ISO-8859-1"), "b\u00e4h"),
        (case('<failure message="b\u00e4h"/>', encoding="UTF-16"), "b\u00e4h"),
        (b"\xef\xbb\xbf" + case('<failure message="boo"/>'), "boo"),
        (b"\n \n" + case('<failure message="boo"/>'), "boo"),
        (case('<failure message="\x1b[31mred\x1b[0m \x07!"/>'), "red !"),
        (case("<failure><![CDATA[\x1b[31mred\x1b[0m]]></failure>"), "red"),
        (case('<failure message="&#x1B;[31mred&#27;[0m&#0;"/>'), "red"),
    ],
)
def test_slips_of_real_producers_are_mended(tmp_path: Path, data: bytes, message: str) -> None:
    """Encodings, byte order marks and control characters do not cost the report."""
    run = read_bytes(tmp_path, data)

    assert [message] == [f.message for a in run.tests[0].attempts for f in a.failures]


def test_endless_text_is_shortened(tmp_path: Path) -> None:
    """Output beyond the parser's limit costs the output, not the report."""
    run = read_bytes(
        tmp_path, case(f'<failure message="boo"/><system-out>{"x" * 11_000_000}</system-out>')
    )

    assert ["boo"] == [f.message for f in run.tests[0].attempts[0].failures]
    assert len(run.tests[0].attempts[0].stdout) < 300_000


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", UnknownFormatError, "empty file"),
        (b"\0\1\2", UnknownFormatError, "binary file"),
        (b"hello", UnknownFormatError, "neither XML nor JSON"),
        (b'{"name": "x"}', UnknownFormatError, "JSON of another kind"),
        (b"<test-run/>", UnknownFormatError, "NUnit 3 report"),
        (b"<!-- a --><assemblies/>", UnknownFormatError, r"xUnit\.net report"),
        (JSON[:9000], MalformedError, r"ends early, at line \d+, column \d+"),
        (JUNIT[:3000], MalformedError, r"at line \d+, column \d+"),
        (b"<testsuite><a></testsuite>", MalformedError, "line 1, column 27: mismatched tag"),
        (
            b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite><testcase name="&b;"/></testsuite>',
            MalformedError,
            "declares XML entities",
        ),
        (b"<testsuite>" * 1000, TooLargeError, "depth"),
        (b'{"config":{"rootDir":1},"suites":' + b"[" * 9999, TooLargeError, "nested too deeply"),
        (b'{"results":{"tool":{},"summary":{}}}', MalformedError, "no 'results.tests' array"),
    ],
)
def test_bad_input_gets_one_clear_line(
    tmp_path: Path, data: bytes, error: type[ReadError], reason: str
) -> None:
    """What cannot be read is refused with what is wrong and where."""
    with pytest.raises(error, match=reason) as caught:
        read_bytes(tmp_path, data)

    assert "\n" not in str(caught.value)


def test_external_entity_is_not_fetched(tmp_path: Path) -> None:
    """A report cannot make us read another file."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    data = f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret}">]><testsuite><testcase name="n">&x;</testcase></testsuite>'

    with pytest.raises(MalformedError, match="entities"):
        read_bytes(tmp_path, data.encode())


def test_broken_report_is_told_from_no_report(tmp_path: Path) -> None:
    """A truncated report looks like one; a package.json does not."""
    path = tmp_path / "x"
    path.write_bytes(JSON[:400])
    assert registry.looks_like_report(artefact(path))
    path.write_bytes(b'{"name": "shop", "version": "1.0.0"}')

    assert not registry.looks_like_report(artefact(path))

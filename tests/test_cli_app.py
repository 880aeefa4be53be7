from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from heisenberg import __version__, pipeline
from heisenberg.cli import app
from heisenberg.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

JUNIT = """<testsuites><testsuite name="shop" tests="2">
<testcase classname="cart" name="adds" time="0.1"/>
<testcase classname="cart" name="pays" time="0.2"><failure message="boom">boom</failure></testcase>
</testsuite></testsuites>"""

NO_REPORT = {
    "missing": None,
    "empty": "",
    "text": "no report at all\n",
    "json": '{"suites": [',
    "html": "<html><body>no</body></html>",
}


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    """A report with one failure."""
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    return path


def heisenberg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the real command, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "heisenberg", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("fail_on", "code"), [("never", 0), ("new", 1), ("any", 1)])
def test_the_exit_code_follows_fail_on(junit: Path, fail_on: str, code: int) -> None:
    """An analysed run exits 0 unless it was asked to fail on what was found."""
    done = heisenberg("analyze", junit, "--fail-on", fail_on)

    assert (code, "") == (done.returncode, done.stderr)
    assert "1 failed of 2 tests" in done.stdout


@pytest.mark.parametrize("kind", NO_REPORT)
def test_nothing_to_read_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    """Without a report the exit code is 2, stdout is empty and stderr has one line."""
    path = tmp_path / f"{kind}.txt"
    content = NO_REPORT[kind]
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = heisenberg("analyze", path)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("heisenberg: ")
    assert 1 == done.stderr.count("\n")
    assert path.name in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["analyze"],
        ["nonsense"],
        ["analyze", "x", "--format", "yaml"],
        ["analyze", "x", "--fail-on", "sometimes"],
        ["analyze", "x", "--nonsense"],
        ["eval"],
        ["eval", "/nonexistent"],
    ],
)
def test_bad_usage_is_one_clear_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage exits 2 with one line that says what to do."""
    code = app.run(arguments)

    out, err = capsys.readouterr()
    assert (2, "") == (code, out)
    assert err.startswith("heisenberg: ")
    assert 1 == err.count("\n")


@pytest.mark.parametrize("arguments", [["--help"], ["analyze", "--help"], ["eval", "-h"]])
def test_help_goes_to_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is an answer, not an error."""
    code = app.run(arguments)

    out, err = capsys.readouterr()
    assert (0, "") == (code, err)
    assert out.startswith("Usage: heisenberg ")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is one line."""
    code = app.run(["--version"])

    assert (0, f"heisenberg {__version__}\n") == (code, capsys.readouterr().out)


def test_help_imports_nothing_heavy() -> None:
    """Help needs neither the readers nor rich: it has to be there at once."""
    probe = (
        "import sys; from heisenberg.cli import app; app.run(['--help']);"
        "print([m for m in ('lxml', 'msgspec', 'rich', 'heisenberg.pipeline') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )

    assert "[]" == done.stdout.splitlines()[-1]


def test_no_model_no_sdk(junit: Path) -> None:
    """Whoever names no model loads none of what talks to one, nor needs it installed."""
    probe = (
        "import sys; from heisenberg.cli import app; app.run(['analyze', sys.argv[1]]);"
        "heavy = ('anthropic', 'httpx2', 'openai', 'pydantic_ai');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(junit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "[]" == done.stdout.splitlines()[-1]


def test_help_is_fast() -> None:
    """The fastest of five starts stays under a second even on a busy machine (0.17 s when idle)."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        heisenberg("--help")
        times.append(time.perf_counter() - started)

    assert min(times) < 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SourceError("a\nb\x1b[31m: no such path"), 2, "heisenberg: a b: no such path\n"),
        (
            PermissionError(13, "Permission denied", "x.xml"),
            2,
            "heisenberg: x.xml: Permission denied\n",
        ),
        (OSError("odd"), 2, "heisenberg: odd\n"),
        (MemoryError(), 2, "heisenberg: out of memory\n"),
        (RecursionError("deep"), 2, "heisenberg: the input is nested too deeply\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_ends_in_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback reaches the user, nor does an escape sequence in a name."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "prepare", fail)
    got = app.run(["analyze", "x"])

    assert (code, line) == (got, capsys.readouterr().err)


def test_a_bug_is_one_line_that_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw names its place and the way to its traceback."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("suites\n\x1b[31m")

    monkeypatch.setattr(pipeline, "prepare", fail)
    code = app.run(["analyze", "x"])

    err = capsys.readouterr().err
    assert 2 == code
    assert err.startswith("heisenberg: internal error at test_cli_app.py:")
    assert "python -X dev -m heisenberg" in err
    assert 1 == err.count("\n")


def test_a_reader_that_leaves_is_no_failure(junit: Path) -> None:
    """`heisenberg analyze … | head -0` ends quietly."""
    with subprocess.Popen(
        [sys.executable, "-m", "heisenberg", "analyze", str(junit), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
        code = process.wait(timeout=60)

    assert (0, b"") == (code, said)

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from delivery_samples import a_diagnosis, a_report, green_report
from heisenberg import pipeline
from heisenberg.cli import app
from heisenberg.model.diagnosis import State
from heisenberg.model.report import Counts, Incident, Report

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Path, ...], tuple[Path, ...]]]:
    """Make the pipeline return a fixed report, and record what it was asked."""
    recorded: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = []

    def prepare(paths: Sequence[Path], logs: Sequence[Path] = (), **_: object) -> pipeline.Prepared:
        recorded.append((tuple(paths), tuple(logs)))
        return pipeline.Prepared(a_report())

    monkeypatch.setattr(pipeline, "prepare", prepare)
    return recorded


def returning(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pipeline return this report."""
    monkeypatch.setattr(pipeline, "prepare", lambda *_, **__: pipeline.Prepared(report))


def test_paths_and_logs_reach_the_pipeline(
    calls: list[tuple[tuple[Path, ...], tuple[Path, ...]]],
) -> None:
    """Several paths and several --logs are passed on in order."""
    code = app.run(["analyze", "a.xml", "b", "--logs", "c.log", "--logs", "d"])

    assert 0 == code
    assert [((Path("a.xml"), Path("b")), (Path("c.log"), Path("d")))] == calls


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("text", "✘  2 failed, 1 flaky of 40 tests"),
        ("json", '{\n  "schema": "heisenberg.analysis/1"'),
        ("markdown", "### ❌ Heisenberg: 2 failed, 1 flaky"),
        ("sarif", '{\n  "$schema": "https://json.schemastore.org/sarif-2.1.0.json"'),
    ],
)
def test_each_format_is_written(
    form: str, start: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Stdout and a file get the same document."""
    file = tmp_path / "out"
    codes = [
        app.run(["analyze", "x", "--format", form]),
        app.run(["analyze", "x", "--format", form, "--output", str(file)]),
    ]

    out = capsysbinary.readouterr().out.decode()
    assert [0, 0] == codes
    assert out.startswith(start)
    assert out == file.read_text(encoding="utf-8") or form == "text"
    assert file.read_text(encoding="utf-8").startswith(start)


@pytest.mark.usefixtures("calls")
def test_a_file_gets_no_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when colours are forced on the terminal, a file is plain."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    app.run(["analyze", "x", "--output", str(tmp_path / "out.txt")])

    assert "\x1b" not in (tmp_path / "out.txt").read_text(encoding="utf-8")


@pytest.mark.usefixtures("calls")
def test_fail_on_still_delivers(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """An exit code of 1 comes with the whole document."""
    code = app.run(["analyze", "x", "--format", "json", "--fail-on", "any"])

    assert 1 == code
    assert 2 == len(json.loads(capsysbinary.readouterr().out)["incidents"])


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.FIRST_SEEN, 1),
        (State.NEW_REGRESSION, 1),
        (State.UNKNOWN, 1),
        (State.BROKEN, 0),
        (State.FLAKY, 0),
        (State.INFRA_BURST, 0),
        (State.RECOVERED, 0),
    ],
)
def test_fail_on_new_knows_what_is_old(
    state: State, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an incident that is not known to be old counts as new; any counts as any."""
    incident = Incident("i", "f", (), a_diagnosis(state=state))
    returning(Report(Counts(1, 0, 1, 0, 0, None), (incident,)), monkeypatch)

    assert code == app.run(["analyze", "x", "--fail-on", "new"])
    assert 1 == app.run(["analyze", "x", "--fail-on", "any"])


def test_a_green_run_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without incidents the exit code is 0, whatever was asked."""
    returning(green_report, monkeypatch)

    assert 0 == app.run(["analyze", "x", "--fail-on", "any"])


@pytest.mark.usefixtures("calls")
def test_an_unwritable_output_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the file as the user gave it; stdout stays empty."""
    path = tmp_path / "no" / "such" / "folder.json"
    code = app.run(["analyze", "x", "--output", str(path)])

    assert 2 == code
    assert ("", f"heisenberg: {path}: No such file or directory\n") == capsys.readouterr()

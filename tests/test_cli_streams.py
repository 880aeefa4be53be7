from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heisenberg.cli import streams

JUNIT = """<testsuites><testsuite name="s"><testcase classname="cart" name="pays › é" time="1">
<failure message="boom">boom</failure></testcase></testsuite></testsuites>"""


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and tells when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def stderr_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal that can show a spinner.

    Not a fixture: pytest puts its own stderr back between the setup and the test.
    """
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_long_work_shows_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment a spinner tells what goes on, and no markup in a name is obeyed."""
    terminal = stderr_terminal(monkeypatch)
    monkeypatch.setattr(streams, "PATIENCE_S", 0.0)
    with streams.progress() as tell:
        tell("reading [bold]a.log[/nonsense]\x1b]0;owned\x07")

        assert terminal.written.wait(10)
    shown = terminal.getvalue()
    assert "[bold]a.log[/nonsense]" in shown
    assert "owned" not in shown


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over at once needs no spinner."""
    terminal = stderr_terminal(monkeypatch)
    monkeypatch.setattr(streams, "PATIENCE_S", 60.0)
    with streams.progress() as tell:
        tell("reading")

    assert not terminal.getvalue()


def test_progress_is_silent_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A CI log has no spinner in it, even when colours are forced."""
    monkeypatch.setattr(streams, "PATIENCE_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with streams.progress() as tell:
        tell("reading")

    assert not capsys.readouterr().err


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content is there, with the permissions of the old file, and nothing beside it."""
    path = tmp_path / "out.json"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o640)
    streams.write_file(path, "new é")

    assert "new é" == path.read_text(encoding="utf-8")
    assert 0o640 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """The file is as readable as any that the user makes."""
    (tmp_path / "usual").touch()
    streams.write_file(tmp_path / "out.json", "x")

    assert (tmp_path / "usual").stat().st_mode == (tmp_path / "out.json").stat().st_mode


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """A symbolic link stays one; the file that it names gets the content."""
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    streams.write_file(tmp_path / "link", "x")

    assert (tmp_path / "link").is_symlink()
    assert "x" == (tmp_path / "target").read_text(encoding="utf-8")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up the old file stays as it was, and no fragment remains."""
    path = tmp_path / "out.json"
    path.write_text("old", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        streams.write_file(path, "new")

    assert str(path) == caught.value.filename
    assert "old" == path.read_text(encoding="utf-8")
    assert [path] == list(tmp_path.iterdir())


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    """Writing over a folder fails with its name."""
    with pytest.raises(IsADirectoryError) as caught:
        streams.write_file(tmp_path, "x")

    assert str(tmp_path) == caught.value.filename


@pytest.mark.parametrize("content", ["x", "é"])
def test_a_device_is_written_in_place(content: str) -> None:
    """`--output /dev/null` does not replace the device."""
    streams.write_file(Path(os.devnull), content)

    assert not Path(os.devnull).is_file()


def on_terminal(junit: Path, **environment: str) -> str:
    """What `heisenberg analyze` shows on a real pseudo-terminal."""
    leader, follower = pty.openpty()
    base = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    with subprocess.Popen(
        [sys.executable, "-m", "heisenberg", "analyze", str(junit)],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**base, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65_536):
                shown += chunk
        except OSError:
            # Linux reports the end of a pseudo-terminal as an input/output error.
            pass
        finally:
            os.close(leader)
        assert 0 == process.wait(timeout=60)
    return shown.decode()


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    """A report with one failure."""
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_color_is_for_terminals(junit: Path, environment: dict[str, str], colored: bool) -> None:
    """A terminal gets colours unless NO_COLOR is set or it cannot show them."""
    shown = on_terminal(junit, **environment)

    assert colored == ("\x1b[" in shown)
    assert "1 failed of 1 test" in shown


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        ("text", "ascii"),
        ("text", "latin-1"),
        ("text", "cp1252"),
        ("text", "utf-8"),
        ("json", "ascii"),
        ("markdown", "latin-1"),
        ("sarif", "ascii"),
    ],
)
def test_any_encoding_will_do(junit: Path, form: str, encoding: str) -> None:
    """Text is written in what stdout can take; documents are UTF-8 whatever it is."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "analyze", str(junit), "--format", form],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
        timeout=60,
    )

    shown = done.stdout.decode("utf-8" if form != "text" else encoding)
    assert "pays" in shown
    assert ("›" in shown) == (form != "text" or encoding == "utf-8")
    assert b"" == done.stderr

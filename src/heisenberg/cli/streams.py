"""Where output goes and what it may look like there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from heisenberg import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH = 100
"""Columns when there is no terminal to ask and COLUMNS is not set."""
MIN_WIDTH, MAX_WIDTH = 40, 200
PATIENCE_S = 0.5
"""How long work may take before a sign of life is due."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the receiver of text can show."""

    width: int
    color: bool
    ascii_only: bool


PLAIN = Look(WIDTH, color=False, ascii_only=False)
"""For a file."""


def look() -> Look:
    """What stdout can show.

    Colour is for terminals; NO_COLOR forbids it, FORCE_COLOR demands it, and TERM=dumb cannot
    show it. An encoding other than UTF-8 gets ASCII.
    """
    console = Console(file=sys.stdout)
    columns = shutil.get_terminal_size((WIDTH, 24)).columns
    return Look(
        width=min(MAX_WIDTH, max(MIN_WIDTH, columns)),
        color=console.is_terminal and not console.no_color and not console.is_dumb_terminal,
        ascii_only=not (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf"),
    )


def write(content: str) -> None:
    """Write text to stdout; what its encoding lacks is written as escapes."""
    _write(content.encode(sys.stdout.encoding or "ascii", "backslashreplace"))


def write_document(content: str) -> None:
    """Write a document to stdout as UTF-8, whatever the locale says: its format demands it."""
    _write(content.encode("utf-8"))


def _write(content: bytes) -> None:
    """Write to stdout; a reader that has gone, as `head` does, is no failure."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # Without this the interpreter complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_file(path: Path, content: str) -> None:
    """Write a whole file as UTF-8, or nothing: a reader never sees half of it.

    Raises:
        OSError: The folder does not exist or cannot be written to; names `path`.
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device, as in `--output /dev/stdout`, has to be written in place.
            path.write_text(content, encoding="utf-8")
            return
        _replace_file(path.resolve(), content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace_file(path: Path, content: str) -> None:
    """Write beside `path` and rename, with the permissions that a new file would have."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while long work goes on, if stderr is a terminal; else silence."""
    console = Console(file=sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal or not sys.stderr.isatty():
        yield lambda _: None
        return
    status = console.status("Reading")
    timer = threading.Timer(PATIENCE_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda stage: status.update(_stage(stage, console.width))
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def _stage(stage: str, width: int) -> str:
    """What is being done, short enough for the spinner's line, and not taken for markup."""
    return text.truncate(text.one_line(stage), max(10, width - 4)).replace("[", "\\[")

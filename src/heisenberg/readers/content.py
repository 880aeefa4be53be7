"""The bytes of an artefact, before any format is known."""

from __future__ import annotations

import codecs
import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from heisenberg.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heisenberg.model.run import Artefact

HEAD_BYTES = 64 * 1024
"""How much of a file may be looked at to tell its format."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_BARE_UTF16 = ((b"<\0", "utf-16-le"), (b"{\0", "utf-16-le"), (b"\0<", "utf-16-be"))
"""How UTF-16 without a byte order mark starts when it is XML or JSON."""


def encoding_of(head: bytes) -> str:
    """Name the Unicode encoding that the first bytes show; UTF-8 when they show none."""
    for start, encoding in (*_BOMS, *_BARE_UTF16):
        if head.startswith(start):
            return encoding
    return "utf-16-be" if head.startswith(b"\0{") else "utf-8"


def read_bytes(artefact: Artefact, limit: int = -1) -> bytes:
    """Read a file, or its first `limit` bytes.

    Raises:
        ReadError: It cannot be opened.
    """
    try:
        with artefact.path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror or error}") from error


def head_text(artefact: Artefact) -> str:
    """Decode the first `HEAD_BYTES`; what does not decode is replaced.

    Raises:
        ReadError: It cannot be opened.
    """
    head = read_bytes(artefact, HEAD_BYTES)
    return head.decode(encoding_of(head), "replace").lstrip("\ufeff \t\r\n")


def line_and_column(data: bytes, offset: int) -> tuple[int, int]:
    """Place of a byte: 1-based line, and 1-based column in bytes."""
    line = data.count(b"\n", 0, offset) + 1
    return line, offset - data.rfind(b"\n", 0, offset)


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector: it finds nothing in frozen models but reads them all."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():
                # Moves what is new to the oldest generation, which is seldom looked through.
                gc.freeze()
                gc.unfreeze()
            gc.enable()

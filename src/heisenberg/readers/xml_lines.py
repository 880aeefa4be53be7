"""Lines of test cases in large XML files: libxml2 counts no further than 65,534."""

from __future__ import annotations

import html
import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heisenberg.model.run import Artefact

_MARK = b"<testcase"
_BLOCK = 8 * 1024
_TAG = 4096
"""Bytes of a start tag in which its name is looked for."""


class LineFinder:
    """Finds the line of the n-th test case by counting start tags in the raw bytes."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        with artefact.path.open("rb") as file:
            start = file.read(_BLOCK)
        self.skipped = start[: len(start) - len(start.lstrip(b" \t\r\n"))].count(b"\n")
        """Blank lines before the document, which the parser does not see."""
        self.data: mmap.mmap | None = None
        self.found = 0
        self.offset = 0
        self.line = 1

    def line_of(self, ordinal: int, name: str) -> int | None:
        """1-based line of a test case; ask in ascending order.

        Args:
            ordinal: Which `testcase` element of the file, from 1.
            name: Its name, to make sure.

        Returns:
            The line, or None when the bytes do not show it (a prefix, UTF-16, a quoted report).
        """
        if self.data is None:
            with self.artefact.path.open("rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        block = self.data[self.offset : self.offset + _BLOCK + len(_MARK) - 1]
        while self.found + (count := block.count(_MARK)) < ordinal:
            if self.offset + _BLOCK >= len(self.data):
                return None
            self.found += count
            self.line += block.count(b"\n", 0, _BLOCK)
            self.offset += _BLOCK
            block = self.data[self.offset : self.offset + _BLOCK + len(_MARK) - 1]
        at = -1
        for _ in range(ordinal - self.found):
            at = block.find(_MARK, at + 1)
        self.line += block.count(b"\n", 0, at)
        self.offset += at
        self.found = ordinal - 1
        tag = self.data[self.offset : self.offset + _TAG].decode("utf-8", "replace")
        return self.line if name in html.unescape(tag) else None

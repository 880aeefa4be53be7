"""Lines of test cases in large XML files: libxml2 counts no further than 65,534."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heisenberg.model.run import Artefact

_MARK = b"<testcase"
_BLOCK = 256 * 1024
_START = 64 * 1024
_TAG = 4096
"""Bytes of a start tag in which its name is looked for."""


class LineFinder:
    """Finds the line of the n-th test case by counting start tags in the raw bytes."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        with artefact.path.open("rb") as file:
            start = file.read(_START)
        self.skipped = start[: len(start) - len(start.lstrip(b" \t\r\n"))].count(b"\n")
        """Blank lines before the document, which the parser does not see."""
        self.offset = 0
        """Of the next block."""
        self.block = b""
        self.before = self.last = 0
        """Numbers of the last test cases that begin before the block, and in it."""
        self.at = 0
        """Place in the block of the test case that was found last, or 0 in a new block."""
        self.found = 0
        """Its number, or that of the last one before a new block."""
        self.line = 1
        """Line of that place."""

    def line_of(self, ordinal: int, name: str) -> int | None:
        """1-based line of a test case; ask in ascending order.

        Args:
            ordinal: Which `testcase` element of the file, from 1.
            name: Its name, to make sure.

        Returns:
            The line, or None when the bytes do not show it (a prefix, UTF-16, a quoted report).
        """
        while self.last < ordinal:
            self.line += self.block.count(b"\n", self.at, _BLOCK)
            self.at, self.found = 0, self.last
            if not self.load():
                return None
        at = self.at
        # The one found last is passed over; at the start of a block there is none yet.
        search = at + (self.found > self.before)
        for _ in range(ordinal - self.found):
            at = self.block.find(_MARK, search)
            search = at + 1
        self.line += self.block.count(b"\n", self.at, at)
        self.at, self.found = at, ordinal
        tag = self.block[at : at + _TAG]
        is_it = name.encode() in tag or name in html.unescape(tag.decode("utf-8", "replace"))
        return self.line if is_it else None

    def load(self) -> bool:
        """Read the next block, with the whole of a tag that begins in it; False at the end."""
        with self.artefact.path.open("rb") as file:
            file.seek(self.offset)
            self.block = file.read(_BLOCK + _TAG)
        self.offset += _BLOCK
        self.before = self.last
        self.last += self.block.count(_MARK, 0, _BLOCK + len(_MARK) - 1)
        return bool(self.block)

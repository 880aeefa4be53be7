"""Read a file's lines from any byte, whatever its size, encoding or line length.

Slices are copied with `pread` and never mapped: a log that another process truncates would
kill us with SIGBUS when a mapped page goes away.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINE_BYTES = 1 << 20
"""A longer line is cut here; no logger writes one on purpose."""

FIRST_READ_BYTES = 1 << 14
"""A probe of the bisection rarely needs more."""

READ_BYTES = 1 << 18

SAMPLE_BYTES = 1 << 16

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def guess_encoding(head: bytes) -> str:
    """Name the encoding of a file from its first bytes: UTF-8, UTF-16 or Latin-1."""
    for bom, name in BOMS:
        if head.startswith(bom):
            return name
    pairs = len(head) // 2
    odd, even = head[1::2].count(0), head[::2].count(0)
    if pairs and max(odd, even) > pairs * 0.7 and min(odd, even) < pairs * 0.1:
        return "utf-16-le" if odd > even else "utf-16-be"
    if head.isascii():
        return "utf-8"
    text = head.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    sound = sum(1 for c in text if c > "\x7f") - broken
    # One broken character may be the sample's cut end; a UTF-8 log may quote a few bad bytes.
    return "latin-1" if broken > 1 and sound < broken else "utf-8"


class LineFile:
    """A file open for reading lines at any offset; close it or use it as a context.

    Its size is that at opening: what is appended later is not read, and what is cut off
    meanwhile ends the iteration.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        stat = os.fstat(self._fd)
        self.size = stat.st_size
        self.modified_at = stat.st_mtime
        self._cut_at: set[int] = set()
        self.replaced_bytes = False
        self.encoding = guess_encoding(os.pread(self._fd, SAMPLE_BYTES, 0))
        self._unit = 2 if self.encoding.startswith("utf-16") else 1
        self._newline = "\n".encode(self.encoding)

    @property
    def cut_lines(self) -> int:
        """How many lines were longer than `MAX_LINE_BYTES`, of those read so far."""
        return len(self._cut_at)

    def close(self) -> None:
        """Release the file; the second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def starts_with(self, beginnings: tuple[bytes, ...]) -> bool:
        """Whether the file's first bytes are one of these."""
        return self._read(0, 32).startswith(beginnings)

    def line_start(self, position: int, stop: int | None = None) -> int:
        """Offset of the first line that starts at or after a byte; the size when none does.

        With `stop`, a line that starts after it need not be found.
        """
        if position <= 0:
            return 0
        stop = self.size if stop is None else stop
        at, read_bytes = (position - self._unit) // self._unit * self._unit, FIRST_READ_BYTES
        while at < stop:
            data = self._read(at, read_bytes)
            read_bytes = READ_BYTES
            if not data:
                break
            found = self._find(data, 0)
            if found >= 0:
                return min(at + found + self._unit, self.size)
            at += len(data)
        return self.size

    def lines(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield (offset, text without its end) of the lines that start in [start, stop).

        Args:
            start: A line's first byte.
            stop: The end of the file when None.
        """
        stop = self.size if stop is None else min(stop, self.size)
        at, read_bytes = start, FIRST_READ_BYTES
        pending, nuls = b"", 0
        while at < stop:
            chunk = self._read(at + nuls + len(pending), read_bytes)
            read_bytes = READ_BYTES
            data = pending + chunk if pending else chunk
            end = self._find_last(data) if chunk else len(data)
            if end >= 0:
                if not data:
                    return
                yield from self._split(data[:end], at, nuls, stop)
                at += nuls + end + self._unit
                pending, nuls = data[end + self._unit :], 0
            elif data[0] == 0 and self._unit == 1:
                # A log that was truncated under its writer begins with a run of NULs.
                pending = data.lstrip(b"\0")
                nuls += len(data) - len(pending)
            elif len(data) > MAX_LINE_BYTES:
                yield at, self._decode(self._cut(data, at))
                at = self.line_start(at + nuls + len(data), stop)
                pending, nuls = b"", 0
            else:
                pending = data

    def _split(self, block: bytes, at: int, nuls: int, stop: int) -> Iterator[tuple[int, str]]:
        is_plain = self._unit == 1 and len(block) <= MAX_LINE_BYTES and block.isascii()
        if is_plain and not nuls and b"\0" not in block:
            for line in block.decode("ascii").split("\n"):
                if at >= stop:
                    return
                yield at, line[:-1] if line[-1:] == "\r" else line
                at += len(line) + 1
            return
        for raw in self._raw_lines(block):
            if at >= stop:
                return
            yield at, self._decode(self._cut(raw, at)).rstrip("\r")
            at += nuls + len(raw) + self._unit
            nuls = 0

    def _raw_lines(self, block: bytes) -> Iterator[bytes]:
        if self._unit == 1:
            yield from block.split(b"\n")
            return
        begin = 0
        while (end := self._find(block, begin)) >= 0:
            yield block[begin:end]
            begin = end + self._unit
        yield block[begin:]

    def _cut(self, raw: bytes, at: int) -> bytes:
        if len(raw) <= MAX_LINE_BYTES:
            return raw
        self._cut_at.add(at)
        return raw[:MAX_LINE_BYTES]

    def _decode(self, raw: bytes) -> str:
        try:
            text = raw.decode(self.encoding)
        except UnicodeDecodeError:
            self.replaced_bytes = True
            text = raw.decode(self.encoding, "replace")
        text = text.removeprefix("\ufeff")
        return text.replace("\0", "") if "\0" in text else text

    def _read(self, at: int, count: int) -> bytes:
        count = min(count, self.size - at)
        return os.pread(self._fd, count, at) if count > 0 else b""

    def _find(self, data: bytes, begin: int) -> int:
        found = data.find(self._newline, begin)
        while found >= 0 and found % self._unit:
            found = data.find(self._newline, found + 1)
        return found

    def _find_last(self, data: bytes) -> int:
        found = data.rfind(self._newline)
        while found >= 0 and found % self._unit:
            found = data.rfind(self._newline, 0, found + 1)
        return found

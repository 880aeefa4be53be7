"""Find each quote in its artefact, or drop it.

A quote from a log is looked for at the record's place, one from a report from the test's place
on. It must occur exactly, once the format's own escapes and terminal colours are undone.
"""

from __future__ import annotations

import codecs
import html
import json
import os
import re
from array import array
from typing import TYPE_CHECKING, Protocol

from heisenberg.model.diagnosis import Evidence
from heisenberg.text import replace_surrogates, strip_escapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from heisenberg.diagnosis.claim import Citation
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.run import Artefact, Place

MAX_RECORD_BYTES = 1 << 20
"""Of a log record; a longer one is quoted from its beginning."""
REACH_BYTES = 8 << 10
"""What is decoded around a hit at least: minified reports are one line, however long."""
FIRST_CHUNK_BYTES, CHUNK_BYTES = 1 << 16, 1 << 20
"""Read at once when a file is searched: what is looked for is mostly near."""
MAX_ESCAPED_BYTES = 16
"""That a character of a quote may take in a file, escapes and colours beside it included."""
MAX_ALIEN_BYTES = 64 << 20
"""Of a report in another encoding than UTF-8 that is searched."""
MAX_HITS = 2000
"""Places of a fragment that are tried before a quote is given up."""

_JSON_ESCAPE = re.compile(
    r'\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(["\\/bfnrt]))'
)
_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PLAIN = re.compile(r"[^\"\\<>&'\x00-\x1f]+")
"""What no format escapes, but for JSON that keeps to ASCII."""
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.:-]*)["']""")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WORD = re.compile(r"[A-Za-z0-9]{3,}")
_FRAGMENT = re.compile(r"[A-Za-z0-9_.,:()$@ -]{3,}")


class Verifier:
    """Finds citations in artefacts. Opens each file when it is first cited."""

    def __init__(
        self,
        artefacts: Mapping[str, Artefact],
        count_lines: Callable[[Path, Sequence[int]], dict[int, int]],
    ) -> None:
        """Remember where the artefacts are.

        Args:
            artefacts: By source.
            count_lines: Gives the 1-based line numbers of byte offsets in a file.
        """
        self._artefacts = artefacts
        self._count_lines = count_lines
        self._lines: dict[tuple[str, int], int] = {}
        self._offsets: dict[tuple[object, str], int | None] = {}
        self._alien: dict[Path, tuple[str, bytes]] = {}
        self._newlines: dict[Path, array[int]] = {}

    def __call__(self, citations: Sequence[Citation]) -> list[Evidence]:
        """Turn the citations that hold into evidence, in the same order, each place once."""
        evidence: dict[tuple[str, int, str], Evidence] = {}
        for found in self.locate(citations):
            if found is not None:
                evidence.setdefault((found.source, found.line, found.quote), found)
        return list(evidence.values())

    def locate(self, citations: Sequence[Citation]) -> list[Evidence | None]:
        """For each citation the evidence that it makes; None when it does not hold."""
        offsets = [self._known_offset(citation) for citation in citations]
        places = zip(citations, offsets, strict=True)
        self._number({(self._source(c), offset) for c, offset in places if offset is not None})
        return [self._evidence(c, offset) for c, offset in zip(citations, offsets, strict=True)]

    def _evidence(self, citation: Citation, offset: int | None) -> Evidence | None:
        source = self._source(citation)
        line = None if offset is None else self._lines.get((source, offset))
        if line is None:
            return None
        timestamp = citation.record.timestamp if citation.record else None
        return Evidence(source, line, citation.quote, timestamp)

    @staticmethod
    def _source(citation: Citation) -> str:
        where = citation.record or citation.place
        return where.source if where else ""

    def _known_offset(self, citation: Citation) -> int | None:
        """The same quote is cited by several rules, and looked for once."""
        record = citation.record
        where = (record.source, record.offset) if record else citation.place
        if (where, citation.quote) not in self._offsets:
            self._offsets[where, citation.quote] = self._offset(citation)
        return self._offsets[where, citation.quote]

    def _offset(self, citation: Citation) -> int | None:
        artefact = self._artefacts.get(self._source(citation))
        if artefact is None or not citation.quote.strip():
            return None
        try:
            if citation.record is not None:
                holds = _holds(artefact.path, citation.record, citation.quote)
                return citation.record.offset if holds else None
            if citation.place is None:
                return None
            return self._find(artefact.path, citation.place, citation.quote)
        except OSError:
            return None

    def _find(self, path: Path, place: Place, quote: str) -> int | None:
        """Byte offset in a report, on the line in which the quote stands, from the test's place on."""
        if not path.stat().st_size:
            return None
        if path not in self._alien:
            self._alien[path] = _from_alien(path)
        encoding, text = self._alien[path]
        if encoding:
            offset = _search_all(text, quote, self._start(path, text, place))
            if offset is None:
                return None
            return len(text[:offset].decode("utf-8", "ignore").encode(encoding, "replace"))
        with path.open("rb") as file:
            data = _Stored(file.fileno())
            return _search_all(data, quote, self._start(path, data, place))

    def _start(self, path: Path, data: _Bytes, place: Place) -> int:
        """Where the test begins, as far as the place tells."""
        if place.line is not None:
            if path not in self._newlines:
                self._newlines[path] = array("Q", _line_starts(data))
            starts = self._newlines[path]
            return starts[place.line - 1] if 0 < place.line <= len(starts) else 0
        if place.near:
            return max(0, data.find(place.near.encode("utf-8", "surrogatepass"), 0))
        return 0

    def _number(self, places: set[tuple[str, int]]) -> None:
        """Count lines once a file for all that is cited in it."""
        wanted: dict[str, list[int]] = {}
        for source, offset in places:
            if (source, offset) not in self._lines:
                wanted.setdefault(source, []).append(offset)
        for source, offsets in wanted.items():
            try:
                numbers = self._count_lines(self._artefacts[source].path, sorted(offsets))
            except OSError:
                continue  # it has vanished since, and its quotes with it
            self._lines.update({(source, offset): line for offset, line in numbers.items()})


def readings(line: str) -> tuple[str, ...]:
    """The ways in which a raw line may be read: as it is, and with its format's escapes undone."""
    plain = strip_escapes(line)
    found = [plain]
    if "\\" in line:
        once = undo_json(line)
        found.append(strip_escapes(once))
        if "\\" in once:
            found.append(strip_escapes(undo_json(once)))
    if "&" in line:
        found.append(strip_escapes(html.unescape(line)))
    return tuple(dict.fromkeys(found))


def undo_json(text: str) -> str:
    """Undo JSON's string escapes anywhere in a text."""
    return _JSON_ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    high, low, simple = match.groups()
    if simple:
        return _SIMPLE[simple]
    if low and 0xD800 <= int(high, 16) <= 0xDBFF:  # noqa: PLR2004 (UTF-16 high surrogates)
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    return replace_surrogates(chr(int(high, 16)) + (chr(int(low, 16)) if low else ""))


def _holds(path: Path, record: LogRecord, quote: str) -> bool:
    """Whether the quote stands in the record, read anew from the file."""
    with path.open("rb") as file:
        wide = _wide_encoding(file.read(REACH_BYTES))
        file.seek(record.offset)
        reach = len(record.text) * MAX_ESCAPED_BYTES + REACH_BYTES
        data = file.read(min(reach, MAX_RECORD_BYTES))
    lines = record.text.count("\n") + 1
    if wide:
        texts = data.decode(wide, "replace").split("\n", lines)[:lines]
    else:
        texts = [text for raw in data.split(b"\n", lines)[:lines] for text in _decoded(raw)]
    return any(quote in reading for text in texts for reading in readings(text))


def _wide_encoding(head: bytes) -> str:
    """The encoding of two or four bytes a character that the first bytes show; empty for others."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    odd, even = head[1::2].count(0), head[::2].count(0)
    if pairs and max(odd, even) > pairs * 0.7 and min(odd, even) < pairs * 0.1:
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


class _Bytes(Protocol):
    """Bytes that can be searched and cut out."""

    def find(self, needle: bytes, start: int, /) -> int:
        """Place of the first occurrence from a byte on; -1 without one."""

    def __getitem__(self, part: slice, /) -> bytes: ...


class _Stored:
    """A file's bytes. Copied and never mapped: a mapped file that is truncated would kill us."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def find(self, needle: bytes, start: int) -> int:
        """Place of the first occurrence from a byte on; -1 without one."""
        overlap = len(needle) - 1
        size = FIRST_CHUNK_BYTES
        while data := os.pread(self._descriptor, size + overlap, start):
            found = data.find(needle)
            if found >= 0:
                return start + found
            start += max(1, len(data) - overlap)
            size = CHUNK_BYTES
        return -1

    def __getitem__(self, part: slice) -> bytes:
        return os.pread(self._descriptor, max(0, part.stop - part.start), part.start)


def _line_starts(data: _Bytes) -> Iterator[int]:
    """Offset of each line's first byte."""
    yield 0
    at = 0
    while chunk := data[at : at + CHUNK_BYTES]:
        yield from (at + match.end() for match in re.finditer(rb"\n", chunk))
        at += len(chunk)


def _from_alien(path: Path) -> tuple[str, bytes]:
    """Encoding of a report that is not in UTF-8, and its text in UTF-8; empty when it is."""
    with path.open("rb") as file:
        head = file.read(REACH_BYTES)
        encoding = _wide_encoding(head)
        if not encoding and (declared := _DECLARED.match(head)):
            encoding = declared[1].decode("ascii")
        try:
            if not encoding or codecs.lookup(encoding).name in {"utf-8", "ascii"}:
                return "", b""
            text = (head + file.read(MAX_ALIEN_BYTES)).decode(encoding, "replace")
        except (LookupError, UnicodeError):
            return "", b""
    return encoding, text.encode("utf-8", "surrogatepass")


def _decoded(raw: bytes) -> tuple[str, ...]:
    """A line as UTF-8, or when it is none, as the Western encodings that were before it."""
    try:
        return (raw.decode("utf-8").rstrip("\r"),)
    except UnicodeDecodeError:
        return (
            raw.decode("utf-8", "replace"),
            raw.decode("cp1252", "replace"),
            raw.decode("latin-1"),
        )


def _search_all(data: _Bytes, quote: str, start: int) -> int | None:
    """Byte offset in the line in which the quote stands, from a byte on, else from the beginning."""
    fragment = max(_FRAGMENT.findall(quote), key=len, default="").strip()
    words = sorted(set(_WORD.findall(quote)), key=lambda w: (-len(w), w))
    plain = max(_PLAIN.findall(quote), key=len, default="").strip()
    tried = (fragment, *words[:3], plain, json.dumps(plain)[1:-1], quote)
    for needle in dict.fromkeys(needle for needle in tried if needle):
        for begin in dict.fromkeys((start, 0)):
            offset = _search(data, needle.encode("utf-8", "surrogatepass"), quote, begin)
            if offset is not None:
                return offset
    return None


def _search(data: _Bytes, needle: bytes, quote: str, begin: int) -> int | None:
    reach = len(quote) * MAX_ESCAPED_BYTES + REACH_BYTES
    offset = begin
    for _ in range(MAX_HITS):
        hit = data.find(needle, offset)
        if hit < 0:
            return None
        first = max(0, hit - reach)
        near = data[first : hit + reach]
        end = near.find(b"\n", hit - first)
        raw = near[near.rfind(b"\n", 0, hit - first) + 1 : end if end >= 0 else None]
        if any(quote in reading for text in _decoded(raw) for reading in readings(text)):
            return hit
        # What stands around a hit this near has been decoded with this one.
        offset = first + end + 1 if end >= 0 else hit + REACH_BYTES // 2
    return None

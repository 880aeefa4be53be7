"""Find each quote in its artefact, or drop it.

A quote from a log is looked for at the record's place, one from a report from the test's place
on. It must occur exactly, once the format's own escapes and terminal colours are undone.
"""

from __future__ import annotations

import html
import json
import mmap
import re
from typing import TYPE_CHECKING

from heisenberg.model.diagnosis import Evidence
from heisenberg.text import strip_escapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from heisenberg.diagnosis.claim import Citation
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.run import Artefact, Place

MAX_RECORD_BYTES = 1 << 20
"""Of a log record; a longer one is quoted from its beginning."""
MAX_LINE_BYTES = 8 << 20
"""Of a report's line that is decoded around a hit; minified reports are one line."""
MAX_WIDE_BYTES = 64 << 20
"""Of a report in UTF-16 that is searched."""
MAX_HITS = 2000
"""Places of a fragment that are tried before a quote is given up."""

_JSON_ESCAPE = re.compile(
    r'\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(["\\/bfnrt]))'
)
_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PLAIN = re.compile(r"[^\"\\<>&'\x00-\x1f]+")
"""What no format escapes, but for JSON that keeps to ASCII."""
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

    def __call__(self, citations: Sequence[Citation]) -> list[Evidence]:
        """Turn the citations that hold into evidence, in the same order."""
        found = [(c, self._offset(c)) for c in citations]
        self._number({(self._source(c), offset) for c, offset in found if offset is not None})
        evidence: dict[tuple[str, int, str], Evidence] = {}
        for citation, offset in found:
            if offset is None:
                continue
            source = self._source(citation)
            line = self._lines[source, offset]
            timestamp = citation.record.timestamp if citation.record else None
            evidence.setdefault(
                (source, line, citation.quote), Evidence(source, line, citation.quote, timestamp)
            )
        return list(evidence.values())

    @staticmethod
    def _source(citation: Citation) -> str:
        where = citation.record or citation.place
        return where.source if where else ""

    def _offset(self, citation: Citation) -> int | None:
        artefact = self._artefacts.get(self._source(citation))
        if artefact is None or not citation.quote.strip():
            return None
        try:
            if citation.record is not None:
                holds = _holds(artefact.path, citation.record, citation.quote)
                return citation.record.offset if holds else None
            return _find(artefact.path, citation.place, citation.quote) if citation.place else None
        except OSError:
            return None

    def _number(self, places: set[tuple[str, int]]) -> None:
        """Count lines once a file for all that is cited in it."""
        wanted: dict[str, list[int]] = {}
        for source, offset in places:
            if (source, offset) not in self._lines:
                wanted.setdefault(source, []).append(offset)
        for source, offsets in wanted.items():
            numbers = self._count_lines(self._artefacts[source].path, sorted(offsets))
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
    return chr(int(high, 16)) + (chr(int(low, 16)) if low else "")


def _holds(path: Path, record: LogRecord, quote: str) -> bool:
    """Whether the quote stands in the record, read anew from the file."""
    with path.open("rb") as file:
        wide = _wide_encoding(file.read(2))
        file.seek(record.offset)
        data = file.read(MAX_RECORD_BYTES)
    lines = record.text.count("\n") + 1
    if wide:
        texts = data.decode(wide, "replace").splitlines()[:lines]
    else:
        texts = [text for raw in data.split(b"\n", lines)[:lines] for text in _decoded(raw)]
    return any(quote in reading for text in texts for reading in readings(text))


def _wide_encoding(head: bytes) -> str:
    """The encoding of two bytes a character that a byte order mark names; empty for others."""
    return {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(head, "")


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


def _find(path: Path, place: Place, quote: str) -> int | None:
    """Byte offset of the line in a report in which the quote stands, from the test's place on."""
    fragment = max(_FRAGMENT.findall(quote), key=len, default="").strip()
    words = sorted(set(_WORD.findall(quote)), key=lambda w: (-len(w), w))
    plain = max(_PLAIN.findall(quote), key=len, default="").strip()
    tried = (fragment, *words[:3], plain, json.dumps(plain)[1:-1], quote)
    needles = list(dict.fromkeys(needle for needle in tried if needle))
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        wide = _wide_encoding(data[:2])
        if wide:
            return _find_wide(data[:MAX_WIDE_BYTES].decode(wide, "replace"), wide, quote)
        start = _start(data, place)
        for needle in needles:
            for begin in dict.fromkeys((start, 0)):
                offset = _search(data, needle.encode("utf-8", "surrogatepass"), quote, begin)
                if offset is not None:
                    return offset
    return None


def _find_wide(text: str, encoding: str, quote: str) -> int | None:
    """The same in a text of two bytes a character, which is small enough to be read line by line."""
    offset = 0
    for line in text.splitlines(keepends=True):
        if any(quote in reading for reading in readings(line)):
            return offset
        offset += len(line.encode(encoding, "surrogatepass"))
    return None


def _start(data: mmap.mmap, place: Place) -> int:
    """Where the test begins, as far as the place tells."""
    if place.line is not None:
        offset = 0
        for _ in range(place.line - 1):
            newline = data.find(b"\n", offset)
            if newline < 0:
                return 0
            offset = newline + 1
        return offset
    if place.near:
        return max(0, data.find(place.near.encode("utf-8", "surrogatepass")))
    return 0


def _search(data: mmap.mmap, needle: bytes, quote: str, begin: int) -> int | None:
    offset = begin
    for _ in range(MAX_HITS):
        hit = data.find(needle, offset)
        if hit < 0:
            return None
        start = data.rfind(b"\n", max(0, hit - MAX_LINE_BYTES), hit) + 1
        end = data.find(b"\n", hit, hit + MAX_LINE_BYTES)
        stop = end if end >= 0 else min(len(data), hit + MAX_LINE_BYTES)
        raw = data[max(start, hit - MAX_LINE_BYTES) : stop]
        if any(quote in reading for text in _decoded(raw) for reading in readings(text)):
            return start
        offset = stop + 1
    return None

"""Parse XML as it streams by, whatever the producer let slip into it."""

from __future__ import annotations

import codecs
import re
from typing import IO, TYPE_CHECKING, Any, cast

from lxml import etree

from heisenberg.errors import MalformedError, ReadError, TooLargeError
from heisenberg.readers.content import encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heisenberg.model.run import Artefact

MAX_TEXT_BYTES = 4 * 1024 * 1024
"""What a repair keeps of one text; libxml2 refuses texts beyond 10 MB."""

_REPAIRABLE = frozenset(
    {
        etree.ErrorTypes.ERR_INVALID_CHAR,
        etree.ErrorTypes.ERR_INVALID_CHARREF,
        etree.ErrorTypes.ERR_INVALID_HEX_CHARREF,
        etree.ErrorTypes.ERR_INVALID_DEC_CHARREF,
        etree.ErrorTypes.ERR_INVALID_ENCODING,
        etree.ErrorTypes.ERR_CDATA_NOT_FINISHED,
        etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
        etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
        etree.ErrorTypes.ERR_ENCODING_NAME,
        etree.ErrorTypes.I18N_CONV_FAILED,
    }
)
_RESOURCE_LIMIT = 114
_LINE_LIMIT = 65535
"""libxml2 counts an element's line no further."""

_CHUNK = 64 * 1024
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\x1b")
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~])?")
_BAD_REFERENCE = re.compile(
    rb"&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01])|[xX]0*(?:[0-8]|[bBcCeEfF]|1[0-9a-fA-F])"
    rb"|[xX][fF]{3}[eEfF]|[xX][dD][89a-fA-F][0-9a-fA-F]{2}|5(?:5[3-9]|6[0-9]|7[0-3])\d{2}|6553[45]);"
)
_ESCAPE_REFERENCE = re.compile(rb"&#(?:0*27|[xX]0*1[bB]);(?:\[[0-?]*[ -/]*[@-~])?")
_NONCHARACTERS = re.compile("[\ufffe\uffff\ud800-\udfff]")
_LONGEST_TAIL = 24
"""A reference or an escape that may be cut by the end of a chunk is no longer than this."""
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_FIRST_LINE = re.compile(r",? *(?:line \d+, column \d+)?(?: \([^()]*line \d+\))?\s*$")


class NeedsRepairError(Exception):
    """The XML breaks a rule that a repair can mend; raised between the two passes only."""


def elements(artefact: Artefact, tags: Sequence[str], *, repair: bool) -> Iterator[etree._Element]:
    """Yield elements as they end; the caller clears them.

    Args:
        artefact: Where the XML is.
        tags: Local names, in any namespace or none.
        repair: Mend what breaks the rules in a way that harms nothing: characters that XML
            forbids, wrong encodings, over-long texts.

    Raises:
        NeedsRepairError: `repair` is off, and would help.
        MalformedError: It is not well-formed; the message tells line and column.
        TooLargeError: It is nested too deeply, or an attribute is too long.
        ReadError: It cannot be opened.
    """
    try:
        with artefact.path.open("rb") as file:
            source = _Repaired(file) if repair else _skip_blanks(file)
            yield from _parse(source, tags, repair=repair)
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror or error}") from error


def _parse(
    source: IO[bytes] | _Repaired, tags: Sequence[str], *, repair: bool
) -> Iterator[etree._Element]:
    """Run libxml2 over the bytes, with every door shut."""
    context = etree.iterparse(
        source,
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in tags],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=False,
        encoding="utf-8" if repair else None,
    )
    etree.clear_error_log()
    checked = False
    try:
        for _, element in context:
            if not checked:
                _refuse_entities(element)
                checked = True
            yield element
    except etree.XMLSyntaxError as error:
        if not repair and _is_repairable(error):
            raise NeedsRepairError from error
        raise _explain(error) from error


def _skip_blanks(file: IO[bytes]) -> IO[bytes]:
    """Leave the file at its first byte that is no blank: some tools print a line before it."""
    start = file.read(_CHUNK)
    file.seek(len(start) - len(start.lstrip(b" \t\r\n")))
    return file


def _refuse_entities(element: etree._Element) -> None:
    """Refuse a document that declares entities: no report needs them, and bombs do."""
    dtd: Any = element.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise MalformedError(
            "declares XML entities, which no test report needs and which are never expanded;"
            " remove the DOCTYPE"
        )


def attributes_of(element: etree._Element) -> dict[str, str]:
    """All attributes of an element, by name."""
    attributes: dict[str, str] = dict(element.items())  # type: ignore[arg-type] # never bytes
    return attributes


def text_of(element: etree._Element) -> str:
    """All the text inside an element."""
    if not len(element):
        return element.text or ""
    return "".join(cast("Iterator[str]", element.itertext()))


def local_name(element: etree._Element) -> str:
    """Name without namespace; empty for what has no name, such as an entity."""
    tag: Any = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def line_of(element: etree._Element) -> int | None:
    """1-based line of an element; None beyond what libxml2 counts."""
    line = cast("int | None", element.sourceline)
    return line if line is not None and line < _LINE_LIMIT else None


def _code(error: etree.XMLSyntaxError) -> int:
    """libxml2's number of an error."""
    return int(cast("Any", error).code)


def _is_repairable(error: etree.XMLSyntaxError) -> bool:
    """Whether `_Repaired` can mend what the error tells of."""
    text = str(error).lower()
    if _code(error) == _RESOURCE_LIMIT or "too big" in text:
        return "text node" in text or "cdata section" in text
    return _code(error) in _REPAIRABLE or "encoding" in text


def _explain(error: etree.XMLSyntaxError) -> MalformedError | TooLargeError:
    """Turn libxml2's words into one line with a place and a next step."""
    line, column = error.position
    message = str(error.msg)
    log: Any = error.error_log
    if not line and len(log):
        # A wrong entity is only told of in the log.
        entry = log[-1]
        line, column, message = entry.line, entry.column, entry.message
    place = f" at line {line}, column {column}" if line else ""
    what = _FIRST_LINE.sub("", message.strip().split("\n")[0]).strip().rstrip(".,")
    if _code(error) == _RESOURCE_LIMIT:
        what = what.split(", try")[0].split(", use")[0]
        return TooLargeError(f"XML beyond the parser's limits{place}: {what}; is this a report?")
    ending = (
        "Premature end",
        "no element found",
        "Couldn't find end",
        "unfinished",
        "not closed",
        "not finished",
    )
    if any(words in what for words in ending):
        return MalformedError(f"XML ends early{place}: {what}; was the run or the upload cut off?")
    if "tag mismatch" in what:
        what = f"mismatched tag ({what.partition(': ')[2] or what})"
    return MalformedError(f"invalid XML{place}: {what}; was the report cut off or edited?")


class _Repaired:
    """A file that reads as valid UTF-8 without what XML forbids and without endless texts."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        head = file.read(_CHUNK)
        self.decode = codecs.getincrementaldecoder(_encoding(head))("replace").decode
        self.pending = head.lstrip(b" \t\r\n")
        self.tail = b""
        self.in_cdata = False
        self.run = 0
        self.ended = False

    def read(self, _size: int = -1) -> bytes:
        """Return the next bytes; none at the end."""
        while not self.ended:
            chunk = self.pending or self.file.read(_CHUNK)
            self.pending = b""
            self.ended = not chunk
            text = self.decode(chunk, self.ended).lstrip("\ufeff")
            data = self.tail + _NONCHARACTERS.sub("\ufffd", text).encode()
            self.tail = b""
            if not self.ended:
                data, self.tail = _split_tail(data)
            data = _ESCAPE.sub(b"", data.translate(None, _CONTROLS))
            data = _BAD_REFERENCE.sub(b"", _ESCAPE_REFERENCE.sub(b"", data))
            if kept := self._shorten(data):
                return kept
        return b""

    def _shorten(self, data: bytes) -> bytes:
        """Leave out what goes beyond `MAX_TEXT_BYTES` in one text."""
        kept: list[bytes] = []
        at = 0
        while at < len(data):
            mark = b"]]>" if self.in_cdata else b"<"
            found = data.find(mark, at)
            end = len(data) if found < 0 else found
            room = max(0, MAX_TEXT_BYTES - self.run)
            kept.append(data[at : min(end, at + room)])
            self.run += end - at
            if found < 0:
                break
            at = end
            self.run = 0
            if self.in_cdata:
                self.in_cdata = False
                kept.append(b"]]>")
                at += 3
            elif data.startswith(b"<![CDATA[", at):
                self.in_cdata = True
                kept.append(b"<![CDATA[")
                at += 9
            else:
                kept.append(b"<")
                at += 1
        return b"".join(kept)


def _split_tail(data: bytes) -> tuple[bytes, bytes]:
    """Hold back the last bytes when a mark, a reference or an escape may be cut in them."""
    near_end = max(0, len(data) - _LONGEST_TAIL)
    cut = min(
        (i for i in (data.find(m, near_end) for m in (b"&", b"\x1b", b"<", b"]")) if i >= 0),
        default=len(data),
    )
    return data[:cut], data[cut:]


def _encoding(head: bytes) -> str:
    """The encoding by byte order mark, else as declared, else UTF-8."""
    shown = encoding_of(head)
    declared = _DECLARED.search(head[:512])
    if shown != "utf-8" or declared is None:
        return shown
    try:
        name = codecs.lookup(declared[1].decode()).name
    except LookupError:
        return "utf-8"
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name

"""Tell a log from what is none, by content."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from heisenberg.errors import SourceError
from heisenberg.readers.logs.lines import LineFile
from heisenberg.readers.logs.log import open_log

if TYPE_CHECKING:
    from heisenberg.model.run import Artefact

HEAD_LINES = 60

HEAD_BYTES = 1 << 18

_MAGIC = (
    b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF", b"\x7fELF", b"BZh",
    b"\xfd7zXZ", b"(\xb5/\xfd", b"SQLite format 3", b"RIFF", b"\x1aE\xdf\xa3", b"\xca\xfe\xba\xbe",
)  # fmt: skip
_MARKUP = re.compile(r"\s*<(?:!doctype|html|\?xml|[a-z][\w:-]*[\s>/])", re.IGNORECASE)
_CODE = re.compile(
    r"\s*(?:#!|import\s[\w{*]|from\s[\w.]+\simport\s|package\s\w|#include\s|using\s[\w.]+;|const\s\w+\s="
    r"|function\s\w+\(|(?:export|public|private|class|def|interface)\s\w|diff --git |@@ -\d)"
)
_DOCUMENT = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*(?:[{\[\"]|\]$))")
MAX_CONTROL_SHARE = 0.02


def sniff(artefact: Artefact) -> str | None:
    """Name a log's format; None when the file is none: binary, markup, a JSON document, code.

    Reads a bounded part. A text that nothing speaks against is a log without times, `console`.

    Raises:
        SourceError: The file cannot be opened.
    """
    try:
        with LineFile(artefact.path) as file:
            if not file.size or file.starts_with(_MAGIC):
                return None
            head = islice(file.lines(0, HEAD_BYTES), HEAD_LINES)
            lines = [line[:4000] for _, line in head]
    except OSError as error:
        raise SourceError(f"cannot be opened ({error.strerror or error})") from error
    if not _is_text(lines):
        return None
    filled = [line for line in lines if line.strip()]
    if _MARKUP.match(filled[0]) or filled[0].strip() in {"{", "["}:
        return None
    with open_log(artefact) as log:
        name = log.format
        if name != "console":
            # A report on one line may state a time, but says nothing.
            return name if len(filled) > 1 or any(r.message for r in log.head(1)) else None
    is_document = _DOCUMENT.match(filled[0])
    is_code = sum(1 for line in filled if _CODE.match(line)) > len(filled) // 10
    return None if is_document or is_code else name


def _is_text(lines: list[str]) -> bool:
    text = "\n".join(lines)[:20_000]
    if not text.strip():
        return False
    odd = sum(1 for c in text if (c < " " and c not in "\t\n\r\x1b\b\f") or c == "\ufffd")
    return odd <= len(text) * MAX_CONTROL_SHARE

"""Names that people give: of organizations and of keys."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_NAME_CHARS: Final = 200
NAME_PATTERN: Final = "^[^{0}]*[^{0}\\s][^{0}]*$".format(
    r"\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069"
)
"""Something to see, and nothing that hides: controls, line ends, bidi controls."""

_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Of arguments that are no UTF-8."""


def clean_name(raw: str) -> str:
    """Take off blanks around a name, and write what looks the same the same way (NFC).

    Raises:
        ValueError: It is empty, too long or holds what cannot be seen.
    """
    if not raw.strip():
        raise ValueError("must not be empty")
    if not _NAME.match(raw) or _SURROGATE.search(raw):
        raise ValueError("must not hold control characters")
    name = unicodedata.normalize("NFC", raw.strip())
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"must have at most {MAX_NAME_CHARS} characters")
    return name

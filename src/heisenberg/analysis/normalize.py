"""Mask what differs between two tellings of the same failure.

The masks are an ordered list: an earlier one takes its text before a later one can. Changing any
of them changes fingerprints, so `fingerprint.VERSION` bumps with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Mask:
    """A named pattern and why it is masked."""

    name: str
    pattern: str
    reason: str


MASKS: tuple[Mask, ...] = (
    Mask(
        "uuid",
        r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
        "new for every entity or request",
    ),
    Mask(
        "time",
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?",
        "differs between any two runs",
    ),
    Mask("date", r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[/.]\d{1,2}[/.]\d{4}\b", "differs between days"),
    Mask("clock", r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b", "differs between any two runs"),
    Mask(
        "email",
        r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}",
        "test data is often made up anew",
    ),
    Mask(
        "address",
        r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b|\blocalhost:\d{1,5}\b",
        "hosts and ephemeral ports differ between machines",
    ),
    Mask("pointer", r"\b0x[0-9a-fA-F]+\b", "memory addresses differ between processes"),
    Mask(
        "temp",
        r"(?:/tmp|/var/folders|/private/var|[A-Z]:\\Users\\[^\\\s]+\\AppData\\Local\\Temp)[/\\][^\s'\",;:)]+",
        "temporary folders have random names",
    ),
    Mask(
        "hex",
        r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{7,64}\b",
        "digests, trace and request ids",
    ),
    Mask(
        "duration",
        r"\b\d+(?:\.\d+)?\s?(?:ms|milliseconds?|s|sec|seconds?|minutes?|min|m|h|hours?)\b",
        "measured times differ between runs",
    ),
    Mask("number", r"(?<![A-Za-z])[-+]?\d+(?:[.,]\d+)*|(?<=[A-Za-z_-])\d+", "counts, ids, amounts"),
)
"""Applied in this order, the leftmost match first, an earlier mask before a later one."""

_COMBINED = re.compile("|".join(f"(?P<{mask.name}>{mask.pattern})" for mask in MASKS))
_SPACE = re.compile(r"\s+")

MAX_LENGTH = 4000
"""Characters of a text that are looked at; the rest of a longer one says nothing new."""


def normalize(text: str) -> str:
    """Replace every masked part by `<name>` and fold white space.

    Args:
        text: Any text; colours already undone.

    Returns:
        The masked text, at most `MAX_LENGTH` long. Masking it again changes nothing.
    """
    return _normalize(text[:MAX_LENGTH])


@lru_cache(maxsize=8192)
def _normalize(text: str) -> str:
    masked = _COMBINED.sub(lambda match: f"<{match.lastgroup}>", text)
    return _SPACE.sub(" ", masked).strip()[:MAX_LENGTH].rstrip()

"""Tell the shape of JSON from its beginning, whole or not."""

from __future__ import annotations

import re
from collections.abc import Mapping

Shape = Mapping[str, frozenset[str]]
"""Top-level keys, each with the keys of the objects one or two levels below it."""

# A string that breaks off at the end is a token too: tried anew at each of its quotes, it would
# take quadratic time.
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"(\s*:)?)?|[{}\[\]]', re.DOTALL)
_NEAR = 3
"""Levels looked at: an object in an array in a top-level key."""


def shape_of(head: str) -> Shape | None:
    """Read the keys of an object's beginning.

    Args:
        head: The first characters, blanks stripped; it may break off anywhere.

    Returns:
        The keys met, or None when it does not begin as an object.
    """
    if not head.startswith("{"):
        return None
    keys: dict[str, set[str]] = {}
    top, depth = "", 0
    for token in _TOKEN.finditer(head):
        mark = token[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if not depth:
                break
        elif token[2]:
            if depth == 1:
                top = token[1]
                keys.setdefault(top, set())
            elif depth <= _NEAR:
                keys.setdefault(top, set()).add(token[1])
    return {key: frozenset(inner) for key, inner in keys.items()}

"""Find the JSON of an answer among what weak models put round it."""

from __future__ import annotations

import json
import re

MAX_STARTS = 20
"""Braces at which an object is tried to be read; a hostile answer may hold a million."""

_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(?P<body>.*)\n\s*```$", re.DOTALL)
_DECODER = json.JSONDecoder()


def find_json(answer: str) -> str:
    """The JSON text in an answer: all of it, what one fence holds, or the only object in prose.

    Where that is not clear, the answer is given back as it is, for its reader to complain.
    """
    bare = answer.strip()
    if (fence := _FENCE.match(bare)) and "```" not in fence["body"]:
        return fence["body"].strip()
    if bare.startswith("{") and bare.endswith("}"):
        return bare
    found = _objects(bare)
    return found[0] if len(found) == 1 else bare


def _objects(prose: str) -> list[str]:
    """The objects at the top level of a text, as far as `MAX_STARTS` braces tell."""
    found: list[str] = []
    at = 0
    for _ in range(MAX_STARTS):
        at = prose.find("{", at)
        if at < 0:
            break
        try:
            _, end = _DECODER.raw_decode(prose, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            found.append(prose[at:end])
            at = end
    return found

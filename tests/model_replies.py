"""What a model may answer about an incident, made from the prompt that it is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_wires import Asked

_ITEM = re.compile(r"\[(E\d+)\] (\w+)")
_LINE = re.compile(r"(E\d+)\| (.*)")
_TOLD = re.compile(r"^H\| (.*)", re.MULTILINE)
_HYPOTHESIS = re.compile(r"owner (\w+), mechanism (\w+), confidence")


def lines_of(asked: Asked) -> dict[str, list[str]]:
    """The lines of each item that was sent, by its id."""
    found: dict[str, list[str]] = {}
    for line in asked.user.splitlines():
        if match := _LINE.match(line):
            found.setdefault(match[1], []).append(match[2])
    return found


def cause_of(asked: Asked) -> str:
    """Id of the item that the rules suspect, else of the first."""
    items: list[tuple[str, str]] = _ITEM.findall(asked.user)
    return next((name for name, kind in items if kind == "cause"), items[0][0])


def agreeing(asked: Asked, **changes: Any) -> dict[str, Any]:
    """A diagnosis like the hypothesis, proven by the suspected item's most telling line."""
    item = cause_of(asked)
    line = max(lines_of(asked)[item], key=lambda text: ("Error" in text, len(text)))
    quote = line.removesuffix("…")[:200].rstrip()
    hypothesis = _HYPOTHESIS.search(asked.user)
    assert hypothesis
    told = _TOLD.search(asked.user)
    assert told
    shown = f"[{item}] cause" in asked.user
    said = told[1] if shown else " ".join(re.findall("[A-Za-z]{3,}", quote))
    proof = [{"item": item, "quote": quote}]
    answer: dict[str, Any] = {
        "owner": hypothesis[1],
        "mechanism": hypothesis[2],
        "symptom": "timeout",
        "component": "unknown",
        "root_cause": {"text": f"Indeed {said}", "evidence": proof},
        "suggested_fix": {"action": "handle_case", "target": "unknown", "evidence": proof},
        "alternatives": [],
        "missing": [],
        "confidence": 0.9,
    }
    return {**answer, **changes}


def inventing(asked: Asked) -> dict[str, Any]:
    """A diagnosis whose evidence nobody has seen."""
    proof = [
        {"item": "E1", "quote": "OutOfMemoryError: Java heap space"},
        {"item": "E77", "quote": "disk full"},
    ]
    claim = {"text": "The Java heap ran out of memory.", "evidence": proof}
    fix = {"action": "free_resources", "target": "heap", "evidence": proof}
    return agreeing(asked, root_cause=claim, suggested_fix=fix)

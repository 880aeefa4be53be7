"""How the rules that read the logs cite them, and name what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heisenberg.diagnosis.context import cite_record
from heisenberg.model.diagnosis import Mechanism

if TYPE_CHECKING:
    from heisenberg.diagnosis.claim import Citation
    from heisenberg.diagnosis.context import Context
    from heisenberg.model.correlation import Suspect

WELL_SUSPECTED = 0.35
"""Score from which another suspect is worth a line beside the cause."""
SAME_TIME_S = 5.0
"""Seconds within which it belongs to the same trouble."""


def at_place(suspect: Suspect) -> str:
    """` at FILE:LINE`, when the stack shows a place in the project's own code."""
    return f" at {suspect.place}" if suspect.place else ""


def request_of(suspect: Suspect) -> str:
    """`METHOD PATH` of the request that it broke; empty when it belongs to none."""
    record = next((r for r in (suspect.root, *suspect.chain) if r.path), None)
    return f"{record.method} {record.path}".strip() if record else ""


def cite_cause(context: Context, *fragments: str) -> tuple[Citation, ...]:
    """The root first, then what followed from it, then what the test saw.

    Args:
        context: Of the incident.
        fragments: Of the root record, the most telling first; its message is cited anyway.
    """
    cause = context.cause
    if cause is None:
        return context.cite_symptom()
    root = cite_record(cause.root, *fragments, *cause.telling, cause.root.message)
    chain = tuple(c for record in cause.chain[:3] for c in cite_record(record)[:1])
    return (*root, *chain, *_cite_related(context, cause), *context.cite_symptom())


def _cite_related(context: Context, cause: Suspect) -> tuple[Citation, ...]:
    """What else the logs show of the same trouble, from other services."""
    near = [
        s
        for s in context.related
        if s is not cause
        and s.signature != cause.signature
        and s.trouble is not Mechanism.UNKNOWN
        and (s.score >= WELL_SUSPECTED or s.trouble is cause.trouble)
        and abs((s.time - cause.time).total_seconds()) <= SAME_TIME_S
    ]
    return tuple(c for s in near[:2] for c in cite_record(s.root, s.error, *s.telling)[:1])

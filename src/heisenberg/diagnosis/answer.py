"""The form of a model's answer: what it has to be, and reading it."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import msgspec

from heisenberg.model.diagnosis import Mechanism, Owner, Symptom

MAX_TEXT = 600
"""Characters of a sentence."""
MAX_CITED = 12
"""Quotes of one claim."""
MAX_LISTED = 5
"""Alternatives, and things that are missing."""


class Wanted(StrEnum):
    """What would settle a case. A choice and no text: what a model writes freely needs proof."""

    LOGS = "logs"
    TRACE = "trace"
    SCREENSHOT = "screenshot"
    SOURCE = "source"
    HISTORY = "history"
    CONFIGURATION = "configuration"
    METRICS = "metrics"
    TEST_DATA = "test_data"


WANTED = {
    Wanted.LOGS: "the logs of the services that the tests use, from the time of the run",
    Wanted.TRACE: "a trace of the failing attempt",
    Wanted.SCREENSHOT: "a screenshot of the failing attempt",
    Wanted.SOURCE: "the source code of the test and of what it tests",
    Wanted.HISTORY: "reports of earlier runs of the same tests",
    Wanted.CONFIGURATION: "the configuration that the services ran with",
    Wanted.METRICS: "processor, memory and disk of the machines during the run",
    Wanted.TEST_DATA: "the data that the test found and left",
}
"""Each in words."""


class Cited(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place in the evidence that was sent."""

    item: str
    """`E3`."""
    quote: str


class Claimed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence and what proves it."""

    text: str
    evidence: tuple[Cited, ...]


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another reading and what speaks for it."""

    owner: Owner
    mechanism: Mechanism
    confidence: float
    evidence: tuple[Cited, ...]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A diagnosis as a model gives it. `state` is not asked for: one run does not tell it."""

    owner: Owner
    mechanism: Mechanism
    symptom: Symptom
    component: str
    root_cause: Claimed
    suggested_fix: Claimed
    alternatives: tuple[Other, ...]
    missing: tuple[Wanted, ...]
    confidence: float


def _object(**properties: object) -> dict[str, Any]:
    """An object with exactly these properties: what all providers' strict modes take."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_SHARE = {"type": "number"}
_OWNER = {"type": "string", "enum": [o.value for o in Owner]}
_MECHANISM = {"type": "string", "enum": [m.value for m in Mechanism]}
_SYMPTOM = {"type": "string", "enum": [s.value for s in Symptom]}
_EVIDENCE = _list(_object(item=_TEXT, quote=_TEXT))
_CLAIM = _object(text=_TEXT, evidence=_EVIDENCE)

SCHEMA: dict[str, Any] = _object(
    owner=_OWNER,
    mechanism=_MECHANISM,
    symptom=_SYMPTOM,
    component=_TEXT,
    root_cause=_CLAIM,
    suggested_fix=_CLAIM,
    alternatives=_list(
        _object(owner=_OWNER, mechanism=_MECHANISM, confidence=_SHARE, evidence=_EVIDENCE)
    ),
    missing=_list({"type": "string", "enum": [w.value for w in Wanted]}),
    confidence=_SHARE,
)
"""JSON Schema of the answer, in the part of it that every provider understands."""


def read_answer(text: str) -> Answer:
    """Read an answer.

    Raises:
        ValueError: It is no JSON, or not of the form; says what is wrong and where.
    """
    try:
        answer = msgspec.json.decode(text, type=Answer)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    for share in (answer.confidence, *(other.confidence for other in answer.alternatives)):
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ValueError("confidence has to be from 0 to 1")
    for claim in (answer.root_cause, answer.suggested_fix):
        if len(claim.text) > MAX_TEXT:
            raise ValueError(f"a text is longer than {MAX_TEXT} characters")
    if not answer.root_cause.text.strip():
        raise ValueError("root_cause.text is empty")
    return answer

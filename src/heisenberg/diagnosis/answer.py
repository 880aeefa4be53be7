"""The form of a model's answer: what it has to be, and reading it."""

from __future__ import annotations

import math
import re
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


class Action(StrEnum):
    """What the owner should do. A choice for the same reason: a suggestion is followed."""

    HANDLE_CASE = "handle_case"
    CORRECT_LOGIC = "correct_logic"
    GUARD_CONCURRENCY = "guard_concurrency"
    WAIT_FOR_STATE = "wait_for_state"
    UPDATE_TEST = "update_test"
    ISOLATE_TEST_DATA = "isolate_test_data"
    FIX_TIME_OR_CHANCE = "fix_time_or_chance"
    RESTORE_SERVICE = "restore_service"
    FIX_CONFIGURATION = "fix_configuration"
    RENEW_CREDENTIALS = "renew_credentials"
    REPAIR_NETWORK = "repair_network"
    FREE_RESOURCES = "free_resources"
    RELEASE_LOCK = "release_lock"
    SPEED_UP_OR_RAISE_LIMIT = "speed_up_or_raise_limit"
    ASK_LESS_OFTEN = "ask_less_often"
    TELL_PROVIDER = "tell_provider"


ACTIONS = {
    Action.HANDLE_CASE: "Handle in {target} the case that the cited lines show, and cover it with a test.",
    Action.CORRECT_LOGIC: "Correct what {target} computes or shows, and cover it with a test.",
    Action.GUARD_CONCURRENCY: "Make {target} safe for what happens at the same time, and test that order.",
    Action.WAIT_FOR_STATE: "Let the test wait for the state that it needs in {target}, not for time.",
    Action.UPDATE_TEST: "Change what the test expects or looks for in {target}.",
    Action.ISOLATE_TEST_DATA: "Give each test data of its own in {target}, so that their order does not matter.",
    Action.FIX_TIME_OR_CHANCE: "Take time and chance out of what is tested in {target}: fix clock and seed.",
    Action.RESTORE_SERVICE: "Bring {target} back, and find out in its log why it went.",
    Action.FIX_CONFIGURATION: "Correct the configuration of {target} that the cited lines show.",
    Action.RENEW_CREDENTIALS: "Give {target} credentials that are valid.",
    Action.REPAIR_NETWORK: "Make {target} reachable from where the tests run: address, name, certificate.",
    Action.FREE_RESOURCES: "Free or enlarge what {target} runs out of.",
    Action.RELEASE_LOCK: "Find what holds the lock that {target} waits for, and shorten it.",
    Action.SPEED_UP_OR_RAISE_LIMIT: "Make {target} faster, or raise the limit that it runs into.",
    Action.ASK_LESS_OFTEN: "Ask {target} less often, or wait as it says.",
    Action.TELL_PROVIDER: "Tell whoever runs {target}, and make the tests independent of it.",
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


class Fix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do, where, and what proves it."""

    action: Action
    target: str
    """Name of a component."""
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
    suggested_fix: Fix
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
_ACTION = {"type": "string", "enum": [a.value for a in Action]}

SCHEMA: dict[str, Any] = _object(
    owner=_OWNER,
    mechanism=_MECHANISM,
    symptom=_SYMPTOM,
    component=_TEXT,
    root_cause=_object(text=_TEXT, evidence=_EVIDENCE),
    suggested_fix=_object(action=_ACTION, target=_TEXT, evidence=_EVIDENCE),
    alternatives=_list(
        _object(owner=_OWNER, mechanism=_MECHANISM, confidence=_SHARE, evidence=_EVIDENCE)
    ),
    missing=_list({"type": "string", "enum": [w.value for w in Wanted]}),
    confidence=_SHARE,
)
"""JSON Schema of the answer, in the part of it that every provider understands."""


_KIND = re.compile(
    r"Invalid enum value|Object contains unknown field|Object missing required field"
    r"|Expected `[a-z| ]+`, got `[a-z]+`|Number out of range|JSON is malformed|Input data was truncated"
)
_PATH = re.compile(r" - at `(\$[a-z_.\[\]]*)`\Z")


def _what_is_wrong(error: Exception) -> str:
    """What does not fit, and where, in words of ours alone: the message is shown, and sent back."""
    kind, at = _KIND.match(str(error)), _PATH.search(str(error))
    return (kind[0] if kind else "It is not of the form") + (f" at {at[1]}" if at else "")


def read_answer(text: str) -> Answer:
    """Read an answer.

    Raises:
        ValueError: It is no JSON, or not of the form; says what is wrong and where.
    """
    try:
        answer = msgspec.json.decode(text, type=Answer)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ValueError(_what_is_wrong(error)) from None
    for share in (answer.confidence, *(other.confidence for other in answer.alternatives)):
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ValueError("confidence has to be from 0 to 1")
    if len(answer.root_cause.text) > MAX_TEXT:
        raise ValueError(f"root_cause.text is longer than {MAX_TEXT} characters")
    if not answer.root_cause.text.strip():
        raise ValueError("root_cause.text is empty")
    return answer

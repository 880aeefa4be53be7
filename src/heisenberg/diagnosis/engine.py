"""Weigh the rules' claims into one diagnosis, or abstain and say what to collect."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heisenberg.diagnosis.calibration import calibrated
from heisenberg.diagnosis.rules import RULES
from heisenberg.model.diagnosis import Alternative, Diagnosis, Mechanism, Owner, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.diagnosis.claim import Citation, Claim
    from heisenberg.diagnosis.context import Context
    from heisenberg.diagnosis.rules import Rule
    from heisenberg.model.diagnosis import Evidence

ENGINE = "offline/1"
"""Bumps when the same evidence could be diagnosed otherwise."""
MIN_STRENGTH = 0.22
"""Below this the engine abstains."""
SUREST = 0.97
"""No single rule is surer than this."""
BLIND = 0.7
"""Factor for all claims when there was no log to look at."""
MAX_EVIDENCE = 8
"""Quotes of a diagnosis; more are not read."""
MAX_ALTERNATIVES = 3
"""Other readings that are told."""
MIN_ALTERNATIVE = 0.03
"""Confidence below which another reading is not worth a word."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All claims of one owner and mechanism, taken together."""

    owner: Owner
    mechanism: Mechanism
    strength: float
    claims: tuple[Claim, ...]
    evidence: tuple[Evidence, ...]


def diagnose(
    context: Context,
    verify: Callable[[Sequence[Citation]], list[Evidence]],
    rules: Sequence[Rule] = RULES,
) -> Diagnosis:
    """Diagnose one incident.

    Args:
        context: All that is known of it.
        verify: Finds citations in the artefacts; what is not found is left out.
        rules: Asked in order.

    Returns:
        The strongest reading whose evidence was found, with the others as alternatives; or
        `insufficient_evidence`, with what is missing.
    """
    claims = [claim for rule in rules if (claim := rule(context)) is not None]
    verdicts = _weigh(claims, context, verify)
    if not verdicts or verdicts[0].strength < MIN_STRENGTH:
        return _abstain(context, verdicts, verify)
    best = verdicts[0]
    leading = max(best.claims, key=lambda c: c.strength)
    confidence = _confidence(verdicts)
    return Diagnosis(
        state=_state(context),
        owner=best.owner,
        mechanism=best.mechanism,
        symptom=context.fact.symptom,
        component=leading.component,
        root_cause=leading.root_cause,
        suggested_fix=leading.suggested_fix,
        confidence=confidence,
        evidence=best.evidence,
        alternatives=_alternatives(verdicts[1:], confidence),
        missing=_missing(best.claims, confidence, context),
        engine=ENGINE,
    )


def _weigh(
    claims: Sequence[Claim],
    context: Context,
    verify: Callable[[Sequence[Citation]], list[Evidence]],
) -> list[Verdict]:
    """Drop claims without proof, join those that say the same, strongest first."""
    grouped: dict[tuple[Owner, Mechanism], list[tuple[Claim, list[Evidence]]]] = defaultdict(list)
    for claim in claims:
        evidence = _proof(claim, verify)
        if evidence:
            grouped[claim.owner, claim.mechanism].append((claim, evidence))
    verdicts = []
    for (owner, mechanism), same in grouped.items():
        same.sort(key=lambda pair: -pair[0].strength)
        doubt = 1.0
        for claim, _ in same:
            doubt *= 1 - min(SUREST, _discounted(claim, context))
        told = dict.fromkeys(item for _, evidence in same for item in evidence)
        verdicts.append(
            Verdict(
                owner, mechanism, 1 - doubt, tuple(c for c, _ in same), tuple(told)[:MAX_EVIDENCE]
            )
        )
    return sorted(verdicts, key=lambda v: (-v.strength, v.owner, v.mechanism))


def _proof(claim: Claim, verify: Callable[[Sequence[Citation]], list[Evidence]]) -> list[Evidence]:
    """What of the claim's citations is found; a claim from the logs needs a line of a log."""
    records = [c for c in claim.citations if c.record is not None]
    if records and not verify(records):
        return []
    return verify(claim.citations)


def _discounted(claim: Claim, context: Context) -> float:
    """What the logs show outweighs what the failure's text alone suggests.

    Without logs nobody knows whether something failed behind the page, so the text says less.
    """
    if not context.has_logs:
        return claim.strength * BLIND
    if context.cause is None or any(c.record is not None for c in claim.citations):
        return claim.strength
    is_refusal = context.cause.status is not None and context.cause.status < 500  # noqa: PLR2004 (HTTP classes)
    weight = 0.45 if is_refusal else 0.85
    return claim.strength * (1 - weight * context.cause.score)


def _confidence(verdicts: Sequence[Verdict]) -> float:
    """The strength of the best, less what speaks for another."""
    best = verdicts[0].strength
    rival = verdicts[1].strength if len(verdicts) > 1 else 0.0
    return calibrated(best * (1 - 0.35 * min(1.0, rival / best)))


def _alternatives(others: Sequence[Verdict], confidence: float) -> tuple[Alternative, ...]:
    """The other readings share what confidence is left, by their strength."""
    total = sum(v.strength for v in others) or 1.0
    left = 1 - confidence
    found = [
        Alternative(
            v.owner, v.mechanism, round(min(left * v.strength / max(total, 0.5), confidence), 4)
        )
        for v in others[:MAX_ALTERNATIVES]
    ]
    return tuple(a for a in found if a.confidence >= MIN_ALTERNATIVE)


def _state(context: Context) -> State:
    """Without history only this is known: whether it also passed on the same code."""
    return State.FLAKY if context.is_flaky else State.UNKNOWN


def _missing(claims: Sequence[Claim], confidence: float, context: Context) -> tuple[str, ...]:
    if confidence >= 0.85:  # noqa: PLR2004 (sure enough to need no more)
        return ()
    wanted = [m for claim in claims for m in claim.missing]
    if not context.has_logs:
        wanted.append(_LOGS)
    return tuple(dict.fromkeys(wanted))


_LOGS = "the logs of the services that the tests use, from the time of the run (--logs)"
_TRACE = "a trace or screenshot of the failing attempt"
_TIMES = "a report with the start time of each test (such as Playwright's JSON), to match it with the logs"


def _abstain(
    context: Context,
    verdicts: Sequence[Verdict],
    verify: Callable[[Sequence[Citation]], list[Evidence]],
) -> Diagnosis:
    missing = [] if context.has_logs else [_LOGS]
    missing += [] if context.has_times else [_TIMES]
    missing += [m for v in verdicts for c in v.claims for m in c.missing] or [_TRACE]
    headline = context.fact.headline.rstrip(".") or "the failure says nothing"
    confidence = 0.3
    return Diagnosis(
        state=_state(context),
        owner=Owner.INSUFFICIENT_EVIDENCE,
        mechanism=Mechanism.UNKNOWN,
        symptom=context.fact.symptom,
        component="unknown",
        root_cause=f"The evidence does not tell why it fails: {headline}.",
        suggested_fix="Collect what is listed as missing and analyse the run again.",
        confidence=confidence,
        evidence=tuple(verify(context.cite_symptom())[:MAX_EVIDENCE]),
        alternatives=_alternatives(verdicts, confidence),
        missing=tuple(dict.fromkeys(missing)),
        engine=ENGINE,
    )

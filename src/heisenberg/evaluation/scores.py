"""Figures that say how right the diagnoses are. Titles identify tests, as truths know no more."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from heisenberg.delivery import wording
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heisenberg.evaluation.cases import TrueIncident, Truth
    from heisenberg.model.report import Incident, Problem, Report

BINS = 10
"""Bins of equal width in the reliability table."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A true incident and the predicted one that shares most tests with it."""

    expected: TrueIncident
    got: Incident | None
    """None when no predicted incident shares a test: everything about it counts as wrong."""

    @property
    def is_owner_right(self) -> bool:
        """Whether the owner was found."""
        return self.got is not None and self.got.diagnosis.owner is self.expected.owner

    @property
    def is_mechanism_right(self) -> bool:
        """Whether the mechanism was found."""
        return self.got is not None and self.got.diagnosis.mechanism is self.expected.mechanism

    @property
    def is_proven(self) -> bool:
        """Whether a quote holds any of the key evidence."""
        quotes = [e.quote for e in self.got.diagnosis.evidence] if self.got else []
        return any(key in quote for key in self.expected.key_evidence for quote in quotes)


@dataclass(frozen=True, slots=True)
class Claim:
    """A predicted incident, as a bet: right when both its owner and its mechanism are."""

    confidence: float
    is_right: bool
    stated: float | None = None
    """What a language model stated, before it was calibrated; None for the offline engine."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Counts of pairs of tests that share an incident."""

    true: int
    predicted: int
    both: int


@dataclass(frozen=True, slots=True)
class Bin:
    """A row of the reliability table."""

    low: float
    high: float
    number: int
    confidence: float | None
    """Mean confidence of its claims."""
    accuracy: float | None
    """Share of its claims that were right."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What language models took."""

    calls: int = 0
    """Incidents that one was asked about; a kept answer is no call."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd,
        )


@dataclass(frozen=True, slots=True)
class CaseScore:
    """What was predicted for one case, against its truth."""

    name: str
    report: str
    """The report that was read, relative to the case's folder; empty when there was none."""
    seconds: float
    verdicts: tuple[Verdict, ...]
    claims: tuple[Claim, ...]
    unexpected: tuple[Incident, ...]
    """Predicted incidents that share no test with any true one."""
    pairs: Pairs
    cost: Cost
    outcomes: tuple[tuple[str, Outcome | None, Outcome | None], ...]
    """Title, true outcome and predicted outcome of every test that is red in either."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong in truth."""
        return not self.verdicts


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of all cases. A figure is None when there is nothing to take it over."""

    cases: tuple[CaseScore, ...]
    problems: tuple[Problem, ...] = ()
    verdicts: tuple[Verdict, ...] = field(init=False)
    claims: tuple[Claim, ...] = field(init=False)

    def __post_init__(self) -> None:
        verdicts = tuple(verdict for case in self.cases for verdict in case.verdicts)
        claims = tuple(claim for case in self.cases for claim in case.claims)
        object.__setattr__(self, "verdicts", verdicts)
        object.__setattr__(self, "claims", claims)

    @property
    def owner_accuracy(self) -> float | None:
        """Share of true incidents whose owner was found."""
        return share(v.is_owner_right for v in self.verdicts)

    @property
    def mechanism_accuracy(self) -> float | None:
        """Share of true incidents whose mechanism was found."""
        return share(v.is_mechanism_right for v in self.verdicts)

    @property
    def evidence_recall(self) -> float | None:
        """Share of true incidents, of those that name key evidence, with a quote that holds it."""
        return share(v.is_proven for v in self.verdicts if v.expected.key_evidence)

    @property
    def incident_precision(self) -> float | None:
        """Share of predicted pairs of tests that are true."""
        predicted = sum(c.pairs.predicted for c in self.cases)
        return sum(c.pairs.both for c in self.cases) / predicted if predicted else None

    @property
    def incident_recall(self) -> float | None:
        """Share of true pairs of tests that were predicted."""
        true = sum(c.pairs.true for c in self.cases)
        return sum(c.pairs.both for c in self.cases) / true if true else None

    @property
    def incident_f1(self) -> float | None:
        """Harmonic mean of precision and recall over the pairs of all cases."""
        true = sum(c.pairs.true for c in self.cases)
        predicted = sum(c.pairs.predicted for c in self.cases)
        both = sum(c.pairs.both for c in self.cases)
        return 2 * both / (true + predicted) if true + predicted else None

    @property
    def clean_runs(self) -> int:
        """Cases in which nothing was wrong."""
        return sum(case.is_clean for case in self.cases)

    @property
    def false_alarms(self) -> int:
        """Clean runs in which an incident was predicted."""
        return sum(case.is_clean and bool(case.claims) for case in self.cases)

    @property
    def outcome_accuracy(self) -> float | None:
        """Share of the tests that are red in truth or prediction whose outcomes agree."""
        return share(true is got for case in self.cases for _, true, got in case.outcomes)

    @property
    def brier(self) -> float | None:
        """Mean squared distance of the confidences from what came true; 0 is best.

        Source:
            Brier, Monthly Weather Review 78 (1950), 1-3.
        """
        if not self.claims:
            return None
        return statistics.fmean((c.confidence - c.is_right) ** 2 for c in self.claims)

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean gap of confidence and accuracy, weighted by bin.

        Source:
            Naeini, Cooper, Hauskrecht, AAAI (2015), 2901-2907.
        """
        if not self.claims:
            return None
        gaps = (
            b.number * abs(b.confidence - b.accuracy)
            for b in self.reliability
            if b.confidence is not None and b.accuracy is not None
        )
        return sum(gaps) / len(self.claims)

    @property
    def reliability(self) -> tuple[Bin, ...]:
        """Confidence against accuracy, in bins of equal width from 0 to 1."""
        return reliability(self.claims)

    @property
    def cost(self) -> Cost:
        """What language models took for all cases."""
        return sum((case.cost for case in self.cases), Cost())

    @property
    def median_seconds(self) -> float | None:
        """Median time that the analysis of one case took."""
        return statistics.median(c.seconds for c in self.cases) if self.cases else None


def share(facts: Iterable[bool]) -> float | None:
    """Share of the facts that hold, or None when there are none."""
    known = list(facts)
    return sum(known) / len(known) if known else None


def reliability(claims: Sequence[Claim], bins: int = BINS) -> tuple[Bin, ...]:
    """Put the claims into bins by confidence; a confidence of 1 belongs to the last bin."""
    table = []
    for index in range(bins):
        inside = [c for c in claims if min(int(c.confidence * bins), bins - 1) == index]
        table.append(
            Bin(
                low=index / bins,
                high=(index + 1) / bins,
                number=len(inside),
                confidence=statistics.fmean(c.confidence for c in inside) if inside else None,
                accuracy=share(c.is_right for c in inside),
            )
        )
    return tuple(table)


def score(name: str, used: str, truth: Truth, report: Report | None, seconds: float) -> CaseScore:
    """Score one case.

    Args:
        name: The case's name.
        used: The report that was read.
        truth: What was wrong.
        report: What was predicted, or None when the case could not be analysed.
        seconds: How long the analysis took.
    """
    incidents = report.incidents if report else ()
    verdicts = tuple(Verdict(true, _match(true, incidents)) for true in truth.incidents)
    return CaseScore(
        name=name,
        report=used,
        seconds=seconds,
        verdicts=verdicts,
        claims=tuple(_claim(incident, truth) for incident in incidents),
        unexpected=tuple(i for i in incidents if _closest(i, truth) is None),
        pairs=_pairs([true.tests for true in truth.incidents], [titles(i) for i in incidents]),
        cost=sum((_cost(incident) for incident in incidents), Cost()),
        outcomes=_outcomes(truth, incidents),
    )


def _cost(incident: Incident) -> Cost:
    said = incident.diagnosis
    asked = said.input_tokens + said.output_tokens > 0
    return Cost(int(asked), said.input_tokens, said.output_tokens, said.cost_usd)


def titles(incident: Incident) -> frozenset[str]:
    """Titles of the tests of a predicted incident."""
    return frozenset(test.id.title for test in incident.tests)


def _match(true: TrueIncident, incidents: Sequence[Incident]) -> Incident | None:
    """The predicted incident that shares most tests; of equals the smaller, then the first."""
    tests = set(true.tests)
    sharing = [i for i in incidents if tests & titles(i)]
    return max(sharing, key=lambda i: (len(tests & titles(i)), -len(titles(i))), default=None)


def _closest(incident: Incident, truth: Truth) -> TrueIncident | None:
    """The true incident that shares most tests with a predicted one; likewise."""
    tests = titles(incident)
    sharing = [true for true in truth.incidents if tests & set(true.tests)]
    return max(sharing, key=lambda t: (len(tests & set(t.tests)), -len(t.tests)), default=None)


def _claim(incident: Incident, truth: Truth) -> Claim:
    """The bet that a predicted incident makes; an alarm about nothing is lost."""
    true, said = _closest(incident, truth), incident.diagnosis
    right = true is not None and (true.owner, true.mechanism) == (said.owner, said.mechanism)
    return Claim(wording.probability(said.confidence), right, said.stated)


def _pairs(true: Iterable[Iterable[str]], predicted: Iterable[Iterable[str]]) -> Pairs:
    """Count the pairs of tests that share an incident.

    Every test makes a pair with itself, so that incidents of one test count too: a red test that
    is missing from the prediction costs recall, and one that is red in no truth costs precision.
    """

    def spread(groups: Iterable[Iterable[str]]) -> set[tuple[str, str]]:
        return {p for g in groups for p in combinations_with_replacement(sorted(set(g)), 2)}

    expected, got = spread(true), spread(predicted)
    return Pairs(len(expected), len(got), len(expected & got))


def _outcomes(
    truth: Truth, incidents: Iterable[Incident]
) -> tuple[tuple[str, Outcome | None, Outcome | None], ...]:
    """True and predicted outcome by title; a title that repeats has its worst outcome."""
    got: dict[str, Outcome] = {}
    for test in (test for incident in incidents for test in incident.tests):
        if got.get(test.id.title) is not Outcome.FAILED:
            got[test.id.title] = test.outcome
    every = sorted(truth.outcomes.keys() | got.keys())
    return tuple((title, truth.outcomes.get(title), got.get(title)) for title in every)

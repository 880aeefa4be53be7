"""How the engine weighs claims, drops what is not proven, and abstains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_context, a_suspect, accept_all
from heisenberg.diagnosis.claim import Citation, Claim
from heisenberg.diagnosis.engine import ENGINE, MAX_EVIDENCE, diagnose
from heisenberg.model.diagnosis import Evidence, Mechanism, Owner, State
from heisenberg.model.run import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heisenberg.diagnosis.context import Context

MECHANISMS = (Mechanism.RACE, Mechanism.TLS, Mechanism.DNS, Mechanism.AUTH, Mechanism.CLOCK)


def rule(
    mechanism: Mechanism, strength: float, quote: str = "", missing: str = ""
) -> Callable[[Context], Claim | None]:
    def claims(_: Context) -> Claim | None:
        return Claim(
            Owner.PRODUCT,
            mechanism,
            strength,
            mechanism,
            f"It is {mechanism}.",
            "Mend it.",
            (Citation(quote or mechanism, place=Place("report.json")),),
            missing=(missing,) if missing else (),
        )

    return claims


def silent(_: Context) -> Claim | None:
    return None


def find_none(_: Sequence[Citation]) -> list[Evidence]:
    return []


def test_the_strongest_reading_is_told() -> None:
    """The strongest claim is the diagnosis, the others are its alternatives, below it."""
    rules = (rule(Mechanism.TLS, 0.4), silent, rule(Mechanism.RACE, 0.9))
    diagnosis = diagnose(a_context("Error: x"), accept_all, rules)

    assert (Mechanism.RACE, "It is race.") == (diagnosis.mechanism, diagnosis.root_cause)
    assert [Mechanism.TLS] == [a.mechanism for a in diagnosis.alternatives]
    assert ENGINE == diagnosis.engine


def test_a_claim_whose_quote_is_not_found_is_dropped() -> None:
    """However strong, a reading without evidence gives way to one with it."""
    rules = (rule(Mechanism.RACE, 0.95, "not there"), rule(Mechanism.TLS, 0.6, "there"))

    def verify(citations: Sequence[Citation]) -> list[Evidence]:
        return [e for e in accept_all(citations) if e.quote == "there"]

    diagnosis = diagnose(a_context("Error: x"), verify, rules)

    assert Mechanism.TLS == diagnosis.mechanism
    assert ["there"] == [e.quote for e in diagnosis.evidence]
    assert Mechanism.RACE not in [a.mechanism for a in diagnosis.alternatives]


def test_without_any_evidence_it_abstains() -> None:
    """When nothing that is claimed can be quoted, nothing is claimed."""
    diagnosis = diagnose(a_context("Error: x"), find_none, (rule(Mechanism.RACE, 0.95),))

    assert Owner.INSUFFICIENT_EVIDENCE == diagnosis.owner
    assert () == diagnosis.evidence
    assert diagnosis.missing


def test_abstaining_says_what_to_collect() -> None:
    """Without logs, times or a telling failure it asks for what is not there."""
    context = a_context("Error: x", services=(), has_times=False)
    diagnosis = diagnose(
        context, accept_all, (rule(Mechanism.RACE, 0.05, missing="the core dump"),)
    )

    missing = " ".join(diagnosis.missing)
    assert Owner.INSUFFICIENT_EVIDENCE == diagnosis.owner
    assert all(word in missing for word in ("logs", "start time", "the core dump"))


def test_agreement_is_stronger_than_one_voice() -> None:
    """Two rules that say the same are surer together than the surer of them."""
    alone = diagnose(a_context("Error: x"), accept_all, (rule(Mechanism.TLS, 0.5),))
    both = diagnose(
        a_context("Error: x"), accept_all, (rule(Mechanism.TLS, 0.5), rule(Mechanism.TLS, 0.4, "b"))
    )

    assert both.confidence > alone.confidence
    assert {"tls", "b"} == {e.quote for e in both.evidence}


def test_a_rival_takes_confidence_away() -> None:
    """Another reading that is nearly as strong makes it less sure."""
    alone = diagnose(a_context("Error: x"), accept_all, (rule(Mechanism.TLS, 0.6),))
    disputed = diagnose(
        a_context("Error: x"), accept_all, (rule(Mechanism.TLS, 0.6), rule(Mechanism.DNS, 0.55))
    )

    assert disputed.confidence < alone.confidence


def test_what_the_logs_show_outweighs_the_text() -> None:
    """A rule that reads only the failure counts for less when the logs show a cause."""
    rules = (rule(Mechanism.TLS, 0.6),)
    free = diagnose(a_context("Error: x"), accept_all, rules)
    with_cause = diagnose(a_context("Error: x", a_suspect()), accept_all, rules)

    assert with_cause.confidence < free.confidence


@pytest.mark.parametrize("is_flaky", [True, False])
def test_the_state_is_what_one_run_can_tell(is_flaky: bool) -> None:
    """One run tells that a test is flaky; without history the rest is unknown."""
    context = a_context("Error: x", is_flaky=is_flaky)
    diagnosis = diagnose(context, accept_all, (rule(Mechanism.TLS, 0.6),))

    assert (State.FLAKY if is_flaky else State.UNKNOWN) == diagnosis.state


@given(
    st.lists(st.tuples(st.sampled_from(MECHANISMS), st.floats(0, 1)), max_size=7),
    st.booleans(),
)
@settings(deadline=None)
def test_confidences_keep_their_order(
    claims: list[tuple[Mechanism, float]], is_flaky: bool
) -> None:
    """Confidence is in [0, 1], no alternative is above it, and together they are at most 1."""
    rules = tuple(rule(m, s, f"{m} {i}") for i, (m, s) in enumerate(claims))
    diagnosis = diagnose(a_context("Error: x", is_flaky=is_flaky), accept_all, rules)

    others = [a.confidence for a in diagnosis.alternatives]
    assert 0 <= diagnosis.confidence <= 1
    assert all(0 < other <= diagnosis.confidence for other in others)
    assert diagnosis.confidence + sum(others) <= 1.001
    assert len(diagnosis.evidence) <= MAX_EVIDENCE
    assert diagnosis.owner is not Owner.PRODUCT or diagnosis.evidence


@given(st.permutations(range(4)))
@settings(deadline=None)
def test_the_order_of_the_rules_does_not_decide(order: list[int]) -> None:
    """Asked in any order the rules come to one diagnosis."""
    rules = [rule(m, 0.3 + 0.1 * i) for i, m in enumerate(MECHANISMS[:4])]
    shuffled = diagnose(a_context("Error: x"), accept_all, [rules[i] for i in order])

    assert diagnose(a_context("Error: x"), accept_all, rules) == shuffled

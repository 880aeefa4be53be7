"""Group failed tests into incidents: one cause, one incident.

What the logs show decides first: tests whose best suspect is the same share its incident,
whatever their messages say. What is left is grouped by what the failures themselves share: a
locator that is nowhere, a host that refuses, a helper's line that fails, a value that is off by the
same amount. Messages that merely look alike are not enough.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from heisenberg.analysis.frames import own_frame
from heisenberg.analysis.normalize import normalize
from heisenberg.analysis.suspects import is_mild
from heisenberg.analysis.trouble import INFRASTRUCTURE
from heisenberg.hosts import host_of
from heisenberg.model.correlation import Cluster, SuspectKind
from heisenberg.model.diagnosis import Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heisenberg.model.correlation import Correlation, FailedTest, Suspect

MIN_SCORE = 0.3
"""A suspect below this does not speak for a test."""
REPORTED = frozenset(
    {
        Mechanism.BACKEND_ERROR,
        Mechanism.DEPENDENCY_DOWN,
        Mechanism.NETWORK,
        Mechanism.TIMEOUT_BUDGET,
    }
)
"""Trouble that a service has with another, whose own log may say why."""
NEAR_S = 5.0
"""Seconds within which the one may explain the other."""
SETUP = frozenset({Mechanism.CONFIGURATION, Mechanism.AUTH, Mechanism.CLOCK})
"""Trouble of the set-up, which strikes at many places in the code with one kind of error."""
WEAK = 0.5
"""A suspect below this gives way to what the failures themselves share."""
FOLLOWED = 0.18
"""Score that is enough for a suspect which is the cause of other failures."""
SHARED = 0.75
"""A test's own best is given up for a suspect that more tests share if that scores this near."""

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")


def cluster(correlation: Correlation) -> tuple[Cluster, ...]:
    """Group the failed tests of a run.

    Args:
        correlation: Of all failed and flaky tests.

    Returns:
        Clusters such that each test is in exactly one; larger ones first, else in report order.
    """
    chosen = _choose(correlation.tests)
    _give_up_weak(correlation.tests, chosen)
    _follow(correlation.tests, chosen)
    by_cause: dict[str, list[FailedTest]] = defaultdict(list)
    by_failure: dict[str, list[FailedTest]] = defaultdict(list)
    for test in correlation.tests:
        suspect = chosen[id(test)]
        if suspect is None:
            by_failure[_failure_key(test)].append(test)
        else:
            by_cause[suspect.signature].append(test)
    clusters = [_of_cause(key, tests, chosen) for key, tests in by_cause.items()]
    clusters = _merge_outages(_merge_infrastructure(clusters))
    silent = [
        Cluster(tuple(tests), None, key, _related(tests)) for key, tests in by_failure.items()
    ]
    clusters += _merge_offsets(silent)
    order = {id(test): index for index, test in enumerate(correlation.tests)}
    return tuple(
        sorted(clusters, key=lambda c: (-len(c.tests), min(order[id(t)] for t in c.tests)))
    )


def _choose(tests: Sequence[FailedTest]) -> dict[int, Suspect | None]:
    """For each test the suspect that speaks for it: its best, or one nearly as good that is shared."""
    support: dict[str, int] = defaultdict(int)
    for test in tests:
        for signature in {s.signature for s in test.suspects if s.score >= MIN_SCORE}:
            support[signature] += 1
    chosen: dict[int, Suspect | None] = {}
    for test in tests:
        strong = [s for s in test.suspects if s.score >= MIN_SCORE and speaks(test, s)]
        if not strong:
            chosen[id(test)] = None
            continue
        best = strong[0]
        near = [s for s in strong if s.score >= SHARED * best.score]
        picked = max(near, key=lambda s: (_rank(s, best), support[s.signature], s.score))
        chosen[id(test)] = _deeper(picked, test.suspects)
    return chosen


def _give_up_weak(tests: Sequence[FailedTest], chosen: dict[int, Suspect | None]) -> None:
    """Leave a weak suspect of one test alone when others fail in the same way without it."""
    silent = {_failure_key(t) for t in tests if chosen[id(t)] is None}
    for test in tests:
        suspect = chosen[id(test)]
        if (
            suspect is not None
            and is_mild(suspect)
            and suspect.score < WEAK
            and _failure_key(test) in silent
        ):
            chosen[id(test)] = None


def _follow(tests: Sequence[FailedTest], chosen: dict[int, Suspect | None]) -> None:
    """Let a test without a cause of its own follow one that is proven elsewhere and touches it."""
    proven = {s.signature for s in chosen.values() if s is not None and not is_mild(s)}
    for test in tests:
        if chosen[id(test)] is not None or not test.windows:
            continue
        chosen[id(test)] = next(
            (
                s
                for s in test.suspects
                if s.signature in proven and s.score >= FOLLOWED and speaks(test, s)
            ),
            None,
        )


def _deeper(picked: Suspect, suspects: Sequence[Suspect]) -> Suspect:
    """What the service that it complains of says itself, when that tells more."""
    if picked.trouble not in REPORTED or not picked.dependency:
        return picked
    behind = [
        s
        for s in suspects
        if s.service == picked.dependency
        and s is not picked
        and s.kind in (SuspectKind.EXCEPTION, SuspectKind.ERROR, SuspectKind.OUTAGE)
        and abs((s.time - picked.time).total_seconds()) <= NEAR_S
    ]
    return max(behind, key=lambda s: s.score, default=picked)


def _rank(suspect: Suspect, best: Suspect) -> int:
    """An outage explains the errors that it brings about, but not a fault in the code."""
    if suspect.kind is not SuspectKind.OUTAGE:
        return 0 if suspect is not best or best.trouble in INFRASTRUCTURE else 1
    return 2 if best is suspect or best.trouble in INFRASTRUCTURE or _is_consequence(best) else 0


def _is_consequence(suspect: Suspect) -> bool:
    return suspect.kind in (SuspectKind.REQUEST, SuspectKind.SLOW, SuspectKind.WARNING)


def speaks(test: FailedTest, suspect: Suspect) -> bool:
    """Whether the failure is of a kind that such a suspect can bring about.

    A definite wrong value, computed and shown, is not brought about by a warning or by a request
    that was refused: the page would have been empty or old instead.
    """
    facts = test.facts
    if facts.is_ambiguous:
        return False
    is_refusal = suspect.kind is SuspectKind.REQUEST and (suspect.status or 500) < 500  # noqa: PLR2004 (HTTP classes)
    is_aside = suspect.kind is SuspectKind.ERROR and not suspect.is_tied
    weak = suspect.kind in (SuspectKind.WARNING, SuspectKind.SLOW) or is_refusal or is_aside
    if not weak:
        return True
    if suspect.kind is SuspectKind.SLOW:
        waited = facts.timeout_ms or 0
        return bool(waited) and (suspect.root.duration_ms or 0) >= 0.5 * waited
    if suspect.kind is SuspectKind.WARNING:
        return suspect.trouble is not Mechanism.UNKNOWN and suspect.noise == 0
    return not (facts.has_received and _NUMBER.search(facts.received) and facts.http_status is None)


def _of_cause(key: str, tests: list[FailedTest], chosen: dict[int, Suspect | None]) -> Cluster:
    own = [s for t in tests if (s := chosen[id(t)]) is not None]
    cause = max(own, key=lambda s: (s.score, -s.time.timestamp()))
    return Cluster(tuple(tests), cause, key, _related(tests))


def _related(tests: Iterable[FailedTest]) -> tuple[Suspect, ...]:
    best: dict[str, Suspect] = {}
    for test in tests:
        for suspect in test.suspects:
            known = best.get(suspect.signature)
            if known is None or suspect.score > known.score:
                best[suspect.signature] = suspect
    return tuple(sorted(best.values(), key=lambda s: (-s.score, s.time))[:12])


def _merge_infrastructure(clusters: list[Cluster]) -> list[Cluster]:
    """Join clusters of one service that name the same trouble in different words."""
    merged: dict[tuple[str, ...], Cluster] = {}
    others: list[Cluster] = []
    for group in clusters:
        cause = group.cause
        key = _infrastructure_key(cause) if cause else None
        if key is None:
            others.append(group)
            continue
        merged[key] = _join(merged[key], group) if key in merged else group
    nameless = [key for key in merged if key[0] == ""]
    for key in nameless:
        # It does not say what it lost: the only other trouble of that kind is the same.
        same = [k for k in merged if k[1:] == key[1:] and k != key]
        if len(same) == 1:
            merged[same[0]] = _join(merged[same[0]], merged.pop(key))
    return [*merged.values(), *others]


def _infrastructure_key(cause: Suspect) -> tuple[str, ...] | None:
    """What two such clusters must share to be one; None for other causes."""
    if cause.kind is SuspectKind.OUTAGE:
        return None
    target = cause.outside or cause.dependency
    if cause.trouble in INFRASTRUCTURE or cause.trouble is Mechanism.TIMEOUT_BUDGET:
        return (target, cause.trouble)
    if cause.trouble in SETUP:
        error = cause.error.partition(":")[0]
        return (error or target or cause.service, cause.trouble)
    return None


def _merge_outages(clusters: list[Cluster]) -> list[Cluster]:
    """Give an outage the clusters whose trouble it brought about while it lasted."""
    outages = [c for c in clusters if c.cause and c.cause.kind is SuspectKind.OUTAGE]
    if not outages:
        return clusters
    first, *rest = outages
    for other in list(rest):
        cause, main = other.cause, first.cause
        if cause and main and main.until and cause.time <= main.until and other.cause is not main:
            first = _join(first, other)
            rest.remove(other)
    result: list[Cluster] = []
    for group in clusters:
        if group in outages:
            continue
        cause, main = group.cause, first.cause
        within = (
            cause is not None
            and main is not None
            and cause.trouble in INFRASTRUCTURE
            and cause.time >= main.time
            and (main.until is None or cause.time <= main.until)
        )
        if within:
            first = _join(first, group)
        else:
            result.append(group)
    return [first, *rest, *result]


def _join(main: Cluster, other: Cluster) -> Cluster:
    tests = main.tests + other.tests
    cause = main.cause
    if (
        cause
        and other.cause
        and cause.kind is not SuspectKind.OUTAGE
        and other.cause.score > cause.score
    ):
        cause = other.cause
    return replace(main, tests=tests, cause=cause, related=_related(tests))


def _failure_key(test: FailedTest) -> str:
    """What a failure must share with another to have the same cause, when the logs are silent."""
    facts = test.facts
    if facts.network_error:
        return f"network {facts.network_error} {host_of(facts.url)}"
    frame = own_frame(facts.frames)
    is_helper = (
        frame is not None and not _same_file(frame.file, test.test.id.file) and test.test.id.file
    )
    if facts.not_found and facts.locator:
        return f"locator {normalize(facts.locator)}"
    if frame and is_helper and len(facts.frames) > 1:
        return f"helper {frame.file}:{frame.line}"
    if facts.has_received and facts.locator:
        return f"value {normalize(facts.locator)} {normalize(facts.expected)} {normalize(facts.received)}"
    if facts.http_status:
        return f"status {facts.http_status} {normalize(facts.url)} {normalize(facts.headline)}"
    where = f"{frame.file}:{frame.line}" if frame else test.test.id.title
    if facts.has_received:
        return f"assertion {where} {facts.matcher}"
    return f"message {facts.error_type} {normalize(facts.headline)}"


def _same_file(one: str, other: str) -> bool:
    a, b = one.replace("\\", "/"), other.replace("\\", "/")
    return a.endswith(b) or b.endswith(a) or a.rsplit("/", 1)[-1] == b.rsplit("/", 1)[-1]


def _merge_offsets(clusters: list[Cluster]) -> list[Cluster]:
    """Join wrong values that are off by the same telling amount: one sum that is computed wrong."""
    by_amount: dict[float, Cluster] = {}
    others: list[Cluster] = []
    for group in clusters:
        amounts = {_off_by(t) for t in group.tests}
        amount = amounts.pop() if len(amounts) == 1 else None
        if amount is None or abs(amount) <= 1:
            others.append(group)
            continue
        by_amount[amount] = _join(by_amount[amount], group) if amount in by_amount else group
    return [*by_amount.values(), *others]


def _off_by(test: FailedTest) -> float | None:
    expected, received = _number(test.facts.expected), _number(test.facts.received)
    if expected is None or received is None or test.facts.http_status:
        return None
    return round(received - expected, 6)


def _number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    if len(found) != 1:
        return None
    digits = found[0]
    if digits.count(",") == 1 and digits.count(".") == 0 and len(digits.split(",")[1]) != 3:  # noqa: PLR2004 (thousands)
        digits = digits.replace(",", ".")
    try:
        return float(digits.replace(",", ""))
    except ValueError:
        return None

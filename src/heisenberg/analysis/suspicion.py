"""Weigh how much each happening is suspected of having made a test fail.

By time and subject (does it fit the failing wait?), by noise (would it be there anyway?), by
contrast (do failing tests see it more than passing ones?) and by what the test itself saw.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from heisenberg.analysis.happenings import join
from heisenberg.analysis.reasons import outage_suspect, reason_of
from heisenberg.analysis.scene import Sweep
from heisenberg.analysis.suspects import (
    is_mild,
    is_of_a_request,
    is_ordinary,
    is_tied,
    root_of,
    suspect_of,
)
from heisenberg.model.correlation import SuspectKind

if TYPE_CHECKING:
    from heisenberg.analysis.happenings import Happening
    from heisenberg.analysis.scene import Failing, Passing, Scene
    from heisenberg.analysis.windows import Window
    from heisenberg.model.correlation import Suspect
    from heisenberg.model.facts import Facts

SHORT = 60
"""Characters of a message that is a name for what happened rather than a story of it."""
CLOSE = 0.88
"""Of overlapping windows all that fit at least this near the best may claim a happening."""
OUTBID = 0.55
"""Factor for the claim of a window that another fits better."""
MAX_SUSPECTS = 8
"""Kept per attempt; the rest is far behind."""
MIN_SCORE = 0.08
MAX_SCORE = 0.9
"""Of what is raised by what the test saw: a coincidence stays possible."""
TIED_NOISE = 0.7
"""Most that an error which belongs to a request may lose for being there at other times too."""
STACK_NOISE = 0.5
"""The same for one that logs its stack."""
OUTLASTS = 0.8
"""Share of the test's patience that a slow request must take to be what it waited for."""
MIN_CONTRASTED = 3
"""Fewer failing attempts than this say nothing of what failing attempts have in common."""
PRIOR_NOISE = 0.5
"""Sightings added to what was counted in clean time, so that never seen is not never there."""

_STEM = re.compile(r"(?:ing|ed|es|s|e)$")
"""Endings that make another form of the same word: `shared` and `share`, `orders` and `order`."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DULL = frozenset(
    """
    a an and api app at be by can create do for from get has have in into is it its new no not of
    error exception failed failure finished handled request response unhandled warning
    on or page post should spec src test tests that the then to ts js py when with expect await
    const http https
    """.split()  # noqa: SIM905 -- a list of words reads best as words
)
"""Words that tell nothing about what a test or a route is about."""


def suspects_of(scene: Scene) -> dict[int, list[Suspect]]:
    """Suspects of each failing attempt, best first, by the identity of the attempt."""
    found: dict[int, list[Suspect]] = {id(f.attempt): [] for f in scene.failing}
    suspected = Sweep([(f.window.span, f) for f in scene.failing])
    provoking = Sweep([(p.span, p) for p in scene.passing])
    noises: dict[tuple[str, int], float] = {}
    common = {t for t in scene.seen.times if scene.seen.count(t, scene.clean)}
    for happening in join(scene.seen.unusual, common):
        near = suspected.at(happening.began, happening.until)
        provokers = provoking.at(happening.began, happening.until)
        if not near or is_ordinary(happening):
            continue
        base = reason_of(suspect_of(happening, scene.services, scene.ports), scene.seen)
        claims = _claims(base, happening, near, provokers, is_estimated=scene.is_estimated)
        for f, fit, claim in claims:
            key = (base.signature, round(f.window.span.seconds))
            if key not in noises:
                noises[key] = _noise(happening, scene, f.window)
            score = _score(base, happening, scene, f, claim * (1 - noises[key]))
            if base.kind is SuspectKind.SLOW and _outlasts(base, f.facts):
                score = max(score, base.score * claim)
            if score >= MIN_SCORE:
                found[id(f.attempt)].append(replace(base, fit=fit, noise=noises[key], score=score))
    for outage in scene.outages:
        for f in scene.failing:
            suspect = outage_suspect(outage, f)
            if suspect:
                found[id(f.attempt)].append(suspect)
    return {key: _best_of_each(suspects) for key, suspects in found.items()}


def _claims(
    base: Suspect,
    happening: Happening,
    near: list[Failing],
    provokers: list[Passing],
    *,
    is_estimated: bool,
) -> list[tuple[Failing, float, float]]:
    """(attempt, fit, claim) of all attempts that the happening reaches into.

    A request has one sender: where windows overlap, the attempt that it fits best may claim it in
    full, and a refusal or warning is first of all a passing test's that provokes it on purpose.
    """
    tokens = _tokens(happening)
    mild = is_mild(base)
    is_alone = len(near) == 1 and not mild
    fits = [(f, _fit(f, happening, tokens, is_alone=is_alone)) for f in near]
    best = max(fit for _, fit in fits)
    provoked = max((_provoked(p, tokens) for p in provokers), default=0.0) if mild else 0.0
    claims = []
    for f, fit in fits:
        against = fit if is_estimated else CLOSE * fit
        is_outbid = fit < CLOSE * best or against < provoked
        claims.append((f, fit, fit * OUTBID if is_outbid else fit))
    return claims


def _score(base: Suspect, happening: Happening, scene: Scene, f: Failing, share: float) -> float:
    score = min(MAX_SCORE, base.score * share * _corroborated(f.facts, base))
    if is_mild(base) and is_tied(happening):
        # What every failing test runs into and no passing one is no refusal on purpose.
        score = min(MAX_SCORE, score * (1 + _contrast(root_of(happening).template, scene)))
    return score


def _best_of_each(suspects: list[Suspect]) -> list[Suspect]:
    """Of happenings with one signature the best; the most suspected first."""
    best: dict[str, Suspect] = {}
    for suspect in suspects:
        known = best.get(suspect.signature)
        if known is None or suspect.score > known.score:
            best[suspect.signature] = suspect
    return sorted(best.values(), key=lambda s: (-s.score, s.time))[:MAX_SUSPECTS]


def _fit(f: Failing, happening: Happening, tokens: frozenset[str], *, is_alone: bool) -> float:
    """How well time and subject fit, in [0, 1].

    Where no other failing attempt could have sent the request, another subject says little.
    """
    if f.window.is_exact:
        began, focus = happening.began, f.window.focus
        if focus.holds(began):
            time = 1.0
        else:
            away = (
                focus.start - began if began < focus.start else began - focus.end
            ).total_seconds()
            time = max(0.25, 0.8 - 0.12 * away)
        if happening.time > f.window.span.end:
            # It was still going on when the test gave up: told of too late to be what it saw.
            time = min(time, 0.5)
    else:
        time = 0.6 if is_tied(happening) else 0.2
    subject = _subject(f, tokens)
    return 0.65 * time + 0.35 * (max(subject, 0.6) if is_alone and f.window.is_exact else subject)


def _provoked(passing: Passing, tokens: frozenset[str]) -> float:
    """How well a passing test would explain it, in [0, 1]: many tests provoke a refusal."""
    test = passing.test.id
    return 0.62 + (0.25 if tokens & _words(f"{test.title} {test.file}") else 0.1)


def _subject(f: Failing, tokens: frozenset[str]) -> float:
    """Whether the request is about what the test is about, in [0, 1]."""
    if not tokens:
        return 0.6
    test, facts = f.test.id, f.facts
    places = (
        (0.3, " ".join((facts.code, *facts.code_before, facts.url)).replace(facts.locator, " ")),
        (0.3, test.title),
        (0.2, test.file),
        (0.1, facts.locator),
    )
    return min(1.0, 0.2 + sum(weight for weight, text in places if tokens & _words(text)))


def _tokens(happening: Happening) -> frozenset[str]:
    said = [s.record.message for s in happening.sightings if len(s.record.message) <= SHORT]
    return _words(" ".join([*said, *(s.record.path for s in happening.sightings)]))


@lru_cache(maxsize=10_000)  # tests share files and suites; ten thousand tests share their code, too
def _words(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        _STEM.sub("", w) for w in words if len(w) > 1 and w not in _DULL and not w.isdigit()
    )


def _outlasts(slow: Suspect, facts: Facts) -> bool:
    """Whether the request alone took most of what the test was ready to wait."""
    return (slow.root.duration_ms or 0) >= OUTLASTS * (facts.timeout_ms or math.inf)


def _corroborated(facts: Facts, suspect: Suspect) -> float:
    """Factor by which what the test itself saw speaks for the suspect."""
    if suspect.status is None or suspect.status < 400:  # noqa: PLR2004 (HTTP errors)
        return 1.0
    if facts.http_status == suspect.status:
        return 2.0
    reads_answer = not facts.has_received and facts.error_type.endswith(_READ_ERRORS)
    return 1.5 if reads_answer else 1.0


_READ_ERRORS = ("KeyError", "TypeError", "JSONDecodeError", "AttributeError", "IndexError")
"""What a test's code raises when an answer is not of the shape that it reads."""


def _noise(happening: Happening, scene: Scene, near: Window) -> float:
    """Chance that such a record falls into such a window though nothing fails.

    What belongs to a request never counts as noise altogether: tests that pass may well not look
    at what failed beside them.
    """
    template = root_of(happening).template
    if near.is_exact:
        counted = scene.seen.count(template, scene.clean)
        clean_s = sum(span.seconds for span in scene.clean)
    else:
        # Without times of its own every test saw all of the run; one sighting a failure is enough.
        counted = max(0, len(scene.seen.times.get(template, ())) - 2 * len(scene.failing))
        clean_s = near.span.seconds
    if not counted:
        return 0.0
    rate = (counted + PRIOR_NOISE) / max(clean_s, 1.0)
    chance = 1 - math.exp(-rate * near.span.seconds)
    if not is_of_a_request(happening):
        return chance * (1 - _contrast(template, scene))
    most = STACK_NOISE if root_of(happening).record.exception else TIED_NOISE
    return most * chance * (1 - _contrast(template, scene))


def _contrast(template: str, scene: Scene) -> float:
    """By how much more often failing attempts see such a record than passing ones, in [0, 1]."""
    if len(scene.failing) < MIN_CONTRASTED or not scene.passing:
        return 0.0
    seen = scene.seen
    failing = sum(seen.count(template, (f.window.span,)) > 0 for f in scene.failing)
    passing = sum(seen.count(template, (p.span,)) > 0 for p in scene.passing)
    return max(0.0, failing / len(scene.failing) - passing / len(scene.passing))

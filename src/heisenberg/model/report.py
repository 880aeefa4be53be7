"""The document that every delivery prints: what a run amounts to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heisenberg.model.diagnosis import Diagnosis
    from heisenberg.model.run import Test

SCHEMA = "heisenberg.analysis/1"
"""Name and version of the document; bumps when a reader of the old one would misread it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An artefact, or a part of one, that could not be used."""

    source: str
    reason: str
    """One line: what is wrong and what to do next."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Tests of the run by outcome."""

    total: int
    passed: int
    failed: int
    flaky: int
    skipped: int
    duration_ms: float | None


@dataclass(frozen=True, slots=True)
class Incident:
    """Failures of one run that share a cause."""

    id: str
    """Stable within a report and for the same failure in another run of the same suite."""
    fingerprint: str
    """`ALGORITHM-vN:HASH` of the failure that stands for the incident."""
    tests: tuple[Test, ...]
    """Failed and flaky tests; empty only when the failure is outside any test."""
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Report:
    """One run, its incidents, worst first, and what could not be read."""

    counts: Counts
    incidents: tuple[Incident, ...] = ()
    problems: tuple[Problem, ...] = ()

"""What a model is asked about one incident, and what may be cited in the answer."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (msgspec reads annotations: workers send questions)
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 (likewise)
from enum import StrEnum

from heisenberg.model.diagnosis import Diagnosis  # noqa: TC001 (likewise)

MAX_QUESTIONS = 40
"""Incidents of one run that a model is asked about, the worst first."""


class ItemKind(StrEnum):
    """What an item is, the most telling kind first."""

    ERROR = "error"
    """What a failing test itself saw."""
    CAUSE = "cause"
    """What the logs show and the offline rules suspect most."""
    SUSPECT = "suspect"
    """What else they suspect."""
    REQUEST = "request"
    """Another record of a suspected request."""
    DIFFERENCE = "difference"
    """A kind of record that failing tests see and passing ones do not, or seldom."""
    STEP = "step"
    """What the test did before it failed."""
    PASSED = "passed"
    """A test that passed meanwhile."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an artefact as it is sent."""

    text: str
    """Without secrets, and with nothing hidden in it."""
    source: str
    line: int
    """1-based; a record of several lines is cited by its first."""
    timestamp: datetime | None
    exact: tuple[str, ...]
    """Stretches of the text, in order, that stand exactly at that line of that source, or in the
    record that begins there: what a quote may be taken from."""


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of evidence, every line of it found in its artefact."""

    id: str
    """`E1`: what the answer cites."""
    kind: ItemKind
    about: str
    """Our own words on what it is, and nothing else: services are named by their marks."""
    lines: tuple[Line, ...]
    tokens: int
    """Estimate of what it adds to the prompt."""

    @property
    def text(self) -> tuple[str, ...]:
        """Its lines as they are sent."""
        return tuple(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Question:
    """An incident as a model is asked about it."""

    incident: str
    """`Incident.id`."""
    fingerprint: str
    prompt: str
    """Version of the prompt: `diagnosis-1`."""
    head: str
    """What the incident is, without evidence; holds names from the report, redacted."""
    items: tuple[Item, ...]
    """The most telling first; a shorter prompt leaves out the last."""
    names: tuple[str, ...]
    """Components that an answer may name: services, test files, hosts; redacted, one line each."""
    hypothesis: Diagnosis
    """The offline engine's, to be tested, and to fall back to."""
    redacted: Mapping[str, int] = field(default_factory=dict)
    """How many secrets were taken out, by kind."""
    withheld: int = 0
    """Lines that were left out because they speak to whoever reads them."""

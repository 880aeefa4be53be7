"""The failing and passing attempts of a run beside what the logs show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from heisenberg.analysis.happenings import LONGEST_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from heisenberg.analysis.happenings import Observations
    from heisenberg.analysis.outages import Outage
    from heisenberg.analysis.windows import Span, Window
    from heisenberg.model.facts import Facts
    from heisenberg.model.run import Attempt, Test

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failing:
    """A failing attempt."""

    test: Test
    attempt: Attempt
    facts: Facts
    window: Window


@dataclass(frozen=True, slots=True)
class Passing:
    """An attempt that ended as meant."""

    test: Test
    span: Span


@dataclass(frozen=True, slots=True)
class Scene:
    """What is looked at together."""

    failing: Sequence[Failing]
    passing: Sequence[Passing]
    seen: Observations
    outages: Sequence[Outage]
    clean: Sequence[Span]
    """Time in which only passing attempts ran."""
    is_estimated: bool
    """Whether the windows may be off by a little."""
    services: tuple[str, ...]
    ports: Mapping[str, str]


class Sweep(Generic[T]):
    """Walks spans in the order of time; asked about ever later times."""

    def __init__(self, spans: Sequence[tuple[Span, T]]) -> None:
        self._waiting = sorted(spans, key=lambda item: item[0].start, reverse=True)
        self._active: list[tuple[Span, T]] = []

    def at(self, began: datetime, time: datetime) -> list[T]:
        """What spans any moment from `began` to `time`."""
        while self._waiting and self._waiting[-1][0].start <= time:
            self._active.append(self._waiting.pop())
        oldest = time - timedelta(milliseconds=LONGEST_MS)
        self._active = [item for item in self._active if item[0].end >= oldest]
        return [value for span, value in self._active if span.end >= began]

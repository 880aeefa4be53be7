"""What the logs say about the failures: the evidence that a diagnosis weighs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from heisenberg.model.diagnosis import Mechanism

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.run import Attempt, Test


class SuspectKind(StrEnum):
    """What sort of thing the logs show."""

    EXCEPTION = "exception"
    """A service raised an error and logged its stack."""
    ERROR = "error"
    """A service logged an error without a stack."""
    REQUEST = "request"
    """A request was answered with an error status; nothing deeper is logged."""
    SLOW = "slow"
    """A request took about as long as the test waited, or longer."""
    OUTAGE = "outage"
    """A service stopped, was restarted or fell silent in mid-run."""
    WARNING = "warning"
    """A service warned."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A happening in the logs that may have made a test fail."""

    kind: SuspectKind
    service: str
    """Service whose record is the root."""
    signature: str
    """Same cause, same signature: normalised, with the place in the code where there is one."""
    root: LogRecord
    """The deepest record: the exception rather than the 500 that it led to."""
    chain: tuple[LogRecord, ...]
    """Other records of the same happening, in the order of time (the request, its access line)."""
    time: datetime
    """When, on the report's clock."""
    fit: float
    """In [0, 1]: how well time and subject fit the test that failed."""
    noise: float
    """In [0, 1]: chance that such a record falls into such a window though nothing fails."""
    score: float
    """In [0, 1]: how much it is suspected, over all."""
    trouble: Mechanism = Mechanism.UNKNOWN
    """What kind of technical trouble its text names."""
    error: str = ""
    """The line of the stack that names the error, as it stands in the log."""
    place: str = ""
    """`FILE:LINE` of the innermost frame in the project's own code."""
    dependency: str = ""
    """What it complains of: another service, a host; empty when it names none."""
    status: int | None = None
    """HTTP status that the request ended with."""
    address: str = ""
    """`HOST:PORT` that it could not reach, as far as it says."""
    outside: str = ""
    """The host of another party that it names."""
    telling: tuple[str, ...] = ()
    """Fragments of the root that name the trouble, as they stand in the log."""
    held_by: str = ""
    """The database whose schema is being changed, when that holds the lock that is waited for."""
    is_tied: bool = True
    """It belongs to a request, or logs a stack; else it is work in the background."""
    was_up: bool = True
    """Of an outage: the service had worked in this run before."""
    until: datetime | None = None
    """End of an outage; None when it is not one, or never ended."""


@dataclass(frozen=True, slots=True)
class FailedTest:
    """A failed or flaky test with what is known of it."""

    test: Test
    attempt: Attempt
    """The attempt that speaks for it: the one with the most telling failure."""
    facts: Facts
    suspects: tuple[Suspect, ...] = ()
    """Best first; empty when the logs show nothing unusual near it."""
    windows: tuple[tuple[datetime, datetime], ...] = ()
    """When its failing attempts ran, on the report's clock."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far a log's clock is ahead of the report's."""

    source: str
    offset: timedelta
    """Subtract from the log's times."""
    reason: str
    """How it was noticed, for the user."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """All failed tests of a run with their suspects."""

    tests: tuple[FailedTest, ...]
    offsets: Mapping[str, ClockOffset] = field(default_factory=dict)
    """By source, for the logs whose clock is off."""
    services: tuple[str, ...] = ()
    """Services whose logs were read."""
    answering: tuple[str, ...] = ()
    """Services that answered requests in the run, the one that tells most of them first."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """Service by the port on which its log says that it listens."""
    has_times: bool = True
    """Whether the report tells when its tests ran."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind of record that more of the failing attempts see than of the passing ones."""

    record: LogRecord
    """The one nearest to the end of a failing attempt."""
    time: datetime
    """When, on the report's clock."""
    failing: float
    """Share of the failing attempts that see it, in [0, 1]."""
    passing: float | None
    """Share of the passing attempts that were compared; None when there were none."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Failed tests that share a cause."""

    tests: tuple[FailedTest, ...]
    cause: Suspect | None
    """What they share in the logs; None when it is what their failures say."""
    key: str
    """Why they are together: the signature they share."""
    related: tuple[Suspect, ...] = ()
    """Further suspects of its tests, best first."""

"""What asking models costs, and the limit to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CallOutcome(StrEnum):
    """How a call to a model ended."""

    ANSWERED = "answered"
    """And the answer's evidence was found."""
    UNPROVEN = "unproven"
    """It answered, and is not followed: the offline diagnosis stands."""
    MALFORMED = "malformed"
    """It answered, and not as it was asked to, even after a second chance."""
    REJECTED = "rejected"
    """The request was not accepted."""
    UNAUTHORIZED = "unauthorized"
    """The key was not accepted."""
    ABANDONED = "abandoned"
    """Whoever asked went away, or the time was up; what it cost is an estimate."""
    UNAVAILABLE = "unavailable"
    """Rate limits, overload, time-outs, broken connections."""


@dataclass(frozen=True, slots=True)
class Call:
    """A model was asked once; each try is a call."""

    model: str
    """`PROVIDER:MODEL`."""
    prompt: str
    """Version of the prompt."""
    fingerprint: str
    """Of the incident."""
    outcome: CallOutcome
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """0 when no price is known."""
    duration_ms: float
    error: str = ""
    """Why there was no answer: one line without secrets."""
    limit_usd: float | None = None
    """What counts against limits when that is not `cost_usd`: without a price, as the dearest model."""

    @property
    def counted_usd(self) -> float:
        """What counts against limits."""
        return self.cost_usd if self.limit_usd is None else self.limit_usd


class Ledger(Protocol):
    """Keeps a limit, and the books."""

    async def reserve(self, cost_usd: float) -> bool:
        """Set money aside for a call, the most that it may cost.

        Returns:
            False when that would go beyond the limit: the call must not be made.
        """

    async def settle(self, reserved_usd: float, call: Call) -> None:
        """Give back what was set aside, and book what the call really cost."""

    async def release(self, reserved_usd: float) -> None:
        """Give back what was set aside for a call that was not made."""


class RunLedger:
    """The limit of one run, in memory."""

    def __init__(self, limit_usd: float) -> None:
        """Nothing is spent yet."""
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        """As it counts against the limit."""
        self._reserved_usd = 0.0
        self.calls: list[Call] = []

    async def reserve(self, cost_usd: float) -> bool:
        """Set money aside for a call."""
        total_usd = self.spent_usd + self._reserved_usd + cost_usd
        if cost_usd > 0 and not total_usd <= self.limit_usd:  # NaN is no limit to stay below
            return False
        self._reserved_usd += cost_usd
        return True

    async def settle(self, reserved_usd: float, call: Call) -> None:
        """Give back what was set aside, and book what the call really cost."""
        self._reserved_usd -= reserved_usd
        self.spent_usd += call.counted_usd
        self.calls.append(call)

    async def release(self, reserved_usd: float) -> None:
        """Give back what was set aside for a call that was not made."""
        self._reserved_usd -= reserved_usd

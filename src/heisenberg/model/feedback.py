"""What people who know say about a diagnosis."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Whether a diagnosis was right."""

    RIGHT = "right"
    """Owner and mechanism are what it was."""
    PARTLY = "partly"
    """One of them is."""
    WRONG = "wrong"

    @property
    def share(self) -> float:
        """How much of a right diagnosis it was, in [0, 1]."""
        return {Verdict.RIGHT: 1.0, Verdict.PARTLY: 0.5, Verdict.WRONG: 0.0}[self]

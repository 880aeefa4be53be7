"""What a rule says, and the places that it cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heisenberg.model.diagnosis import Mechanism, Owner
    from heisenberg.model.logs import LogRecord
    from heisenberg.model.run import Place


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote and where it is to be found: in a log record, or somewhere in a report."""

    quote: str
    """One line, exactly as it stands there once escapes and colours are undone."""
    record: LogRecord | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One reading of the evidence."""

    owner: Owner
    mechanism: Mechanism
    strength: float
    """In [0, 1]: how sure the rule is, if the evidence is what it seems."""
    component: str
    root_cause: str
    """One sentence."""
    suggested_fix: str
    citations: tuple[Citation, ...] = ()
    missing: tuple[str, ...] = ()
    """What would settle it."""

"""What an attempt's error says, first raw, then read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heisenberg.model.run import Location, Place


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of one attempt, or of the run."""

    message: str
    """Full text as the producer printed it, terminal colours undone; never empty."""
    place: Place
    """Where to look for it when it is cited."""
    type: str = ""
    """Exception class or kind, when the format has a field for it."""
    stack: str = ""
    """Stack or body that the message does not contain already."""
    snippet: str = ""
    """Source lines around the failing one, when the format has a field for them."""
    location: Location | None = None

    @property
    def text(self) -> str:
        """Message, stack and snippet, each once."""
        parts = [self.message]
        parts += [p for p in (self.stack, self.snippet) if p and p not in self.message]
        return "\n".join(parts)

"""Turn an engine's strength into a confidence that keeps its word.

The points were set by hand beside the reliability table that `heisenberg eval` prints, lower than
the labelled cases alone would allow, since the rules were written looking at most of those cases;
see docs/decisions/0006.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

POINTS: tuple[tuple[float, float], ...] = (
    (0.0, 0.05),
    (0.25, 0.35),
    (0.45, 0.6),
    (0.65, 0.8),
    (0.8, 0.88),
    (1.0, 0.94),
)
"""(strength, confidence), ascending in both."""


def calibrated(strength: float) -> float:
    """The confidence of a strength, both in [0, 1], linear between `POINTS`."""
    clamped = min(1.0, max(0.0, strength))
    index = min(bisect_right([s for s, _ in POINTS], clamped), len(POINTS) - 1)
    (low, low_share), (high, high_share) = list(pairwise(POINTS))[index - 1]
    share = low_share + (high_share - low_share) * (clamped - low) / (high - low)
    return round(share, 4)

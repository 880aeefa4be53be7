"""Turn what an engine says into a confidence that keeps its word.

The offline rules' `POINTS` were set by hand beside the reliability table that `heisenberg eval` prints,
lower than the labelled cases alone would allow, since the rules were written looking at most of those
cases; see docs/decisions/0006. What a model says of itself is corrected by what came true: by labelled
cases or by feedback, see `learn`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

POINTS: tuple[tuple[float, float], ...] = (
    (0.0, 0.05),
    (0.25, 0.35),
    (0.45, 0.6),
    (0.65, 0.8),
    (0.8, 0.88),
    (1.0, 0.94),
)
"""(strength, confidence), ascending in both."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
BINS = 10
"""Of equal width, from 0 to 1: finer ones would each hold too little to say anything."""
PRIOR_WEIGHT = 10.0
"""Records that a bin's own ones have to outweigh before it says something else than the engine."""
CEILING = 0.99
"""Nothing that was learned from examples is certain."""


def calibrated(strength: float) -> float:
    """The confidence of a strength, both in [0, 1], linear between `POINTS`."""
    clamped = min(1.0, max(0.0, strength))
    index = min(bisect_right([s for s, _ in POINTS], clamped), len(POINTS) - 1)
    (low, low_share), (high, high_share) = list(pairwise(POINTS))[index - 1]
    share = low_share + (high_share - low_share) * (clamped - low) / (high - low)
    return round(share, 4)


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make of an engine's word. Without points: leave it as it is."""

    schema: Literal["heisenberg.calibration/1"] = "heisenberg.calibration/1"
    engine: str = ""
    """`PROVIDER:MODEL` whose word it is about; empty when that was not noted."""
    records: Annotated[int, msgspec.Meta(ge=0)] = 0
    """From how many it was learned."""
    points: tuple[tuple[Share, Share], ...] = ()
    """(stated, learned), descending in neither."""

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            ValueError: Points descend.
        """
        if any(a[0] > b[0] or a[1] > b[1] for a, b in pairwise(self.points)):
            raise ValueError("points must not descend")

    def __call__(self, confidence: float) -> float:
        """The confidence to tell, in [0, 0.99], of the one that was stated.

        Linear between the points; below the first and above the last it moves with what was stated.
        """
        stated = min(1.0, max(0.0, confidence))
        return round(min(CEILING, max(0.0, self._learned(stated))), 4)

    def _learned(self, stated: float) -> float:
        if not self.points:
            return stated
        index = bisect_right(self.points, stated, key=lambda point: point[0])
        if index in {0, len(self.points)}:
            at, learned = self.points[max(0, index - 1)]
            return learned + (stated - at)
        (low, low_share), (high, high_share) = self.points[index - 1 : index + 1]
        share = low_share + (high_share - low_share) * (stated - low) / (high - low)
        return min(share, high_share)  # the last bit may be rounded up


def learn(records: Iterable[tuple[float, float]], *, engine: str = "") -> Calibration:
    """Learn how far an engine's word can be trusted.

    What was stated is put into bins. The share of right ones in a bin is drawn towards what was stated
    as if `PRIOR_WEIGHT` further records had borne that out, so that a few records change little; then
    bins are pooled until a stronger word never means less.

    Args:
        records: (stated confidence, how right it was), both in [0, 1]: 1 for right, 0 for wrong,
            between them for partly.
        engine: Whose word it is, to be noted.

    Returns:
        The calibration, which leaves all as it is when there are no records.

    Source:
        Ayer et al., Annals of Mathematical Statistics 26 (1955), 641-647, for the pooling.
    """
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for record in records:
        stated, share = (min(1.0, max(0.0, value)) for value in record)
        bins[min(BINS - 1, int(stated * BINS))].append((stated, share))
    count = sum(map(len, bins))
    if not count:
        return Calibration(engine=engine)
    stated_of = [_stated(number, found) for number, found in enumerate(bins)]
    blocks = [
        _Block(1, len(found) + PRIOR_WEIGHT, math.fsum(s for _, s in found) + PRIOR_WEIGHT * at)
        for at, found in zip(stated_of, bins, strict=True)
    ]
    shares = [b.share for b in _pooled(blocks) for _ in range(b.bins)]
    return Calibration(
        engine=engine, records=count, points=tuple(zip(stated_of, shares, strict=True))
    )


def read_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises:
        UsageError: The file cannot be read, or is none of that kind.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no calibration that this version reads: {error}") from error


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write it as JSON.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)) + b"\n")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


class _Block(NamedTuple):
    """Neighbouring bins that mean the same."""

    bins: int
    weight: float
    right: float

    @property
    def share(self) -> float:
        return min(1.0, self.right / self.weight)

    def joined(self, other: _Block) -> _Block:
        return _Block(self.bins + other.bins, self.weight + other.weight, self.right + other.right)


def _stated(number: int, found: list[tuple[float, float]]) -> float:
    """What was stated in a bin on average; its middle when it is empty."""
    if not found:
        return (number + 0.5) / BINS
    values = [stated for stated, _ in found]
    # Rounding must not carry it out of the bin.
    return min(max(values), max(min(values), math.fsum(values) / len(values)))


def _pooled(blocks: Iterable[_Block]) -> list[_Block]:
    """The fewest poolings of neighbours after which no share descends."""
    pooled: list[_Block] = []
    for block in blocks:
        last = block
        while pooled and pooled[-1].share > last.share:
            last = pooled.pop().joined(last)
        pooled.append(last)
    return pooled

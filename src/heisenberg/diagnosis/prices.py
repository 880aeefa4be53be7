"""What models cost: a dated file of ours, entries of which a file of the user's replaces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date  # noqa: TC003 (msgspec reads the annotation when the program runs)
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from heisenberg import text
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 1 << 20
"""Of a file of prices; ours has 4 kB."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Of a model, in USD per million tokens."""

    input_usd: float
    output_usd: float

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost."""
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / MILLION


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by `PROVIDER:MODEL`, or by a beginning of that with a star behind it."""

    as_of: date
    """When the oldest of them were looked up."""
    by_pattern: Mapping[str, Price]

    def of(self, name: str) -> Price | None:
        """The price of a model by its exact name, else by the longest beginning; None if unknown."""
        if name in self.by_pattern:
            return self.by_pattern[name]
        stars = (p for p in self.by_pattern if p.endswith("*") and name.startswith(p[:-1]))
        best = max(stars, key=len, default=None)
        return None if best is None else self.by_pattern[best]

    @property
    def dearest(self) -> Price:
        """The highest of each: what an unknown model is taken to cost where money is limited."""
        return Price(
            max(price.input_usd for price in self.by_pattern.values()),
            max(price.output_usd for price in self.by_pattern.values()),
        )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The form of a file; ours and the user's are alike."""

    as_of: date
    prices: dict[str, tuple[float, float]]
    """(input, output) by pattern."""
    unit: str = ""


def load_prices(path: Path | None) -> Prices:
    """Read our prices, with those of a file in place of ours where it has any.

    Args:
        path: The user's file.

    Raises:
        UsageError: It cannot be read, or is not of the form.
    """
    ours = _read(files("heisenberg.diagnosis").joinpath("prices.json").read_bytes())
    if path is None:
        return _prices(ours.as_of, ours)
    try:
        with path.open("rb") as file:
            theirs = _read(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        reason = text.one_line(str(error))
        raise UsageError(
            f"{path}: {reason}; prices look like "
            '{"as_of": "2026-01-31", "prices": {"openai:gpt-5*": [1.25, 10]}}'
        ) from None
    return _prices(min(ours.as_of, theirs.as_of), ours, theirs)


def _read(data: bytes) -> _File:
    """Read a file's content.

    Raises:
        ValueError: It is too large, or a price or a pattern is not what it should be.
        MsgspecError: It is no JSON, or not of the form.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    found = msgspec.json.decode(data, type=_File)
    for pattern, price in found.prices.items():
        if "*" in pattern[:-1] or ":" not in pattern:
            raise ValueError(f"{pattern!r} is neither PROVIDER:MODEL nor a beginning of it and a *")
        if not all(math.isfinite(one) and one >= 0 for one in price):
            raise ValueError(f"{pattern!r}: a price is at least 0")
    return found


def _prices(as_of: date, *layers: _File) -> Prices:
    """Put the later ones' entries over the earlier ones'."""
    return Prices(as_of, {p: Price(*pair) for one in layers for p, pair in one.prices.items()})

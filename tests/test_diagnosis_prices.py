from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from heisenberg.diagnosis.prices import MAX_BYTES, Price, Prices, load_prices
from heisenberg.diagnosis.providers.registry import VENDORS
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, content: object) -> Path:
    """A user's file."""
    path = folder / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_cost_is_tokens_by_price() -> None:
    """Prices are for a million tokens, input and output apart."""
    price = Price(2, 10)

    assert pytest.approx(0.017) == price.cost_usd(1_000, 1_500)
    assert price.cost_usd(0, 0) == 0


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("anthropic:claude-opus-5-5", Price(4, 20)),
        ("anthropic:claude-opus-5-5-20260922", Price(4, 20)),
        ("anthropic:claude-opus-5", Price(5, 25)),
        ("openai:gpt-5", Price(1.25, 10)),
        ("openai:gpt-5-mini-2025-08-07", Price(0.25, 2)),
        ("openai:gpt-4o-2024-05-13", Price(5, 15)),
        ("openai:gpt-4o-2024-11-20", Price(2.5, 10)),
        ("gemini:gemini-2.5-flash", Price(0.3, 2.5)),
        ("ollama:qwen3:8b", Price(0, 0)),
        ("compatible:anything/at-all", Price(0, 0)),
        ("openai:gpt-5.4-pro", None),
        ("openai:gpt-99", None),
        ("anthropic:", None),
        ("gemini:gemini-2.5-flash-preview-tts", None),
    ],
)
def test_a_model_has_the_price_of_its_name(name: str, price: Price | None) -> None:
    """The exact name counts, else the longest beginning; a dearer relative is not taken for it."""
    assert price == load_prices(None).of(name)


def test_our_prices_are_dated_and_of_providers_that_there_are() -> None:
    """Nobody could use the price of a provider that cannot be asked."""
    prices = load_prices(None)

    assert set(VENDORS) == {pattern.partition(":")[0] for pattern in prices.by_pattern}
    assert prices.as_of <= datetime.now(UTC).date()


def test_an_unknown_model_is_taken_for_the_dearest() -> None:
    """No model with a price costs more, of input or of output."""
    prices = Prices(
        datetime.now(UTC).date(), {"a:x": Price(1, 50), "a:y": Price(7, 2), "b:*": Price(0, 0)}
    )

    assert Price(7, 50) == prices.dearest
    assert load_prices(None).dearest.input_usd >= 15


def test_a_users_file_replaces_single_prices(tmp_path: Path) -> None:
    """What it does not name stays; local models may cost something; the older date counts."""
    theirs = {"openai:gpt-5": [1, 2], "compatible:*": [0.5, 0.5], "openai:gpt-5-mini-x": [3, 4]}
    path = write(tmp_path, {"as_of": "2026-01-31", "prices": theirs})
    prices = load_prices(path)

    assert Price(1, 2) == prices.of("openai:gpt-5")
    assert Price(0.5, 0.5) == prices.of("compatible:m")
    assert Price(3, 4) == prices.of("openai:gpt-5-mini-x")
    assert Price(0.25, 2) == prices.of("openai:gpt-5-mini")
    assert "2026-01-31" == prices.as_of.isoformat()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"as_of": "2026-01-31"',
        {"as_of": "yesterday", "prices": {}},
        {"as_of": "2026-01-31", "prices": {"openai:x": 1}},
        {"as_of": "2026-01-31", "prices": {"openai:x": [1]}},
        {"as_of": "2026-01-31", "prices": {"openai:x": [1, -1]}},
        {"as_of": "2026-01-31", "prices": {"openai:x": ["1", "2"]}},
        {"as_of": "2026-01-31", "prices": {"gpt-5": [1, 2]}},
        {"as_of": "2026-01-31", "prices": {"openai:*-mini": [1, 2]}},
        {"as_of": "2026-01-31", "prices": {"openai:x\n\x1b[31m": [1, -2]}},
        {"as_of": "2026-01-31", "price": {}},
        '{"as_of": "2026-01-31", "prices": {"openai:x": [1e999, 1]}}',
        '{"as_of": ' + "[" * 10_000,
        " " * (MAX_BYTES + 1),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, content: object) -> None:
    """It names the file, and shows what one looks like."""
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        load_prices(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()
    assert '"as_of"' in str(caught.value)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """The system's own reason is told."""
    with pytest.raises(UsageError, match="No such file"):
        load_prices(tmp_path / "none.json")
    with pytest.raises(UsageError, match="directory"):
        load_prices(tmp_path)

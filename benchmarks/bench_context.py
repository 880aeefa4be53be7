"""Measure what asking a model about failing runs takes: calls, tokens, money; against the naive way.

    python benchmarks/bench_context.py [CASES] [--price anthropic:MODEL]

The naive way is a call for each failing test, with its error and the first 50 lines of each
service's log, and no instructions at all. Both are counted with one tokenizer: that of
`mistral-common`, which ships its vocabulary, beside our own estimate. Nothing is sent. Prints
Markdown tables.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from heisenberg import pipeline
from heisenberg.diagnosis.prices import load_prices
from heisenberg.diagnosis.prompt import write_prompt
from heisenberg.diagnosis.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from heisenberg.diagnosis.provider import Prompt
    from heisenberg.model.run import Test

CASES = Path(__file__).parents[1] / "tests" / "data" / "cases"
REPORTS = ("report.json", "junit.xml")
LOG_LINES = 50
ANSWER_TOKENS = 400
"""Of an answer, for the cost: about what the schema filled in takes."""


class Row(NamedTuple):
    """One case."""

    name: str
    ours: list[int]
    """Tokens of each call."""
    naive: list[int]
    estimated: list[int]


def vocabulary() -> Callable[[str], int]:
    """Counts tokens as a real model does."""
    tekken: Any = importlib.import_module("mistral_common.tokens.tokenizers.tekken")
    package = Path(str(importlib.import_module("mistral_common").__file__)).parent
    file = min((package / "data").glob("tekken*.json"))
    tokenizer = tekken.Tekkenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, bos=False, eos=False))


def sent(prompt: Prompt) -> str:
    """All that a provider is sent."""
    return f"{prompt.system}\n{json.dumps(prompt.schema)}\n{prompt.user}"


def naive_prompt(test: Test, logs: Path) -> str:
    """A test's error and the beginning of every log."""
    parts = [f"Why does this test fail?\n{test.id}"]
    parts += [failure.text for failure in test.bad_attempts[-1].failures]
    for log in sorted(path for path in logs.rglob("*") if path.is_file()):
        with log.open(errors="replace") as lines:
            parts.append(f"{log.name}\n{''.join(itertools.islice(lines, LOG_LINES))}")
    return "\n\n".join(parts)


def measure(case: Path, count: Callable[[str], int]) -> Row:
    """Count what both ways would send about a case."""
    report = next(case / name for name in REPORTS if (case / name).exists())
    prepared = pipeline.prepare([report], [case / "logs"], context_tokens=4000)
    prompts = [write_prompt(question, 1500) for question in prepared.questions]
    tests = [test for incident in prepared.report.incidents for test in incident.tests]
    return Row(
        case.name,
        [count(sent(prompt)) for prompt in prompts],
        [count(naive_prompt(test, case / "logs")) for test in tests],
        [estimate_tokens(sent(prompt)) for prompt in prompts],
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="?", type=Path, default=CASES)
    parser.add_argument("--price", default="anthropic:claude-sonnet-5")
    chosen = parser.parse_args()
    count = vocabulary()
    price = load_prices(None).of(chosen.price)
    folders = sorted(f.parent for f in chosen.cases.rglob("truth.json"))
    rows = [measure(folder, count) for folder in folders]

    print("| case | calls | tokens | USD | naive calls | naive tokens | naive USD |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        costs = [
            price.cost_usd(sum(tokens), len(tokens) * ANSWER_TOKENS) if price else 0.0
            for tokens in (row.ours, row.naive)
        ]
        print(
            f"| {row.name} | {len(row.ours)} | {sum(row.ours)} | {costs[0]:.4f} "
            f"| {len(row.naive)} | {sum(row.naive)} | {costs[1]:.4f} |"
        )
    ours = [tokens for row in rows for tokens in row.ours]
    naive = [tokens for row in rows for tokens in row.naive]
    estimated = sum(sum(row.estimated) for row in rows)
    print()
    print("| figure | value |")
    print("|---|---:|")
    print(
        f"| tokens, ours of the naive way's | {sum(ours)} / {sum(naive)} = {sum(ours) / sum(naive):.3f} |"
    )
    print(f"| calls, likewise | {len(ours)} / {len(naive)} |")
    print(f"| tokens an incident, median | {statistics.median(ours):.0f} |")
    print(f"| tokens an incident, most | {max(ours)} |")
    print(f"| our estimate of the tokens, of the real ones | {estimated / sum(ours):.2f} |")


if __name__ == "__main__":
    main()

"""Write a question down as a prompt. The same question always gives the same text.

Text of artefacts stands only behind the bar of a line (`E3| …`), each line of it anew, so that
nothing in it can pass for a line of ours.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from heisenberg.diagnosis.answer import SCHEMA
from heisenberg.diagnosis.provider import Prompt
from heisenberg.diagnosis.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.model.question import Item, Question

VERSION = "diagnosis-1"
"""Of the task and of the form: the name of the file, bumped when either changes."""


@cache
def task() -> str:
    """What every model is told to do."""
    place = resources.files("heisenberg.diagnosis") / "prompts" / f"{VERSION}.md"
    return place.read_text("utf-8").strip()


@cache
def fixed_tokens() -> int:
    """Estimate of what task and schema take of every prompt."""
    return estimate_tokens(task()) + estimate_tokens(json.dumps(SCHEMA))


def write_prompt(question: Question, max_output_tokens: int) -> Prompt:
    """The prompt of a question, with all its items."""
    return Prompt(task(), evidence_text(question), SCHEMA, max_output_tokens)


def evidence_text(question: Question) -> str:
    """The part of the prompt that is about this incident."""
    parts = [question.head, "## Evidence, the most telling first", *map(item_text, question.items)]
    if question.withheld:
        parts.append(f"{question.withheld} lines were left out: they speak to whoever reads them.")
    return "\n".join(parts)


def item_text(item: Item) -> str:
    """An item as it is sent: our own words on it, then its lines."""
    return "\n".join((f"[{item.id}] {item.about}", *behind_bar(item.id, item.text)))


def behind_bar(mark: str, lines: Sequence[str]) -> list[str]:
    """Put text that is not ours behind a bar, where it can be nothing but data."""
    return [f"{mark}| {line}" for line in lines]


def estimate(question: Question) -> int:
    """Estimate of the tokens of the question's prompt."""
    head = estimate_tokens(question.head)
    return fixed_tokens() + head + sum(item.tokens for item in question.items)


def digest(prompt: Prompt) -> str:
    """SHA-256 of all that is sent, hexadecimal."""
    parts = json.dumps([prompt.system, prompt.user, prompt.schema, prompt.max_output_tokens])
    return hashlib.sha256(parts.encode()).hexdigest()

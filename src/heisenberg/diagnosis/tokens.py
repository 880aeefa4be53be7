"""Estimate how many tokens a text is, without any provider's vocabulary.

Vocabularies differ, so a budget kept by an estimate is kept roughly: within a tenth of a real one
on the evidence of the labelled cases (benchmarks/bench_context.py).
"""

from __future__ import annotations

import re

_PIECE = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<digits>[0-9]+)|(?P<space>[ \t]{2,}|\n)|(?P<mark>[!-/:-@\[-`{-~]+)|(?P<other>[^\x00-\x7f])"
)
CHARS_PER_WORD_TOKEN = 6
CHARS_PER_DIGIT_TOKEN = 2
CHARS_PER_MARK_TOKEN = 2


def estimate_tokens(text: str) -> int:
    """How many tokens a model reads in a text, roughly."""
    total = 0
    for match in _PIECE.finditer(text):
        size = match.end() - match.start()
        match match.lastgroup:
            case "word":
                total += -(-size // CHARS_PER_WORD_TOKEN)
            case "digits":
                total += -(-size // CHARS_PER_DIGIT_TOKEN)
            case "mark":
                total += -(-size // CHARS_PER_MARK_TOKEN)
            case _:
                total += 1
    return total

"""An exchange with a model, written down: what was sent, what came back, what was made of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from heisenberg import text

if TYPE_CHECKING:
    from heisenberg.diagnosis.consult import Exchange


def transcribe(exchange: Exchange) -> str:
    """The exchange as one line of JSON, safe to print."""
    judgement = exchange.judgement
    document: dict[str, Any] = {
        "incident": exchange.question.incident,
        "model": exchange.model,
        "prompt_version": exchange.question.prompt,
        "was_kept": exchange.was_kept,
        "system": exchange.prompt.system,
        "user": exchange.prompt.user,
        "answer": msgspec.to_builtins(exchange.answer),
        "is_followed": judgement.is_models,
        "dropped": [{"claim": d.claim, "reason": d.reason} for d in judgement.dropped],
        "input_tokens": exchange.input_tokens,
        "output_tokens": exchange.output_tokens,
        "cost_usd": round(exchange.cost_usd, 6),
    }
    return text.escape_for_json(json.dumps(document, ensure_ascii=False)) + "\n"

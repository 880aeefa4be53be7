"""An exchange with a model, written down: what was sent, what came back, what was made of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from heisenberg import text
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

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


class TranscriptFile:
    """Exchanges in a file, each written as soon as it is over."""

    def __init__(self, path: Path) -> None:
        """Open the file, empty.

        Raises:
            UsageError: It cannot be written.
        """
        self.path = path
        self.problem = ""
        """Why not all is written, if so: what was paid for is not lost with it."""
        try:
            self._file = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error

    def write(self, exchange: Exchange) -> None:
        """Append an exchange."""
        if self.problem:
            return
        try:
            self._file.write(transcribe(exchange))
            self._file.flush()
        except OSError as error:
            self.problem = f"cannot be written: {error.strerror or error}"

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self.problem = self.problem or f"cannot be written: {error.strerror or error}"

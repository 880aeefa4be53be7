"""Answers of models, kept so that the same question is asked once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What makes two questions the same."""

    fingerprint: str
    """Of the incident."""
    digest: str
    """SHA-256 of all that is sent, hexadecimal."""
    prompt: str
    """Version of the prompt."""
    model: str
    """`PROVIDER:MODEL`."""

    def __str__(self) -> str:
        """One name for all of it: 64 hexadecimal digits."""
        parts = (self.fingerprint, self.digest, self.prompt, self.model)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Answers(Protocol):
    """Where answers are kept. Losing one costs a call, never an analysis: nothing here raises."""

    async def get(self, key: AnswerKey) -> str | None:
        """The answer's JSON text, unless there is none or it has expired."""

    async def claim(self, key: AnswerKey) -> bool:
        """Ask for the right to ask the model.

        Returns:
            Whether the caller is to ask; False while somebody else is asking, whose answer `get`
            will give. A claim ends with `put`, with `release`, or after a while by itself.
        """

    async def put(self, key: AnswerKey, answer: str) -> None:
        """Keep an answer, and end the claim."""

    async def release(self, key: AnswerKey) -> None:
        """End the claim without an answer."""

    async def close(self) -> None:
        """Give up what it holds."""

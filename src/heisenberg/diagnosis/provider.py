"""What a provider of models is: asked a prompt, it gives an answer that was read, and what that cost.

A provider asks once. Whoever calls decides whether to ask again: in the service that is
`retry_with_backoff`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a provider; what each one needs is in `providers/registry.py`."""

    api_key: str = field(default="", repr=False)
    """Empty where none is needed."""
    base_url: str = ""
    """Of its interface; empty for the provider's own."""
    timeout_s: float = 60.0
    """Longest that one ask may take, all of it: a repair included."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is sent."""

    system: str
    """The task. Ours alone: nothing of an artefact is in it."""
    user: str
    """The evidence."""
    schema: Mapping[str, Any]
    """JSON Schema of the answer, as providers obey it strictly: objects require all their properties
    and allow no others, and what may be null says so by `anyOf`."""
    max_output_tokens: int = 2000


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What came back."""

    answer: T
    input_tokens: int
    """Read by the model, repair included."""
    output_tokens: int
    """Written by the model, likewise."""


class Provider(Protocol):
    """A model at a provider."""

    @property
    def name(self) -> str:
        """`PROVIDER:MODEL`, as diagnoses tell it."""

    async def ask(self, prompt: Prompt, read: Callable[[str], T]) -> Reply[T]:
        """Ask once; an answer that cannot be read gets one repair round.

        Args:
            prompt: What to send.
            read: Turns the answer's JSON text into what is wanted. A ValueError or an error of
                msgspec says what is wrong with it, in words that are sent back to the model for
                the repair.

        Raises:
            EngineError: One of the following. Each carries the tokens that were paid all the same.
            TransientEngineError: The same may succeed later; carries how long to wait, if told.
            EngineAuthenticationError: The key is not accepted, or may not use this model.
            EngineContextError: The prompt is longer than the model can read.
            EngineRejectedError: The request, or the model's name, is not accepted.
            EngineAnswerError: The answer is none, even after the repair.
        """

    async def close(self) -> None:
        """Give up the connections of this event loop. It may be asked again."""

"""Anthropic's Messages.

The schema goes natively where the model takes one. Older models are made to call a tool with it:
the newest refuse to be forced, and the oldest know nothing else, so neither way does for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from heisenberg.diagnosis.providers.session import Session

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from heisenberg.diagnosis.provider import Access
    from heisenberg.diagnosis.providers.transport import BoundedClient


def make(provider: str, model: str, access: Access) -> Session:
    """A model at Anthropic."""
    return Session(provider, model, access, open_model)


def open_model(model: str, access: Access, client: BoundedClient) -> Model:
    """The library's model."""
    sdk = AsyncAnthropic(
        api_key=access.api_key,
        base_url=access.base_url,
        max_retries=0,
        timeout=client.timeout,
        http_client=client,
        open_telemetry=False,  # its spans can be told to hold the prompt
    )
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=sdk))

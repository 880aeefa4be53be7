"""OpenAI's Chat Completions, with the schema as `response_format`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from heisenberg.diagnosis.providers.session import Session

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from heisenberg.diagnosis.provider import Access
    from heisenberg.diagnosis.providers.transport import BoundedClient


def make(provider: str, model: str, access: Access) -> Session:
    """A model at OpenAI."""
    return Session(provider, model, access, open_model)


def open_model(model: str, access: Access, client: BoundedClient) -> Model:
    """The library's model."""
    sdk = AsyncOpenAI(
        api_key=access.api_key,
        base_url=access.base_url,
        max_retries=0,
        timeout=client.timeout,
        http_client=client,
    )
    return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=sdk))

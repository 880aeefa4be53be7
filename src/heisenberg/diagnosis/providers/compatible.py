"""Whoever speaks OpenAI's Chat Completions: Gemini, Ollama, vLLM, llama.cpp, gateways."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from heisenberg.diagnosis.providers.session import Session

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from heisenberg.diagnosis.provider import Access
    from heisenberg.diagnosis.providers.transport import BoundedClient

NO_KEY = "none"
"""Sent where none is needed: the SDK does not go without."""

_PROFILE = OpenAIModelProfile(
    # All of them take a schema; one that does not obey it gets the repair.
    supports_json_schema_output=True,
    # Ollama knows only the older name of the limit, and everybody knows that one.
    openai_chat_supports_max_completion_tokens=False,
)


def make(provider: str, model: str, access: Access) -> Session:
    """A model at a provider that is told apart by its base URL alone."""
    return Session(provider, model, access, partial(open_model, provider))


def open_model(provider: str, model: str, access: Access, client: BoundedClient) -> Model:
    """The library's model."""
    sdk = AsyncOpenAI(
        api_key=access.api_key or NO_KEY,
        base_url=access.base_url,
        max_retries=0,
        timeout=client.timeout,
        http_client=client,
    )
    # The SDK takes these from OpenAI's variables; they are nobody else's business.
    sdk.organization = sdk.project = None
    made = OpenAICompatibleProvider(provider, openai_client=sdk, profile=_PROFILE)
    return OpenAIChatModel(model, provider=made)

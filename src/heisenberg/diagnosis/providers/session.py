"""Ask a model for an answer of a schema: one request, and one more when that cannot be read.

The library's layer of models is used and not its agents: it knows what each model takes, and what
each error means, at a sixth of an agent's overhead (benchmarks/bench_providers.py).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec
from pydantic_ai import ToolDefinition
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings

from heisenberg import text
from heisenberg.diagnosis.provider import Reply
from heisenberg.diagnosis.providers.faults import MISSHAPEN, Discretion, explain
from heisenberg.diagnosis.providers.json_text import find_json
from heisenberg.diagnosis.providers.transport import BoundedClient
from heisenberg.errors import (
    EngineAnswerError,
    EngineContextError,
    EngineError,
    EngineTimeoutError,
)

if TYPE_CHECKING:
    from heisenberg.diagnosis.provider import Access, Prompt

T = TypeVar("T")

Open = Callable[[str, "Access", BoundedClient], Model]
"""Makes the library's model of a model's name, to be reached through the client."""

ANSWER = "answer"
"""Name of the schema, or of the tool that is called with the answer."""
MAX_RETURNED_CHARS = 20_000
"""Of an answer that is sent back for the repair."""
REASON_WIDTH = 400
"""Of what is said to be wrong with it."""

_UNREADABLE = (ValueError, msgspec.MsgspecError, RecursionError)
"""What reading an answer raises; msgspec's errors are no ValueErrors."""
_MISSHAPEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the SDKs and the library raise over JSON of another shape; `{"choices": []}` is one."""
_CHATTY = ("anthropic", "openai", "httpx2")
"""Loggers of what sends requests; at DEBUG some write all of them, at INFO a line for each."""


@dataclass(slots=True)
class _Bill:
    """What was read and written so far."""

    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, response: ModelResponse) -> None:
        self.input_tokens += max(0, int(response.usage.input_tokens))
        self.output_tokens += max(0, int(response.usage.output_tokens))


class Session:
    """A model at a provider. Connections are made when it is asked, and kept, for each event loop."""

    def __init__(self, provider: str, model: str, access: Access, open_model: Open) -> None:
        """Remember whom to ask.

        Args:
            provider: Its name in the registry.
            model: As the provider calls it.
            access: With the base URL that counts.
            open_model: How this provider is spoken to.
        """
        self._provider = provider
        self._model = model
        self._access = access
        self._open = open_model
        # Connections belong to the loop that they were made in: asyncio.run makes a new one each.
        self._opened: dict[asyncio.AbstractEventLoop, tuple[BoundedClient, Model]] = {}
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)

    @property
    def name(self) -> str:
        """`PROVIDER:MODEL`, as diagnoses tell it."""
        return f"{self._provider}:{self._model}"

    async def ask(self, prompt: Prompt, read: Callable[[str], T]) -> Reply[T]:
        """Ask, and once more when the answer cannot be read; all within `Access.timeout_s`."""
        bill = _Bill()
        try:
            async with asyncio.timeout(self._access.timeout_s):
                answer = await self._ask(prompt, read, bill)
        except EngineError as error:
            error.input_tokens, error.output_tokens = bill.input_tokens, bill.output_tokens
            raise
        except TimeoutError:
            raise EngineTimeoutError(
                f"{self.name}: no answer within {self._access.timeout_s:g} s",
                input_tokens=bill.input_tokens,
                output_tokens=bill.output_tokens,
            ) from None
        return Reply(answer, bill.input_tokens, bill.output_tokens)

    async def close(self) -> None:
        """Give up the connections of this event loop. It may be asked again."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened[0].aclose()

    async def _ask(self, prompt: Prompt, read: Callable[[str], T], bill: _Bill) -> T:
        discretion = Discretion(self._access.api_key, f"{prompt.system}\n{prompt.user}")
        question: list[ModelMessage] = [
            ModelRequest([UserPromptPart(prompt.user)], instructions=prompt.system)
        ]
        answer = await self._request(question, prompt, discretion, bill)
        try:
            return read(find_json(answer))
        except _UNREADABLE as error:
            repair = _repair(answer, error)
        answer = await self._request([*question, *repair], prompt, discretion, bill)
        try:
            return read(find_json(answer))
        except _UNREADABLE as error:
            message = f"{self.name}: the answer cannot be read, nor the one to a second question"
            raise EngineAnswerError(discretion.add(message, str(error))) from None

    async def _request(
        self, messages: list[ModelMessage], prompt: Prompt, discretion: Discretion, bill: _Bill
    ) -> str:
        """Send one request; the text of what comes back."""
        model = self._model_here()
        handled = sys.exception()
        try:
            response = await model_request(
                model,
                messages,
                model_settings=ModelSettings(
                    max_tokens=prompt.max_output_tokens,
                    # Thought is paid out of max_tokens, and would leave none for the answer. A model
                    # that always thinks does so as little as it can.
                    thinking=False,
                ),
                model_request_parameters=_parameters(model, prompt),
                instrument=False,
            )
            bill.add(response)
            return _text(response)
        # The library's errors hold requests and bodies, which no traceback should show.
        except (AgentRunError, EngineError) as error:
            raise explain(error, self.name, discretion, handled) from None
        except _MISSHAPEN:
            raise EngineAnswerError(f"{self.name}: {MISSHAPEN}") from None

    def _model_here(self) -> Model:
        """The model for the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._opened:
            self._opened = {one: kept for one, kept in self._opened.items() if not one.is_closed()}
            client = BoundedClient(self._access.timeout_s)
            self._opened[loop] = client, self._open(self._model, self._access, client)
        return self._opened[loop][1]


def _parameters(model: Model, prompt: Prompt) -> ModelRequestParameters:
    """Ask for the schema as the model knows to obey it."""
    schema = dict(prompt.schema)
    if model.profile.get("supports_json_schema_output", False):
        return ModelRequestParameters(
            output_mode="native",
            output_object=OutputObjectDefinition(json_schema=schema, name=ANSWER, strict=True),
        )
    # A tool that has to be called is what models before that took a schema by.
    tool = ToolDefinition(name=ANSWER, parameters_json_schema=schema, kind="output", strict=True)
    return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)


def _text(response: ModelResponse) -> str:
    """The answer, when it was given in full."""
    if response.finish_reason == "content_filter":
        raise EngineAnswerError("the model refused to answer")
    if response.finish_reason == "length":
        details = response.provider_details or {}
        if details.get("finish_reason") == "model_context_window_exceeded":
            raise EngineContextError("the prompt leaves no room for an answer")
        # Asked again with the same limit it would be cut off again.
        written = response.usage.output_tokens
        raise EngineAnswerError(f"the answer was cut off at {written} tokens")
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    return calls[0].args_as_json_str() if calls else response.text or ""


def _repair(answer: str, error: Exception) -> list[ModelMessage]:
    """The model's own answer, and what is wrong with it.

    As text even when it came by a tool: a tool's call would need a tool's result, and what was
    thought before it, signed and unchanged.
    """
    reason = text.truncate(text.one_line(str(error)), REASON_WIDTH)
    return [
        ModelResponse([TextPart(answer[:MAX_RETURNED_CHARS] if answer.strip() else "(nothing)")]),
        ModelRequest(
            [
                UserPromptPart(
                    f"That answer cannot be read: {reason}. Give the whole answer again, "
                    "as JSON of the schema and nothing else."
                )
            ]
        ),
    ]

"""What a provider did instead of answering, as one of our errors, with nothing secret in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_ai import exceptions as lib

from heisenberg import text
from heisenberg.errors import (
    EngineAnswerError,
    EngineAuthenticationError,
    EngineContextError,
    EngineError,
    EngineOverloadedError,
    EngineRateLimitedError,
    EngineRejectedError,
    EngineTimeoutError,
    EngineUnreachableError,
    TransientEngineError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID_WIDTH = 200
"""Of what a provider says, as far as it is repeated."""
ECHO_CHARS = 24
"""So many characters in a row of the prompt, and what a provider says is taken for an echo of it."""
MISSHAPEN = "the answer is not of the form that was agreed; is the base URL right?"
"""Said of a page of a proxy, of JSON of another kind, and of no JSON at all."""

_TOO_LONG = (
    "context length",
    "context limit",
    "context size",
    "context window",
    "input is too long",
    "input token count",
    "prompt is too long",
    "reduce the length",
    "too many tokens",
)
"""How a prompt that is too long is told of, with no code of its own: Anthropic, Gemini, vLLM, llama.cpp."""
_NO_KEY = ("api_key_invalid", "api key not valid")
"""How Gemini tells of a wrong key, with status 400."""
_SPENT = ("enforced_spend_limit_reached", "insufficient_quota")
"""Codes that come with status 429 and that no waiting helps against."""
_REFUSED = frozenset({400, 413, 422})
_AGAIN = frozenset({408, 409, 425})

_KINDS: tuple[tuple[type[lib.ModelAPIError], type[EngineError], str], ...] = (
    (
        lib.ModelContextWindowExceededError,
        EngineContextError,
        "the prompt is longer than it reads",
    ),
    (
        lib.ModelAuthenticationError,
        EngineAuthenticationError,
        "the key is not accepted, or not for this model",
    ),
    (
        lib.ModelNotFoundError,
        EngineRejectedError,
        "there is no such model, or it is not at this base URL",
    ),
    (lib.ModelRequestRejectedError, EngineRejectedError, "the request is not accepted"),
    (lib.ModelQuotaExceededError, EngineRejectedError, "the account's quota or credit is used up"),
    (lib.ModelRateLimitError, EngineRateLimitedError, "too many requests"),
    (lib.ModelUnavailableError, EngineOverloadedError, "it is overloaded or not available"),
    (lib.ModelServerError, TransientEngineError, "it failed inside"),
    (lib.ModelTimeoutError, EngineTimeoutError, "no answer in time"),
    (lib.ModelConnectionError, EngineUnreachableError, "no connection, or it broke"),
)
"""The library's categories, the narrower ones first."""


@dataclass(frozen=True, slots=True)
class Discretion:
    """Repeats what others say on one line, or not at all when it holds what must not get out."""

    key: str = field(repr=False)
    prompt: str = field(repr=False)

    def repeat(self, said: str) -> str:
        """The text, short and safe to show; empty when it holds the key or a part of the prompt."""
        line = text.truncate(text.one_line(said), SAID_WIDTH)
        if self.key and self.key in said:
            return ""
        prompt = text.one_line(self.prompt)
        echoes = (line[i : i + ECHO_CHARS] in prompt for i in range(len(line) - ECHO_CHARS + 1))
        return "" if any(echoes) else line

    def add(self, message: str, said: str) -> str:
        """A message of ours, and what was said behind a colon when it can be repeated."""
        repeated = self.repeat(said)
        return f"{message}: {repeated}" if repeated else message


def explain(
    error: Exception, name: str, discretion: Discretion, handled: BaseException | None
) -> EngineError:
    """Turn an error of the library, or of our own transport within it, into ours with a name.

    Args:
        error: As it was raised.
        name: `PROVIDER:MODEL`.
        discretion: Knows what must not be repeated.
        handled: What was being handled when the model was asked, for instance another provider's
            failure: Python links it to whatever is raised meanwhile.
    """
    causes = list(_causes(error, handled))
    ours = next((cause for cause in causes if isinstance(cause, EngineError)), None)
    if ours is not None:  # raised while the answer was read, and wrapped by the SDK
        return type(ours)(f"{name}: {ours}")
    if not isinstance(error, lib.ModelAPIError):
        return EngineAnswerError(f"{name}: {MISSHAPEN}")
    statuses = (getattr(cause, "status_code", None) for cause in causes)
    kind, what = _kind(error, next((one for one in statuses if isinstance(one, int)), None))
    said = "" if kind is EngineAuthenticationError else _said(error, causes[-1])
    message = discretion.add(f"{name}: {what}", said)
    if issubclass(kind, TransientEngineError):
        return kind(message, retry_after_s=error.retry_after)
    return kind(message)


def _kind(error: lib.ModelAPIError, status: int | None) -> tuple[type[EngineError], str]:
    """Our class for an error of the library, and what it means in words."""
    body = str(error.body).lower()
    if status in _REFUSED and any(words in body for words in _TOO_LONG):
        return EngineContextError, "the prompt is longer than it reads"
    if status in _REFUSED and any(words in body for words in _NO_KEY):
        return EngineAuthenticationError, "the key is not accepted"
    if isinstance(error, lib.ModelRateLimitError) and any(code in body for code in _SPENT):
        return EngineRejectedError, "the account's quota or credit is used up"
    for theirs, kind, what in _KINDS:
        if isinstance(error, theirs):
            return kind, what
    if status is None or status < 300:  # noqa: PLR2004 (HTTP: success)
        return EngineAnswerError, MISSHAPEN
    if status < 400:  # noqa: PLR2004 (HTTP: redirection)
        return EngineRejectedError, "it points elsewhere, which is not followed; check the base URL"
    if status == 413:  # noqa: PLR2004 (HTTP: content too large)
        return EngineContextError, "the request is larger than it takes"
    return (TransientEngineError if status in _AGAIN else EngineRejectedError), f"HTTP {status}"


def _said(error: lib.ModelAPIError, first: BaseException) -> str:
    """What the provider says itself, or the system when there was no provider to say anything."""
    if isinstance(error, lib.ModelConnectionError):
        return str(first) if isinstance(first, OSError) else ""
    body: Any = error.body
    if isinstance(body, list) and body:  # Gemini's
        body = body[0]
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    return said if isinstance(said, str) else ""


def _causes(error: BaseException, end: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from, down to the first, but for what was there before."""
    seen: BaseException | None = error
    while seen is not None and seen is not end:
        yield seen
        seen = seen.__cause__ or seen.__context__

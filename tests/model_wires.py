"""The wire formats of Anthropic Messages and OpenAI Chat Completions, as a provider writes them.

Sources:
    https://platform.claude.com/docs/en/api/messages and /errors
    https://developers.openai.com/api/reference/chat-completions and /docs/guides/error-codes
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHARS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the model sees it."""

    system: str
    turns: tuple[tuple[str, str], ...]
    """(role, text) of each message but the system's, in order."""
    schema: Mapping[str, Any]
    """Of the answer; empty when none was asked for."""
    by_tool: str
    """Name of the tool that has to be called with the answer, if it has to."""
    model: str
    max_tokens: int

    @property
    def user(self) -> str:
        """What the user said last."""
        return next((text for role, text in reversed(self.turns) if role == "user"), "")

    @property
    def tokens(self) -> int:
        """That it counts for."""
        said = (self.system, *(text for _, text in self.turns), json.dumps(self.schema))
        return sum(map(len, said)) // CHARS_A_TOKEN


@dataclass(frozen=True, slots=True)
class Request:
    """One that came in."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    at: float
    """`time.monotonic()` when it had arrived."""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the body."""
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


class Fault(NamedTuple):
    """An error as a provider tells it: the status, and its own words for each wire format."""

    status: int
    anthropic: tuple[str, str]
    """(type, message)"""
    openai: tuple[str, str | None, str]
    """(type, code, message)"""


UNAUTHORIZED_FAULT = Fault(
    401,
    ("authentication_error", "invalid x-api-key"),
    ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
)
BAD_REQUEST_FAULT = Fault(
    400,
    ("invalid_request_error", "messages: at least one message is required"),
    ("invalid_request_error", None, "Missing required parameter: 'messages'."),
)
NO_MODEL_FAULT = Fault(
    404,
    ("not_found_error", "model: {model}"),
    ("invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
)


class Wire:
    """What differs between the wire formats."""

    request_id_header: str

    def key(self, headers: Mapping[str, str]) -> str:
        """The key that was sent."""
        raise NotImplementedError

    def refuse(self, request: Request) -> Fault | None:
        """What the provider says to a request that is not as it has to be."""
        raise NotImplementedError

    def question(self, body: Mapping[str, Any]) -> Asked:
        """What the model sees of it."""
        raise NotImplementedError

    def envelope(self, question: Asked, text: str, stop: str) -> dict[str, Any]:
        """An answer with all that is round it."""
        raise NotImplementedError

    def error(self, fault: Fault, words: Mapping[str, str]) -> dict[str, Any]:
        """An error with all that is round it."""
        raise NotImplementedError


class Anthropic(Wire):
    """Messages."""

    request_id_header = "request-id"

    def key(self, headers: Mapping[str, str]) -> str:
        # By `Authorization` from version 2026-10-21 on.
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return headers.get("x-api-key", bearer)

    def refuse(self, request: Request) -> Fault | None:
        body = request.body
        missing = [name for name in ("model", "max_tokens", "messages") if not body.get(name)]
        if "anthropic-version" not in request.headers:
            missing.append("anthropic-version")
        if missing:
            said = ("invalid_request_error", f"{missing[0]}: Field required")
            return BAD_REQUEST_FAULT._replace(anthropic=said)
        return None

    def question(self, body: Mapping[str, Any]) -> Asked:
        output = body.get("output_config", {}).get("format", {})
        choice = body.get("tool_choice", {})
        tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools", ())}
        forced = choice.get("type") in {"any", "tool"}
        by_tool = choice.get("name", next(iter(tools), "")) if forced else ""
        return Asked(
            system=_joined(body.get("system", "")),
            turns=tuple((turn["role"], _joined(turn["content"])) for turn in body["messages"]),
            schema=tools.get(by_tool) or output.get("schema", {}),
            by_tool=by_tool,
            model=body["model"],
            max_tokens=body["max_tokens"],
        )

    def envelope(self, question: Asked, text: str, stop: str) -> dict[str, Any]:
        content: dict[str, Any] = {"type": "text", "text": text}
        reason = {
            "stop": "end_turn",
            "length": "max_tokens",
            "no_room": "model_context_window_exceeded",
        }.get(stop, stop)
        if question.by_tool and stop == "stop" and (given := _parsed(text)) is not None:
            content = {
                "type": "tool_use",
                "id": "toolu_01",
                "name": question.by_tool,
                "input": given,
            }
            reason = "tool_use"
        return {
            "id": "msg_0123456789abcdefghijklmn",
            "type": "message",
            "role": "assistant",
            "model": question.model,
            "content": [content] if text else [],
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": question.tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": len(text) // CHARS_A_TOKEN,
            },
        }

    def error(self, fault: Fault, words: Mapping[str, str]) -> dict[str, Any]:
        kind, message = fault.anthropic
        error = {"type": kind, "message": message.format(**words)}
        return {"type": "error", "error": error, "request_id": "req_0123456789abcdefghijklmn"}


class OpenAI(Wire):
    """Chat Completions."""

    request_id_header = "x-request-id"

    def key(self, headers: Mapping[str, str]) -> str:
        return headers.get("authorization", "").removeprefix("Bearer ")

    def refuse(self, request: Request) -> Fault | None:
        body = request.body
        missing = [name for name in ("model", "messages") if not body.get(name)]
        if missing:
            said = ("invalid_request_error", None, f"Missing required parameter: '{missing[0]}'.")
            return BAD_REQUEST_FAULT._replace(openai=said)
        return None

    def question(self, body: Mapping[str, Any]) -> Asked:
        turns = [(turn["role"], _joined(turn["content"])) for turn in body["messages"]]
        system = {"system", "developer"}
        form = body.get("response_format", {}).get("json_schema", {})
        return Asked(
            system="\n".join(text for role, text in turns if role in system),
            turns=tuple(turn for turn in turns if turn[0] not in system),
            schema=form.get("schema", {}),
            by_tool="",
            model=body["model"],
            max_tokens=body.get("max_completion_tokens", body.get("max_tokens", 0)),
        )

    def envelope(self, question: Asked, text: str, stop: str) -> dict[str, Any]:
        refused = stop == "refusal"
        written = len(text) // CHARS_A_TOKEN
        return {
            "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
            "object": "chat.completion",
            "created": 1_767_225_600,
            "model": question.model,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": None if refused else text,
                        "refusal": text if refused else None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": "stop" if refused else stop,
                }
            ],
            "usage": {
                "prompt_tokens": question.tokens,
                "completion_tokens": written,
                "total_tokens": question.tokens + written,
            },
            "service_tier": "default",
            "system_fingerprint": None,
        }

    def error(self, fault: Fault, words: Mapping[str, str]) -> dict[str, Any]:
        kind, code, message = fault.openai
        said = message.format(**words)
        return {"error": {"message": said, "type": kind, "param": None, "code": code}}


def wire_of(request: Request) -> Wire:
    """The wire format that a path belongs to."""
    return Anthropic() if request.path.endswith("/messages") else OpenAI()


def _parsed(text: str) -> dict[str, Any] | None:
    """The object that a tool is called with; None when the text is none."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _joined(content: str | Sequence[Mapping[str, Any]]) -> str:
    """The text of a message's content, which is a text or a list of blocks."""
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content)

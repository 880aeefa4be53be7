"""How the pretended model treats a request: each failure of a provider as a switch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_wires import BAD_REQUEST_FAULT, NO_MODEL_FAULT, UNAUTHORIZED_FAULT, Asked, Fault

if TYPE_CHECKING:
    from model_server import Exchange

HUGE_BYTES = 50 << 20
CHUNK = b" " * (1 << 16)

Answer = str | dict[str, Any] | list[Any]
Answerer = Callable[[Asked], Answer]


@dataclass(frozen=True)
class Switch:
    """How one request is treated."""

    name: str
    play: Callable[[Exchange], None] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name


def _fault(name: str, fault: Fault, **headers: str) -> Switch:
    return Switch(name, lambda exchange: exchange.fail(fault, **headers))


def _hang(exchange: Exchange) -> None:
    exchange.server.closing.wait()
    exchange.handler.close_connection = True


def _drop_in_body(exchange: Exchange) -> None:
    exchange.start(200, 10_000, "application/json")
    exchange.handler.wfile.write(b'{"id": "')
    exchange.drop()


def _huge(exchange: Exchange) -> None:
    exchange.start(200, HUGE_BYTES, "application/json")
    for _ in range(HUGE_BYTES // len(CHUNK)):
        exchange.handler.wfile.write(CHUNK)


def _wrong_schema(exchange: Exchange) -> None:
    exchange.answer(json.dumps({"surprise": True}))


def _fenced(exchange: Exchange) -> None:
    exchange.answer(f"```json\n{exchange.server.said(exchange.question)}\n```")


def _in_prose(exchange: Exchange) -> None:
    exchange.answer(f"Here it is:\n{exchange.server.said(exchange.question)}\nI hope it helps!")


def _truncated(exchange: Exchange) -> None:
    said = exchange.server.said(exchange.question)
    exchange.answer(said[: len(said) // 2], "length")


def _redirect(exchange: Exchange) -> None:
    exchange.send_bytes(307, b"", "text/plain", Location="/elsewhere/v1/messages")


ANSWER = Switch("answer", lambda exchange: exchange.answer(exchange.server.said(exchange.question)))
UNAUTHORIZED = _fault("unauthorized", UNAUTHORIZED_FAULT)
FORBIDDEN = _fault(
    "forbidden",
    Fault(
        403,
        ("permission_error", "Your API key does not have permission to use the specified model."),
        ("invalid_request_error", "unsupported_country", "Country or region not supported."),
    ),
)
BAD_REQUEST = _fault("bad_request", BAD_REQUEST_FAULT)
CONTEXT_TOO_LONG = _fault(
    "context_too_long",
    Fault(
        400,
        ("invalid_request_error", "prompt is too long: 1000123 tokens > 1000000 maximum"),
        (
            "invalid_request_error",
            "context_length_exceeded",
            "This model's maximum context length is 128000 tokens. Your messages have 130000.",
        ),
    ),
)
CONTEXT_TOO_LONG_LOCALLY = Switch(
    "context_too_long_locally",
    lambda exchange: exchange.send(
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
            }
        },
    ),
)
"""As llama.cpp tells it."""
TOO_LARGE = _fault(
    "too_large",
    Fault(
        413,
        ("request_too_large", "Request exceeds the maximum size"),
        ("invalid_request_error", None, "Request too large"),
    ),
)
MODEL_NOT_FOUND = _fault("model_not_found", NO_MODEL_FAULT)
NO_CREDIT = _fault(
    "no_credit",
    Fault(
        429,
        ("billing_error", "Your credit balance is too low to access the API."),
        (
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
    ),
)
SPEND_LIMIT = Switch(
    "spend_limit",
    lambda exchange: exchange.send(
        429,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "code": "project_spend_limit_exceeded",
                "message": "The limit of spending is reached.",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
    ),
)
SERVER_ERROR = _fault(
    "server_error",
    Fault(
        500,
        ("api_error", "Internal server error"),
        ("server_error", None, "The server had an error while processing your request."),
    ),
)
BAD_GATEWAY = Switch(
    "bad_gateway",
    lambda exchange: exchange.send_bytes(
        502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html"
    ),
)
UNAVAILABLE = _fault(
    "unavailable",
    Fault(
        503,
        ("api_error", "Service unavailable"),
        ("server_error", None, "The engine is currently overloaded, please try again later."),
    ),
    Retry_After="7",
)
GATEWAY_TIMEOUT = _fault(
    "gateway_timeout",
    Fault(504, ("timeout_error", "Request timed out"), ("server_error", None, "Timed out")),
)
CONFLICT = Switch("conflict", lambda exchange: exchange.send(409, {}))
GONE = Switch("gone", lambda exchange: exchange.send(410, {}))
OVERLOADED = _fault(
    "overloaded",
    Fault(529, ("overloaded_error", "Overloaded"), ("server_error", "overloaded", "Overloaded")),
)
HANG = Switch("hang", _hang)
DROP = Switch("drop", lambda exchange: exchange.drop())
DROP_IN_BODY = Switch("drop_in_body", _drop_in_body)
HTML = Switch(
    "html",
    lambda exchange: exchange.send_bytes(
        200, b"<!doctype html><title>Sign in to the proxy</title>", "text/html"
    ),
)
HTML_AS_JSON = Switch(
    "html_as_json",
    lambda exchange: exchange.send_bytes(200, b"<!doctype html>", "application/json"),
)
OTHER_JSON = Switch(
    "other_json", lambda exchange: exchange.send(200, {"choices": [], "content": 7})
)
DEEP_JSON = Switch(
    "deep_json", lambda exchange: exchange.send_bytes(200, b"[" * 200_000, "application/json")
)
HUGE = Switch("huge", _huge)
COMPRESSED = Switch(
    "compressed",
    lambda exchange: exchange.send_bytes(
        200, b"\x1f\x8b", "application/json", Content_Encoding="gzip"
    ),
)
REDIRECT = Switch("redirect", _redirect)
INVALID_JSON = Switch("invalid_json", lambda exchange: exchange.answer('{"owner": "prod'))
NOTHING = Switch("nothing", lambda exchange: exchange.answer(""))
WRONG_SCHEMA = Switch("wrong_schema", _wrong_schema)
FENCED = Switch("fenced", _fenced)
IN_PROSE = Switch("in_prose", _in_prose)
TRUNCATED = Switch("truncated", _truncated)
NO_ROOM = Switch("no_room", lambda exchange: exchange.answer('{"ow', "no_room"))
REFUSAL = Switch(
    "refusal", lambda exchange: exchange.answer("I'm sorry, I cannot help with that.", "refusal")
)


def rate_limited(retry_after: float | str | None = None, *, milliseconds: bool = False) -> Switch:
    """Too many requests.

    Args:
        retry_after: Seconds, or a date as HTTP writes it; None for no such header.
        milliseconds: Whether it is told in `retry-after-ms`, as both providers do as well.
    """
    name = "retry_after_ms" if milliseconds else "Retry_After"
    return _fault(
        "rate_limited",
        Fault(
            429,
            ("rate_limit_error", "This request would exceed your organization's rate limit."),
            ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        ),
        **({} if retry_after is None else {name: str(retry_after)}),
    )


def drip(interval_s: float) -> Switch:
    """An answer that comes a byte at a time, so that no wait for a single byte is ever long."""

    def play(exchange: Exchange) -> None:
        body = json.dumps(exchange.wire.envelope(exchange.question, "{}", "stop")).encode()
        exchange.start(200, len(body), "application/json")
        for byte in body:
            exchange.handler.wfile.write(bytes([byte]))
            if exchange.server.closing.wait(interval_s):
                return

    return Switch("drip", play)


def saying(answer: Answer | Answerer) -> Switch:
    """An answer for this request alone: text, something that is written as JSON, or computed."""
    return Switch("saying", lambda exchange: exchange.answer(written(answer, exchange.question)))


def sending(document: object) -> Switch:
    """JSON as it is given, with status 200 and no envelope round it."""
    return Switch("sending", lambda exchange: exchange.send(200, document))


def echoing(status: int = 400) -> Switch:
    """An error that repeats the key and the prompt, as gateways do that log what they refuse."""

    def play(exchange: Exchange) -> None:
        raw = exchange.request.raw.decode()
        key = exchange.wire.key(exchange.request.headers)
        message = exchange.request.body["messages"][-1]["content"]
        said = message if isinstance(message, str) else message[0]["text"]
        exchange.send(status, {"error": {"type": "x", "message": f"{key} {said} {raw}"}})

    return Switch("echoing", play)


def written(answer: Answer | Answerer, question: Asked) -> str:
    """The text of an answer."""
    given = answer(question) if callable(answer) else answer
    return given if isinstance(given, str) else json.dumps(given)

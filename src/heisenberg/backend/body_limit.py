"""How large a request body may be, how long it may take, and what becomes of one that nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from heisenberg.backend.auth import unauthenticated
from heisenberg.backend.errors import ProblemError, problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODIES_AT_ONCE = 8
"""Bodies of the largest size that all requests together may hold; beyond that, 503."""
SMALL_REST_BYTES = 64 << 10
"""An unread rest up to here is let pass, so that a refused small request keeps its connection."""
ANONYMOUS_BYTES = 64 << 10
"""Read of a body before its sender is known: frameworks read it before they ask who sends it."""
LINGER_S = 1.0
"""Reading on after a refusal: who is still sending has to notice the answer before the end."""
LINGER_BYTES = 4 << 20
"""No more than this is read on."""
RETRY_AFTER_S = 1
"""Until requests that hold bodies are done."""


class BodyLimitMiddleware:
    """Refuses bodies that are too large, too slow, encoded, or cut off, as early as it shows."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        """Limit each body to `max_bytes`, all of which arrive within `timeout_s` of the first read."""
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the body, if the request has one."""
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(self, scope, receive, send)
        try:
            body.check_head()
            await self.app(scope, body.receive, body.send)
        except ProblemError as problem:
            if body.answered:
                raise
            await problem_response(problem, scope["path"])(scope, receive, body.send)
        finally:
            self.held_bytes -= body.size_bytes


class _Body:
    """The body of one request, and how far it has been read."""

    def __init__(
        self, limits: BodyLimitMiddleware, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.limits = limits
        self.size_bytes = 0
        self.answered = False
        self._scope = scope
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._send = send
        self._announced: int | None = None
        self._complete = False
        self._deadline: float | None = None
        self._given_up = False
        self._lingers = False

    def check_head(self) -> None:
        """Refuse what the header fields alone show to be wrong."""
        lengths = [value for name, value in self._headers if name == b"content-length"]
        if lengths:
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise ProblemError(
                    HTTPStatus.BAD_REQUEST,
                    "invalid-content-length",
                    "Content-Length has to be one number that is not negative",
                )
            self._announced = int(lengths[0])
        coding = self._header(b"content-encoding").strip().lower()
        if coding not in {b"", b"identity"}:
            raise ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "a body with a Content-Encoding is not supported; send it as it is",
                headers={"Accept-Encoding": "identity"},
            )
        if self._announced is not None and self._announced > self.limits.max_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            ProblemError: The body as a whole is too large, too slow, or cut off.
        """
        if self._complete or self.answered:
            return await self._receive()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._given_up = True
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                "body-too-slow",
                f"the body has to arrive within {self.limits.timeout_s:g} s",
            ) from None
        if message["type"] == "http.disconnect":
            self._complete = True
            # Nobody is there to read it; it only ends the request, without noise in the log.
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "body-cut-off", "the client left in the middle of the body"
            )
        self._count(message)
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on; when the rest of the body is long, the connection ends with it."""
        if message["type"] == "http.response.start":
            self.answered = True
            if self._given_up or self._has_long_rest():
                self._lingers = not self._given_up
                headers = [h for h in message.get("headers", ()) if h[0].lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
        elif self._lingers and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _count(self, message: Message) -> None:
        size = len(message.get("body", b""))
        self.size_bytes += size
        self.limits.held_bytes += size
        self._complete = not message.get("more_body", False)
        if self.size_bytes > self.limits.max_bytes:
            raise self._too_large()
        if self.size_bytes > ANONYMOUS_BYTES and not self._is_known():
            raise unauthenticated(self._scope["state"])
        if self.limits.held_bytes > BODIES_AT_ONCE * self.limits.max_bytes:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "overloaded",
                "too many large requests at once; try again shortly",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )

    def _is_known(self) -> bool:
        """Whether a valid key was presented, or the database could not tell."""
        facts = self._scope.get("state", {})
        return "principal" not in facts or bool(facts["principal"] or facts.get("key_error"))

    def _too_large(self) -> ProblemError:
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"the body is larger than {self.limits.max_bytes} bytes; send less at once",
            max_bytes=self.limits.max_bytes,
        )

    def _header(self, name: bytes) -> bytes:
        return next((value for key, value in self._headers if key == name), b"")

    def _has_long_rest(self) -> bool:
        """Whether more of the body may come than is worth waiting for."""
        if self._complete:
            return False
        return self._announced is None or self._announced - self.size_bytes > SMALL_REST_BYTES

    async def _drain(self) -> None:
        """Read on a little: closing on unread bytes may destroy the answer on its way."""
        if self._deadline is None and self._header(b"expect").lower() == b"100-continue":
            return  # It waited to be asked, and was not.
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return
                    left -= len(message.get("body", b""))


def _has_body(scope: Scope) -> bool:
    """Whether the header fields announce a body, as HTTP/1.1 has it."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )

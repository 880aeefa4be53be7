"""What every request passes, from the outside in: id, access log, rate limit. Pure ASGI."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette._utils import get_route_path  # the router's own: another could be made to differ
from starlette.routing import compile_path
from uuid_utils import uuid7

from heisenberg.backend.client_address import client_address
from heisenberg.backend.errors import ProblemError, problem_response
from heisenberg.backend.logging import plain_logger, request_id_ctx
from heisenberg.backend.metrics import UNMATCHED
from heisenberg.backend.rate_limit import BURST_S, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from heisenberg.backend.rate_limit import Decision
    from heisenberg.backend.state import State

UNLIMITED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""For orchestrators, which must not be refused; `/health` is for everybody and is limited."""
REQUEST_ID_HEADER = b"x-request-id"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
"""Of a client; anything else could forge lines or grow them."""
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""On every answer: what a test's output looks like does not make it a script."""
NO_STORE = (b"cache-control", b"no-store")
PRIVATE = "/api/"
"""What is below needs a key, and its answers are an organization's own: no cache keeps them."""
CLIENT_LEFT = 499
"""Status, in log and metrics alone, of a request whose client did not wait; nginx's number."""

write_line = plain_logger(__name__)


class RequestIDMiddleware:
    """Gives each request an id, the client's own if it is one: on its log lines, in its answer.

    The outermost, so the header fields that every answer has are put on here too.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request under its id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        fields = [(REQUEST_ID_HEADER, request_id.encode()), NO_SNIFFING]
        if scope["path"].startswith(PRIVATE):
            fields.append(NO_STORE)

        def told(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                kept = [f for f in message.get("headers", ()) if f[0].lower() != REQUEST_ID_HEADER]
                message["headers"] = kept + fields
            return send(message)

        token = request_id_ctx.set(request_id)
        try:
            await self.app(scope, receive, told)
        finally:
            request_id_ctx.reset(token)


def _request_id(scope: Scope) -> str:
    """The client's id when there is exactly one and it is harmless, else a new one."""
    given: list[bytes] = [value for name, value in scope["headers"] if name == REQUEST_ID_HEADER]
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    fresh: str = uuid7().hex
    return fresh


def route_template(scope: Scope) -> str | None:
    """The path of the route that was asked for, with its placeholders; None when there is none."""
    # An included route keeps its own path; FastAPI puts the whole one, with the prefixes, here.
    context = scope.get("fastapi", {}).get("effective_route_context")
    path: str | None = getattr(context or scope.get("route"), "path", None)
    if path is None and "app" in scope:  # refused before the router saw it, or a path of nobody
        asked = get_route_path(scope)
        return next((t for t, known in _templates(scope["app"]) if known.match(asked)), None)
    return path


@lru_cache(maxsize=4)
def _templates(app: FastAPI) -> list[tuple[str, re.Pattern[str]]]:
    """The documented paths, and what each matches; those without placeholders first."""
    paths = sorted(app.openapi()["paths"], key=lambda path: path.count("{"))
    return [(path, compile_path(path)[0]) for path in paths]


class AccessLogMiddleware:
    """Writes one line a request when it is over, however it ends, and counts it."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Wrap the application."""
        self.app = app
        self.metrics = state.metrics
        self.trusted_proxies = state.settings.trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Measure the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 0
        complete = False
        aborted = None

        def watched_send(message: Message) -> Awaitable[None]:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = status or message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                complete = True
            return send(message)

        async def watched_receive() -> Message:
            nonlocal status, aborted
            message = await receive()
            if message["type"] == "http.disconnect" and not complete:
                aborted = "client_left"
                status = status or CLIENT_LEFT  # whatever is answered now reaches nobody
            return message

        self.metrics.request_started()
        try:
            await self.app(scope, watched_receive, watched_send)
        finally:
            seconds = time.perf_counter() - begin
            if not complete:
                aborted = aborted or "failed"
                status = status or HTTPStatus.INTERNAL_SERVER_ERROR
            route = route_template(scope)
            self.metrics.request_finished(scope["method"], route, status, seconds)
            self._log(scope, route, status, seconds, aborted)

    def _log(
        self, scope: Scope, route: str | None, status: int, seconds: float, aborted: str | None
    ) -> None:
        facts: dict[str, Any] = {
            "method": scope["method"],
            "route": route or UNMATCHED,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "client": client_address(scope, self.trusted_proxies),
        }
        principal = scope.get("state", {}).get("principal")
        if principal is not None:
            facts["key_id"] = str(principal.key_id)
        if aborted is not None:
            facts["aborted"] = aborted
        # Probes come every few seconds; they are told of when they find something.
        quiet = route in UNLIMITED_PATHS and status < HTTPStatus.INTERNAL_SERVER_ERROR
        write_line("debug" if quiet else "info", "request.finished", facts)


class RateLimitMiddleware:
    """Counts each request against its key or its address, tells what is left, and refuses.

    A valid key is counted as itself, wherever it comes from. Everybody else is counted by address,
    whatever they send, so that a made-up key or a new spelling of it gains nothing.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Wrap the application."""
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide before the application does anything."""
        # The path as the router sees it: what matches an exempt route is exempt, and nothing else.
        if scope["type"] != "http" or get_route_path(scope) in UNLIMITED_PATHS:
            await self.app(scope, receive, send)
            return
        state = self.state
        facts = scope.setdefault("state", {})
        principal = facts.get("principal")
        if principal is None:
            key = f"address:{client_address(scope, state.settings.trusted_proxies)}"
        else:
            key = f"key:{principal.key_id}"
        limiter = state.limiter
        decision = await limiter.hit(key)
        state.metrics.limited("allowed" if decision.allowed else "refused")
        if not limiter.store_available:
            state.metrics.limited("degraded")
        if not decision.allowed:
            await problem_response(_too_many(decision), scope["path"])(scope, receive, send)
            return
        # The answer to an error that nobody caught is made further out, and carries them too.
        fields = facts["rate_limit_headers"] = decision.raw_headers

        def told(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *fields]
            return send(message)

        await self.app(scope, receive, told)


def _too_many(decision: Decision) -> ProblemError:
    """Which limit was reached, and when to come back."""
    policy = decision.policy
    headers = decision.headers
    reached = {
        "minute": f"{policy.quota} in {WINDOW_S} s",
        "burst": f"{policy.burst} in {BURST_S} s",
    }
    violated = decision.violated
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "quota-exceeded",
        f"too many requests: at most {' and '.join(reached[name] for name in violated)} "
        f"are allowed; try again in {headers['Retry-After']} s",
        headers=headers,
        **{"violated-policies": violated},
    )

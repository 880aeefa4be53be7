"""What every request passes, from the outside in: id, access log, rate limit. Pure ASGI."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette._utils import get_route_path  # the router's own: another could be made to differ

from heisenberg.backend.client_address import client_address
from heisenberg.backend.errors import ProblemError, problem_response
from heisenberg.backend.rate_limit import BURST_S, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from heisenberg.backend.rate_limit import Decision
    from heisenberg.backend.state import State

UNLIMITED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""For orchestrators, which must not be refused; `/health` is for everybody and is limited."""


class RequestIDMiddleware:
    """PLACEHOLDER: filled in by its owner."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class AccessLogMiddleware:
    """PLACEHOLDER: filled in by its owner."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


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

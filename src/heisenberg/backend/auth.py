"""Who asks: API keys in `X-API-Key` or `Authorization: Bearer`, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from starlette._utils import get_route_path  # the router's own: another could be made to differ

from heisenberg.backend.client_address import client_address
from heisenberg.backend.database_errors import is_unavailable
from heisenberg.backend.errors import ProblemError, problem_response
from heisenberg.backend.middleware import UNLIMITED_PATHS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from uuid import UUID

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from heisenberg.backend.services.authentication import Candidate
    from heisenberg.backend.state import State

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="heisenberg"'}


class Scope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def included(self) -> frozenset[Scope]:
        """This scope and the ones before it."""
        scopes = list(Scope)
        return frozenset(scopes[: scopes.index(self) + 1])


def expand(scopes: Iterable[str]) -> frozenset[Scope]:
    """All that the scopes include."""
    return frozenset().union(*(Scope(scope).included for scope in scopes))


@dataclass(frozen=True, slots=True)
class Principal:
    """A valid key: who asks, for which organization, and what they may do."""

    key_id: UUID
    organization_id: UUID
    scopes: frozenset[Scope]
    """With all that they include."""


class Refusal(StrEnum):
    """Why a key that was presented is refused; the last two only to who knows its secret."""

    INVALID = "invalid"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    REVOKED = "revoked"


_TOLD = {
    Refusal.INVALID: "the API key is not valid",
    Refusal.AMBIGUOUS: "the headers carry different API keys; send one key once",
    Refusal.EXPIRED: "the API key has expired; ask an admin of the organization for a new one",
    Refusal.REVOKED: "the API key was revoked; ask an admin of the organization for a new one",
}


class AuthenticationMiddleware:
    """Finds out who asks, before the rate limit and the routes.

    Sets in `scope["state"]`: `principal`, a Principal or None; `key_failed`, whether a key was
    presented that is no valid one; `key_refusal`, why; and `key_error`, what kept the database
    from telling. It answers itself only when an address has failed too often; to let nobody in is
    left to `require`, as some routes are public.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Wrap the application."""
        self.app = app
        self.state = state

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Authenticate, and go on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        facts = scope.setdefault("state", {})
        facts.update(principal=None, key_failed=False, key_refusal=None, key_error=None)
        keys = presented_keys(scope["headers"])
        # Probes and scrapers are let in whoever they are, also when no database can be asked.
        if keys and get_route_path(scope) not in UNLIMITED_PATHS:
            try:
                await self._authenticate(scope, keys)
            except ProblemError as problem:
                facts["key_failed"] = True
                await problem_response(problem, scope["path"])(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _authenticate(self, scope: ASGIScope, keys: frozenset[bytes]) -> None:
        """Ask for the key, unless its address has failed too often.

        Raises:
            ProblemError: It has.
        """
        authenticator = self.state.authenticator
        facts = scope["state"]
        candidate = authenticator.read(next(iter(keys))) if len(keys) == 1 else None
        try:
            if candidate is not None and authenticator.knows(candidate):
                # Whoever shares an address with somebody who guesses keys is not locked out.
                found = await authenticator.verify(candidate)
                if isinstance(found, Refusal):
                    await self.state.failed_auth_limiter.hit(self._address(scope))
            else:
                # Few at a time, and each is counted before the next one asks: the limit holds to
                # within these few, however many come at once.
                async with authenticator.turn():
                    found = await self._stranger(scope, candidate, ambiguous=len(keys) > 1)
        except Exception as error:
            if not is_unavailable(error):
                raise
            facts["key_error"] = error
            return
        if isinstance(found, Refusal):
            facts.update(key_failed=True, key_refusal=found)
        else:
            facts["principal"] = found

    async def _stranger(
        self, scope: ASGIScope, candidate: Candidate | None, *, ambiguous: bool
    ) -> Principal | Refusal:
        """Verify a key that was not seen lately.

        Raises:
            ProblemError: Its address has failed too often.
        """
        limiter = self.state.failed_auth_limiter
        address = self._address(scope)
        decision = await limiter.peek(address)
        if not decision.allowed:
            self.state.metrics.limited("failed_auth_refused")
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-many-failed-authentications",
                "too many API keys from this address were refused; try again later",
                headers=decision.headers,
            )
        found: Principal | Refusal = Refusal.AMBIGUOUS if ambiguous else Refusal.INVALID
        if candidate is not None:
            found = await self.state.authenticator.verify(candidate)
        if isinstance(found, Refusal):
            await limiter.hit(address)
        return found

    def _address(self, scope: ASGIScope) -> str:
        return client_address(scope, self.state.settings.trusted_proxies)


def presented_keys(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The different keys that a request carries; what cannot be a key counts as one.

    Another scheme than Bearer is somebody else's, as of a proxy in front, and no key.
    """
    keys = set()
    for name, value in headers:
        if name == b"x-api-key":
            keys.add(value.strip())
        elif name == b"authorization":
            scheme, _, credentials = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                keys.add(credentials.strip())
            elif not credentials:
                keys.add(scheme)
    return frozenset(keys)


def require(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets in only keys with the scope, and gives the Principal."""

    async def dependency(request: Request) -> Principal:
        facts = request.scope["state"]
        principal: Principal | None = facts["principal"]
        if principal is None:
            raise unauthenticated(facts)
        if scope not in principal.scopes:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "insufficient-scope",
                f"the API key lacks the scope {scope.value!r} that this needs",
            )
        return principal

    return dependency


def unauthenticated(facts: dict[str, Any]) -> Exception:
    """What to raise when nobody is known to ask."""
    error: Exception | None = facts["key_error"]
    if error is not None:
        return error  # the edge answers 503
    refusal: Refusal | None = facts["key_refusal"]
    if refusal is None:
        return ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "missing-api-key",
            "this needs an API key, in X-API-Key or in Authorization: Bearer",
            headers=CHALLENGE,
        )
    return ProblemError(
        HTTPStatus.UNAUTHORIZED, f"{refusal.value}-api-key", _TOLD[refusal], headers=CHALLENGE
    )


Reader = Annotated[Principal, Depends(require(Scope.READ))]
"""A route's parameter that only keys which may read fill."""
Writer = Annotated[Principal, Depends(require(Scope.WRITE))]
"""Likewise, which may write."""
Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]
"""Likewise, which may do all."""

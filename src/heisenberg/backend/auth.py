"""Who asks: API keys in `X-API-Key` or `Authorization: Bearer`, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from heisenberg.backend.state import State


class Scope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """A valid key: who asks, for which organization, and what they may do."""

    key_id: UUID
    organization_id: UUID
    scopes: frozenset[Scope]


class AuthenticationMiddleware:
    """Sets `scope["state"]["principal"]`: a Principal, or None. PLACEHOLDER: filled in by its owner."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["principal"] = None
        await self.app(scope, receive, send)

"""How many requests a key or an address may make: an exact sliding window of 60 s and a burst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """What a limiter says of one request."""

    allowed: bool
    headers: dict[str, str]
    """`X-RateLimit-…`, `RateLimit`, `RateLimit-Policy`, and `Retry-After` when refused."""


class RateLimiter(Protocol):
    """What the middleware asks, in memory or shared."""

    async def hit(self, key: str) -> Decision:
        """Decide on one request, and count it when it is allowed."""

    async def peek(self, key: str) -> Decision:
        """Tell what `hit` would say, and count nothing."""

    async def close(self) -> None:
        """Give up connections."""


class SlidingWindowRateLimiter:
    """PLACEHOLDER: filled in by its owner."""

    def __init__(self, requests_per_minute: int = 60, burst: int = 10) -> None:
        self.requests_per_minute = requests_per_minute
        self.burst = burst

    def is_allowed(self, key: str) -> tuple[bool, dict[str, str]]:
        return True, {}

    async def hit(self, key: str) -> Decision:
        return Decision(*self.is_allowed(key))

    async def peek(self, key: str) -> Decision:
        return Decision(True, {})

    async def close(self) -> None:
        pass


def make_limiters(settings: Settings) -> tuple[RateLimiter, RateLimiter]:
    """The limiter of requests, and the stricter one of failed authentications."""
    return (
        SlidingWindowRateLimiter(settings.rate_limit_per_minute, settings.rate_limit_burst),
        SlidingWindowRateLimiter(
            settings.rate_limit_failed_auth_per_minute, settings.rate_limit_failed_auth_per_minute
        ),
    )

"""The same limits across processes, in Valkey or Redis; alone while that store is away.

One script on the store decides: it sees both windows, the store's clock and all processes at once, so
that the limit is exact between processes and machines, a refused request costs nothing in either
window, and a decision is one round trip. `limits`, whose moving window takes one a window and
another to tell what is left, is measured beside it in `benchmarks/bench_rate_limit.py`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from heisenberg.backend.logging import get_logger
from heisenberg.backend.rate_limit import (
    BURST_S,
    WINDOW_S,
    Decision,
    Policy,
    SlidingWindowRateLimiter,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "heisenberg:limit:1"
"""Of every key in the store. The number rises when the script could misread what an older one wrote."""
TIMEOUT_S = 0.25
"""Longest that a request waits for the store, connecting included."""
RETRY_S = 1.0
"""After a failure nobody asks the store for so long; then one request tries."""
MAX_CONNECTIONS = 32
"""Of one process; more requests than these wait for each other, within the timeout."""

log = get_logger(__name__)

SCRIPT = f"""
-- KEYS[1]: when requests were allowed in the last minute, in microseconds of this server's clock,
-- oldest first. ARGV: quota of the minute, of the second, and 1 to count the request.
-- Returns: allowed; in the minute, in the second: how many, and microseconds until that grows less.
local times, quota, burst = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local minute, second = {WINDOW_S * 1_000_000}, {BURST_S * 1_000_000}

local oldest = redis.call('LINDEX', times, 0)
while oldest and now - oldest >= minute do
  redis.call('LPOP', times)
  oldest = redis.call('LINDEX', times, 0)
end
local size = redis.call('LLEN', times)

-- The times are in order: search for the first one within the last second.
local recent, high = math.max(0, size - burst), size
while recent < high do
  local middle = math.floor((recent + high) / 2)
  if now - redis.call('LINDEX', times, middle) >= second then
    recent = middle + 1
  else
    high = middle
  end
end

local allowed = size < quota and size - recent < burst
if allowed and ARGV[3] == '1' then
  redis.call('RPUSH', times, string.format('%.0f', now))
  redis.call('PEXPIRE', times, minute / 1000)
  size = size + 1
end

-- Where the quota was lowered meanwhile, more than the oldest must go before it grows.
local function left(window, index)
  local at = redis.call('LINDEX', times, index)
  return at and window - (now - at) or 0
end
return {{
  allowed and 1 or 0,
  size, left(minute, math.max(0, size - quota)),
  size - recent, left(second, recent),
}}
"""


def _redis_url(url: str) -> str:
    """The URL under the scheme that redis-py knows; the host may be called `valkey` too."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.replace('valkey', 'redis')}://{rest}"


class Store:
    """The connection to the store, and whether it is worth asking."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where the store is; nothing is connected yet.

        Args:
            url: `valkey://`, `valkeys://`, `redis://` or `rediss://`.
            timeout_s: Longest that a request waits for an answer, connecting included.
            clock: Seconds since any moment, for the pause after a failure.
        """
        self.available = True
        self._timeout_s = timeout_s
        self._clock = clock
        self._retry_at = 0.0
        # One clock over the whole exchange bounds it better than one for each part.
        self._pool = BlockingConnectionPool.from_url(
            _redis_url(url),
            max_connections=MAX_CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = Redis(connection_pool=self._pool).register_script(SCRIPT)

    async def ask(self, key: str, *arguments: int) -> list[int] | None:
        """Run the script on a key.

        Returns:
            What it returns, or None when the store is away.
        """
        if not self.available:
            now = self._clock()
            if now < self._retry_at:
                return None
            self._retry_at = now + RETRY_S
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._script([key], arguments)
        except (RedisError, OSError) as error:
            self._lose(error)
            return None
        if not self.available:
            self.available = True
            log.info("rate_limit.store_recovered")
        return cast("list[int]", answer)

    async def close(self) -> None:
        """Give up all connections."""
        await self._pool.disconnect()

    def _lose(self, error: Exception) -> None:
        """Ask nothing for a while; of the error only the kind is told, as its text may hold the URL."""
        self._retry_at = self._clock() + RETRY_S
        if self.available:
            self.available = False
            log.warning("rate_limit.store_lost", error=type(error).__name__, retry_s=RETRY_S)


class SharedRateLimiter:
    """A `SlidingWindowRateLimiter` for all processes that use the same store.

    While the store is away each process limits by itself, from nothing: what was counted in the
    store is not known then, and what was counted meanwhile is not known to it afterwards.
    """

    def __init__(
        self,
        store: Store,
        space: str,
        requests_per_minute: int = 60,
        burst: int = 10,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Count in a store.

        Args:
            store: Where to count; limiters may share it.
            space: What is counted; the keys of one space are not those of another.
            requests_per_minute: Requests of one key in any 60 s.
            burst: Requests of one key in any one second.
            wall_clock: Unix time in seconds, for `X-RateLimit-Reset`.
        """
        self._alone = SlidingWindowRateLimiter(requests_per_minute, burst, wall_clock=wall_clock)
        self._policy = Policy(requests_per_minute, burst)
        self._store = store
        self._prefix = f"{PREFIX}:{space}:"
        self._wall_clock = wall_clock

    @property
    def store_available(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._store.available

    async def hit(self, key: str) -> Decision:
        """Decide on one request, and count it when it is allowed."""
        return await self._ask(key, count=True) or self._alone.decide(key)

    async def peek(self, key: str) -> Decision:
        """Tell what `hit` would say, and count nothing."""
        return await self._ask(key, count=False) or await self._alone.peek(key)

    async def close(self) -> None:
        """Give up connections; they are made anew when another asks."""
        await self._store.close()

    async def _ask(self, key: str, *, count: bool) -> Decision | None:
        """The store's decision, or None when it is away."""
        policy = self._policy
        answer = await self._store.ask(self._prefix + key, policy.quota, policy.burst, int(count))
        if answer is None:
            return None
        allowed, size, grows_in_us, recent, burst_grows_in_us = answer
        return Decision(
            bool(allowed),
            policy,
            max(0, policy.quota - size),
            grows_in_us / 1e6,
            policy.burst - recent,
            burst_grows_in_us / 1e6,
            self._wall_clock(),
        )

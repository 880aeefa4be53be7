"""How many requests a key or an address may make: an exact sliding window of 60 s and a burst."""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from heisenberg.backend.config import Settings

WINDOW_S = 60
"""Of the quota; half-open: what was allowed at t counts no longer at t + 60 s."""
BURST_S = 1
"""Of the burst, likewise."""
MAX_KEYS = 1 << 20
"""Keys that one process remembers: a million who ask within the same minute, and some room."""
SWEEP = 2
"""Quiet keys forgotten with each question: more than one question can add, so they never pile up."""
MIN_GAP = 32
"""Expired times kept at the front of a window before they are cut off."""


class Policy:
    """The quota of a minute and of a second, and the header fields that never change."""

    __slots__ = ("burst", "fixed", "limit", "quota", "raw_fixed")

    def __init__(self, quota: int, burst: int) -> None:
        """Write them down once."""
        self.quota = quota
        self.burst = burst
        self.limit = str(quota)
        self.fixed = {
            "X-RateLimit-Limit": self.limit,
            "RateLimit-Policy": f'"minute";q={quota};w={WINDOW_S}, "burst";q={burst};w={BURST_S}',
        }
        self.raw_fixed = [(k.lower().encode(), v.encode()) for k, v in self.fixed.items()]


class Decision(NamedTuple):
    """What a limiter says of one request."""

    allowed: bool
    policy: Policy
    remaining: int
    """Requests left of the minute's quota, whatever the burst says."""
    grows_in_s: float
    """Seconds until the oldest counted request leaves the minute; 0 when none is counted."""
    burst_remaining: int
    burst_grows_in_s: float
    at: float
    """Unix time of the decision, in seconds."""

    @property
    def wait_s(self) -> float:
        """Seconds after which the request would be allowed."""
        return max(
            self.grows_in_s if self.remaining == 0 else 0.0,
            self.burst_grows_in_s if self.burst_remaining == 0 else 0.0,
        )

    @property
    def violated(self) -> list[str]:
        """Names of the policies that have nothing left."""
        left = {"minute": self.remaining, "burst": self.burst_remaining}
        return [name for name, remaining in left.items() if remaining == 0]

    @property
    def headers(self) -> dict[str, str]:
        """`X-RateLimit-…`, `RateLimit`, `RateLimit-Policy`, and `Retry-After` when refused."""
        remaining, reset, fields = self._values()
        told = {
            **self.policy.fixed,
            "X-RateLimit-Remaining": remaining,
            "X-RateLimit-Reset": reset,
            "RateLimit": fields,
        }
        if not self.allowed:
            told["Retry-After"] = str(ceil(self.wait_s))
        return told

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The same as ASGI wants them, without `Retry-After`."""
        remaining, reset, fields = self._values()
        return [
            *self.policy.raw_fixed,
            (b"x-ratelimit-remaining", remaining.encode()),
            (b"x-ratelimit-reset", reset.encode()),
            (b"ratelimit", fields.encode()),
        ]

    def _values(self) -> tuple[str, str, str]:
        """What changes: remaining, reset, and both limits as the `RateLimit` field.

        Source:
            draft-ietf-httpapi-ratelimit-headers-11, section 4.
        """
        _, _, remaining, grows_in_s, burst_remaining, burst_grows_in_s, at = self
        reset_in_s = grows_in_s if self.allowed else max(grows_in_s, self.wait_s)
        minute = f'"minute";r={remaining};t={ceil(grows_in_s)}'
        burst = f'"burst";r={burst_remaining};t={ceil(burst_grows_in_s)}'
        return str(remaining), str(ceil(at + reset_in_s)), f"{minute}, {burst}"


class RateLimiter(Protocol):
    """What the middleware asks, in memory or shared."""

    @property
    def store_available(self) -> bool:
        """Whether the limit holds across processes where it should; health tells."""

    async def hit(self, key: str) -> Decision:
        """Decide on one request, and count it when it is allowed."""

    async def peek(self, key: str) -> Decision:
        """Tell what `hit` would say, and count nothing."""

    async def close(self) -> None:
        """Give up connections."""


class _Window:
    """The times of the requests of one key that were allowed, oldest first."""

    __slots__ = ("first", "recent", "times")

    def __init__(self) -> None:
        self.times = array("d")
        self.first = 0
        """Index of the oldest within the minute; those before it wait to be cut off."""
        self.recent = 0
        """Index of the oldest within the last second."""

    def advance(self, now: float) -> None:
        """Let the requests go that have left a window; each is passed once, so this is O(1)."""
        times = self.times
        size = len(times)
        first = self.first
        recent = self.recent
        horizon = now - BURST_S
        while recent < size and times[recent] <= horizon:
            recent += 1
        horizon = now - WINDOW_S
        while first < recent and times[first] <= horizon:
            first += 1
        if first > MIN_GAP and first * 2 > size:
            del times[:first]
            recent -= first
            first = 0
        self.first = first
        self.recent = recent


class SlidingWindowRateLimiter:
    """At most so many requests in any 60 s and in any one second, of each key; in this process.

    Both limits are exact: all times are kept, eight bytes each, and never more than the quota of
    a key. A refused request is not counted. A question costs the same however many keys and
    requests there were. A key is forgotten when it has been quiet for 60 s; when more than
    `max_keys` are not, the one that has been quiet longest is forgotten early, which gives it its
    whole quota back: whoever has a million addresses is not stopped by a limit of each.

    It is made for one event loop, and decides without giving way; threads need a lock round it.
    """

    def __init__(
        self,
        requests_per_minute: int = 60,
        burst: int = 10,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        max_keys: int = MAX_KEYS,
    ) -> None:
        """Start with nobody counted.

        Args:
            requests_per_minute: Requests of one key in any 60 s.
            burst: Requests of one key in any one second.
            clock: Seconds since any moment; it never goes back.
            wall_clock: Unix time in seconds, for `X-RateLimit-Reset`; setting it changes no
                decision.
            max_keys: Keys that are remembered.

        Raises:
            ValueError: One of the numbers is below 1.
        """
        if requests_per_minute < 1 or burst < 1 or max_keys < 1:
            raise ValueError("a limit is at least 1")
        self.policy = Policy(requests_per_minute, burst)
        self._quota = requests_per_minute
        self._burst = burst
        self._clock = clock
        self._wall_clock = wall_clock
        self._max_keys = max_keys
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        """By the time of the last counted request, the longest quiet first."""
        self._sweep_at = -inf
        """Nobody has been quiet for long enough before this."""

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._windows)

    @property
    def store_available(self) -> bool:
        """Always: there is none to lose."""
        return True

    def is_allowed(self, key: str) -> tuple[bool, dict[str, str]]:
        """Decide on one request, and count it when it is allowed.

        Returns:
            Whether it is, and the header fields that tell about it.
        """
        decision = self.decide(key)
        return decision.allowed, decision.headers

    def allows(self, key: str) -> bool:
        """Decide on one request, and count it when it is allowed; for who needs to know no more."""
        return self._admit(key, self._clock()) is not None

    def decide(self, key: str) -> Decision:
        """Decide on one request, and count it when it is allowed."""
        now = self._clock()
        window = self._admit(key, now)
        return self._told(window is not None, window or self._windows[key], now)

    async def hit(self, key: str) -> Decision:
        """Decide on one request, and count it when it is allowed."""
        return self.decide(key)

    async def peek(self, key: str) -> Decision:
        """Tell what `hit` would say, and count nothing."""
        now = self._clock()
        window = self._windows.get(key) or _Window()
        window.advance(now)
        size = len(window.times)
        allowed = size - window.first < self._quota and size - window.recent < self._burst
        return self._told(allowed, window, now)

    async def close(self) -> None:
        """Nothing is open."""

    def _admit(self, key: str, now: float) -> _Window | None:
        """The key's window with the request counted in it, or None when it is refused."""
        windows = self._windows
        if now >= self._sweep_at:
            self._forget_quiet(now)
        window = windows.get(key)
        if window is None:
            window = windows[key] = _Window()
            if len(windows) > self._max_keys:
                windows.popitem(last=False)
        else:
            window.advance(now)
            size = len(window.times)
            if size - window.first >= self._quota or size - window.recent >= self._burst:
                return None
            windows.move_to_end(key)
        window.times.append(now)
        return window

    def _told(self, allowed: bool, window: _Window, now: float) -> Decision:
        """Describe what is left after a decision."""
        times = window.times
        size = len(times)
        first = window.first
        recent = window.recent
        # In this order the floats are exact: both differences have the operands' granularity.
        return Decision(
            allowed,
            self.policy,
            self._quota - size + first,
            times[first] - (now - WINDOW_S) if first < size else 0.0,
            self._burst - size + recent,
            times[recent] - (now - BURST_S) if recent < size else 0.0,
            self._wall_clock(),
        )

    def _forget_quiet(self, now: float) -> None:
        """Drop a few keys whose requests have all left the window."""
        windows = self._windows
        for _ in range(SWEEP):
            key = next(iter(windows), None)
            if key is None:
                self._sweep_at = now + WINDOW_S
                return
            last = windows[key].times[-1]
            if last > now - WINDOW_S:
                self._sweep_at = last + WINDOW_S
                return
            del windows[key]


def make_limiters(settings: Settings) -> tuple[RateLimiter, RateLimiter]:
    """The limiter of requests, and the stricter one of failed authentications."""
    quota, burst = settings.rate_limit_per_minute, settings.rate_limit_burst
    failures = settings.rate_limit_failed_auth_per_minute
    url = settings.rate_limit_storage.get_secret_value()
    if url.startswith("memory:"):
        return (
            SlidingWindowRateLimiter(quota, burst),
            SlidingWindowRateLimiter(failures, failures),
        )
    # Only who shares a limit pays for the client of the store.
    from heisenberg.backend.shared_rate_limit import SharedRateLimiter, Store  # noqa: PLC0415

    store = Store(url)
    return (
        SharedRateLimiter(store, "requests", quota, burst),
        SharedRateLimiter(store, "failed-auth", failures, failures),
    )

"""When to try again, and how long to wait: the arithmetic of retries; tenacity runs them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from heisenberg.errors import TransientEngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

T = TypeVar("T")

RETRYABLE: tuple[type[Exception], ...] = (TimeoutError, ConnectionError, TransientEngineError)
"""Timeouts, broken connections, rate limits and overload. What is wrong with the request or its
credentials is as wrong the next time."""
MAX_DOUBLINGS = 60
"""Further ones are beyond any cap, and at 1024 beyond a float."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A try failed, and there will be another."""

    attempt: int
    """The one that failed, from 1."""
    delay_s: float
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter; see `backend.retry.retry_with_backoff` for each part."""

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 60.0
    retryable: tuple[type[Exception], ...] = RETRYABLE
    jitter: bool = True
    deadline_s: float | None = 120.0
    on_wait: Callable[[Wait], None] | None = None
    sleep: Callable[[float], Awaitable[None]] | None = None
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        if self.max_retries < 0 or self.base_delay < 0 or self.max_delay < 0:
            raise ValueError("max_retries, base_delay and max_delay must not be negative")

    async def run(self, name: str, function: Callable[[], Awaitable[T]]) -> T:
        """Call the function until it succeeds or there is no point in going on.

        Args:
            name: Of the function, for the error that says that time is up.
            function: Called anew for each try.
        """
        from tenacity import AsyncRetrying, retry_if_exception  # noqa: PLC0415 (an extra's)

        end = math.inf if self.deadline_s is None else self.clock() + self.deadline_s

        async def attempt() -> T:
            left = end - self.clock()
            try:
                async with asyncio.timeout(None if left == math.inf else left) as limit:
                    return await function()
            except TimeoutError as error:
                if limit.expired() and not str(error):
                    raise TimeoutError(f"{name}: not done within {self.deadline_s} s") from error
                raise

        def is_over(state: RetryCallState) -> bool:
            over = state.attempt_number > self.max_retries
            return over or self.clock() + state.upcoming_sleep >= end

        def tell(state: RetryCallState) -> None:
            if self.on_wait is not None:
                self.on_wait(Wait(state.attempt_number, state.upcoming_sleep, _error(state)))

        result: T = await AsyncRetrying(
            sleep=self.sleep or asyncio.sleep,
            stop=is_over,
            wait=self._wait,
            retry=retry_if_exception(self._is_retryable),
            before_sleep=tell,
            reraise=True,
        )(attempt)
        return result

    def _is_retryable(self, error: BaseException) -> bool:
        """Whether to try again; a cancellation is no `Exception`, whatever the caller lists."""
        return isinstance(error, Exception) and isinstance(error, self.retryable)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds to wait after this try: ours, or more when the server asks for more."""
        grown: float = self.base_delay * 2.0 ** min(state.attempt_number - 1, MAX_DOUBLINGS)
        factor = 0.5 + (self.uniform or random.random)() if self.jitter else 1.0
        own = min(min(grown, self.max_delay) * factor, self.max_delay)
        return max(own, _asked_wait(_error(state)))


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked_wait(error: BaseException | None) -> float:
    """Seconds that the server asks for; 0 when it does not, or asks for nonsense."""
    asked = getattr(error, "retry_after_s", None)
    if isinstance(asked, (int, float)) and asked > 0:  # not so for NaN
        return float(asked)
    return 0.0

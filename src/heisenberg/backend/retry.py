"""Try again what failed for a reason of the moment, after waits that grow; tenacity does the work."""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import time
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from heisenberg.backend.logging import get_logger
from heisenberg.errors import TransientEngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from heisenberg.backend.config import Settings

P = ParamSpec("P")
T = TypeVar("T")

RETRYABLE: tuple[type[Exception], ...] = (TimeoutError, ConnectionError, TransientEngineError)
"""Timeouts, broken connections, rate limits and overload. What is wrong with the request or its
credentials is as wrong the next time."""
MAX_DOUBLINGS = 60
"""Further ones are beyond any cap, and at 1024 beyond a float."""

log = get_logger(__name__)


def retry_with_backoff(  # noqa: PLR0913 (each has its default, and tests give the last three)
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: tuple[type[Exception], ...] = RETRYABLE,
    jitter: bool = True,
    *,
    deadline_s: float | None = 120.0,
    on_retry: Callable[[], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[], float] | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Make an asynchronous function try again.

    Before retry n, counted from 0, it waits `base_delay * 2**n` s, `max_delay` at most, times a
    factor in [0.5, 1.5), `max_delay` at most again. An error whose attribute `retry_after_s` says
    how long the server asks to be left alone is obeyed, even beyond `max_delay`: to ask earlier is
    to be refused again. When a wait would not end before the deadline, there is none: the error
    is raised at once.

    Args:
        max_retries: Tries after the first one.
        base_delay: Seconds before the first retry.
        max_delay: Longest wait of our own choosing, in seconds.
        retryable_exceptions: Only these are tried again, and never a cancellation.
        jitter: Whether to apply the factor, so that many who failed together do not return together.
        deadline_s: All tries and waits together; a try that runs beyond it is cut off with a
            TimeoutError. None for no limit.
        on_retry: Called before each wait.
        sleep: How to wait; `asyncio.sleep` when not given.
        clock: Seconds that only grow.
        uniform: A number in [0, 1); `random.random` when not given.

    Returns:
        A decorator. What the function raises last is raised as it was.

    Raises:
        ValueError: A number is negative.
        TypeError: The function is not asynchronous.

    Source:
        Jitter: Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
    """
    policy = _Policy(
        max_retries,
        base_delay,
        max_delay,
        retryable_exceptions,
        jitter,
        deadline_s,
        on_retry,
        sleep,
        clock,
        uniform,
    )

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is not an async function")
        name = getattr(function, "__qualname__", repr(function))

        @wraps(function)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            return await policy.run(name, partial(function, *args, **kwargs))

        return retrying

    return decorate


def retry_from_settings(
    settings: Settings, on_retry: Callable[[], None] | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """The decorator as the settings want it."""
    return retry_with_backoff(
        settings.retry_max_retries,
        settings.retry_base_delay,
        settings.retry_max_delay,
        deadline_s=settings.retry_deadline_s,
        on_retry=on_retry,
    )


@dataclass(frozen=True, slots=True)
class _Policy:
    """The parameters of `retry_with_backoff`, and what follows from them."""

    max_retries: int
    base_delay: float
    max_delay: float
    retryable: tuple[type[Exception], ...]
    jitter: bool
    deadline_s: float | None
    on_retry: Callable[[], None] | None
    sleep: Callable[[float], Awaitable[None]] | None
    clock: Callable[[], float]
    uniform: Callable[[], float] | None

    def __post_init__(self) -> None:
        if self.max_retries < 0 or self.base_delay < 0 or self.max_delay < 0:
            raise ValueError("max_retries, base_delay and max_delay must not be negative")

    async def run(self, name: str, function: Callable[[], Awaitable[T]]) -> T:
        """Call the function until it succeeds or there is no point in going on."""
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
            log.warning(
                "retry_attempt",
                attempt=state.attempt_number,
                delay=round(state.upcoming_sleep, 3),
                error=type(_error(state)).__name__,
                function=name,
            )
            if self.on_retry is not None:
                self.on_retry()

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

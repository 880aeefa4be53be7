"""Stop asking a provider that keeps failing, and try it again after a while."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from heisenberg.errors import EngineAuthenticationError, EngineError, TransientEngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from heisenberg.diagnosis.provider import Prompt, Provider, Reply

T = TypeVar("T")


class CircuitOpenError(EngineError):
    """The provider was not asked, because it has failed too often just now."""


class Circuit:
    """A provider behind a switch that opens by itself, and closes by itself.

    It opens after `failures` in a row that say that the provider is away, and at once when it
    refuses our key; a request that is refused for what it is says nothing about the provider. Once `open_s` have
    passed, one request is let through: if it succeeds, the circuit closes, else it stays open as
    long again. Of one event loop.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        failures: int = 5,
        open_s: float = 60.0,
        slow_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Closed at first.

        Args:
            provider: Who is asked.
            failures: In a row, after which it opens.
            open_s: For how long.
            slow_s: A request that is given up after so long has met with silence, and counts as failed.
            clock: Seconds.
        """
        self._provider = provider
        self._failures = failures
        self._open_s = open_s
        self._slow_s = slow_s
        self._clock = clock
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def name(self) -> str:
        """`PROVIDER:MODEL`."""
        return self._provider.name

    @property
    def is_open(self) -> bool:
        """Whether requests are turned away."""
        return self._opened_at is not None

    async def ask(self, prompt: Prompt, read: Callable[[str], T]) -> Reply[T]:
        """Ask the provider.

        Raises:
            CircuitOpenError: It was not asked.
            EngineError: As the provider raises it.
        """
        probes = self._enter()
        began = self._clock()
        try:
            reply = await self._provider.ask(prompt, read)
        except TransientEngineError:
            self._failed(1)
            raise
        except EngineAuthenticationError:
            self._failed(self._failures)  # the next request has the same key
            raise
        except EngineError:
            self._succeeded(probes=probes)  # it is there, and does not like this request
            raise
        except asyncio.CancelledError:
            if self._clock() - began >= self._slow_s:
                self._failed(1)
            raise
        finally:
            if probes:
                self._probing = False
        self._succeeded(probes=probes)
        return reply

    async def close(self) -> None:
        """Give up the provider's connections."""
        await self._provider.close()

    def _enter(self) -> bool:
        """Whether this request is the one that tries an open circuit."""
        if self._opened_at is None:
            return False
        left_s = self._opened_at + self._open_s - self._clock()
        if left_s > 0 or self._probing:
            raise CircuitOpenError("not asked, as it kept failing just now")
        self._probing = True
        return True

    def _failed(self, weight: int) -> None:
        self._in_a_row += weight
        if self._in_a_row >= self._failures:
            self._opened_at = self._clock()

    def _succeeded(self, *, probes: bool) -> None:
        """Close; once it is open, only the request that tries it does: others began before."""
        if not probes and self.is_open:
            return
        self._in_a_row = 0
        self._opened_at = None

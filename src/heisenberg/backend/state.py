"""What all requests of one application share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.database import Database
from heisenberg.backend.health import HealthChecker
from heisenberg.backend.logging import get_logger
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.rate_limit import make_limiters
from heisenberg.backend.services.analyze import Analyzer, OfflineEngine
from heisenberg.backend.services.authentication import Authenticator
from heisenberg.backend.services.calibration import Calibrations
from heisenberg.backend.services.consulting import Models
from heisenberg.backend.services.key_usage import KeyUsage
from heisenberg.backend.services.keys import Keys
from heisenberg.backend.services.worker_pool import WorkerPool
from heisenberg.backend.tracing import make_tracing

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings
    from heisenberg.backend.rate_limit import RateLimiter

CLOSE_TIMEOUT_S = 2.0
"""Wait at the end for the limiter's store to let go."""

log = get_logger(__name__)


class State:
    """Made with the application; nothing is connected before `start`."""

    def __init__(self, settings: Settings) -> None:
        """Make the parts from the settings."""
        self.settings = settings
        self.stopping = False
        """Told to stop: no longer ready for new work."""
        self.metrics = Metrics()
        self.tracing = make_tracing(settings)
        self.database = Database(settings)
        self.metrics.watch_database(self.database.engine)
        self.key_hasher = KeyHasher(settings)
        self.key_usage = KeyUsage(self.database)
        self.keys = Keys(self.database, self.key_hasher)
        self.authenticator = Authenticator(self.database, self.key_hasher, self.key_usage)
        self.limiter, self.failed_auth_limiter = make_limiters(settings)
        workers = WorkerPool(settings)
        self.metrics.watch_workers(lambda: workers.busy, lambda: workers.waiting)
        models = None
        if settings.model:
            calibrations = Calibrations(self.database)
            models = Models(settings, self.database, self.metrics, calibrations)
        self.analyzer = Analyzer(
            settings,
            self.database,
            self.metrics,
            OfflineEngine(workers),
            models=models,
            tracing=self.tracing,
        )
        self.health = HealthChecker(settings, self.limiter)

    async def start(self) -> None:
        """Start what works beside the requests."""
        self.key_hasher.load()
        await self.key_usage.start()

    async def stop(self) -> None:
        """Finish that, and give up all connections; a part that fails keeps no other open."""
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self.tracing.stop)
            last_first.push_async_callback(self.database.close)
            last_first.push_async_callback(_leave, self.failed_auth_limiter)
            last_first.push_async_callback(_leave, self.limiter)
            last_first.push_async_callback(self.health.close)
            last_first.push_async_callback(self.key_usage.stop)
            last_first.push_async_callback(self.analyzer.close)


async def _leave(limiter: RateLimiter) -> None:
    """Close a limiter, unless its store does not answer."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await limiter.close()
    except TimeoutError:
        log.warning("rate_limit.store_left", waited_s=CLOSE_TIMEOUT_S)


def _state(request: Request) -> State:
    state: State = request.app.state.shared
    return state


Shared = Annotated[State, Depends(_state)]
"""A route's parameter that gives it the application's state."""

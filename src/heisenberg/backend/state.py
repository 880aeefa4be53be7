"""What all requests of one application share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.database import Database
from heisenberg.backend.health import HealthChecker
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.rate_limit import make_limiters
from heisenberg.backend.services.analyze import Analyzer, OfflineEngine
from heisenberg.backend.services.authentication import Authenticator
from heisenberg.backend.services.key_usage import KeyUsage
from heisenberg.backend.services.keys import Keys
from heisenberg.backend.services.worker_pool import WorkerPool
from heisenberg.backend.tracing import make_tracing

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings


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
        self.analyzer = Analyzer(
            settings, self.database, self.metrics, OfflineEngine(workers), self.tracing
        )
        self.health = HealthChecker(settings, self.limiter)

    async def start(self) -> None:
        """Start what works beside the requests."""
        self.key_hasher.load()
        await self.key_usage.start()

    async def stop(self) -> None:
        """Finish that, and give up all connections."""
        await self.analyzer.close()
        await self.key_usage.stop()
        await self.health.close()
        await self.limiter.close()
        await self.failed_auth_limiter.close()
        await self.database.close()
        await self.tracing.stop()


def _state(request: Request) -> State:
    state: State = request.app.state.shared
    return state


Shared = Annotated[State, Depends(_state)]
"""A route's parameter that gives it the application's state."""

"""The application: settings, state, middleware and routes put together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from heisenberg import __version__
from heisenberg.backend import errors, openapi
from heisenberg.backend.auth import AuthenticationMiddleware
from heisenberg.backend.body_limit import BodyLimitMiddleware
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.logging import configure_from_settings
from heisenberg.backend.middleware import (
    AccessLogMiddleware,
    RateLimitMiddleware,
    RequestIDMiddleware,
)
from heisenberg.backend.routes import (
    analyze,
    api_keys,
    docs,
    feedback,
    health,
    metrics,
    organizations,
    usage,
)
from heisenberg.backend.state import State
from heisenberg.backend.tracing import add_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def create_app(settings: Settings | None = None) -> FastAPI:
    """Put the service together; it connects to nothing before it starts.

    Args:
        settings: Read from the environment when not given.

    Raises:
        SettingsError: A variable of the environment is wrong.
    """
    settings = settings or load_settings()
    state = State(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        configure_from_settings(settings, (add_trace,) if state.tracing.enabled else ())
        await state.start()
        try:
            yield
        finally:
            await state.stop()

    app = FastAPI(
        title="Heisenberg",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # routes/docs.py has it without a CDN
        redoc_url=None,
        # Behind a proxy with TLS, the client would be sent, with its key, to an http:// address.
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        telemetry=state.tracing.of_requests,
    )
    app.state.shared = state
    errors.add_handlers(app)
    openapi.describe(app)
    app.include_router(docs.router)
    app.include_router(metrics.router)
    app.include_router(health.router)
    app.include_router(analyze.router)
    app.include_router(feedback.router)
    app.include_router(usage.router)
    app.include_router(organizations.router)
    app.include_router(api_keys.router)
    # The last one added is the outermost.
    app.add_middleware(RateLimitMiddleware, state)
    app.add_middleware(AuthenticationMiddleware, state)
    app.add_middleware(BodyLimitMiddleware, settings.max_body_bytes, settings.body_timeout_s)
    app.add_middleware(errors.ErrorMiddleware)
    app.add_middleware(AccessLogMiddleware, state)
    app.add_middleware(RequestIDMiddleware)
    return app

"""Whether the service's dependencies are installed; the command line itself needs none of them."""

from __future__ import annotations

from importlib.util import find_spec

from heisenberg.errors import UsageError

NEEDED = (
    "alembic",
    "asyncpg",
    "fastapi",
    "pydantic_settings",
    "sqlalchemy",
    "structlog",
    "uvicorn",
)
"""Of the extra `backend`: enough of it to tell that it was installed."""


def require_backend() -> None:
    """See that the service can run here.

    Raises:
        UsageError: Something of it is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the service is not installed (no {missing[0]}); pip install 'heisenberg[backend]'"
        )

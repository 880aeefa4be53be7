"""One JSON object a line, with the request it belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import structlog

request_id_ctx: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being served; empty outside one."""


def get_logger(name: str) -> Any:
    """A logger that carries its name."""
    return structlog.stdlib.get_logger(name)

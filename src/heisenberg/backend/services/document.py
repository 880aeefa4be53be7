"""The analysis document as it is stored: read in whatever version it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heisenberg.errors import MalformedError
from heisenberg.model.report import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]

MIGRATIONS: dict[str, tuple[str, Callable[[Document], Document]]] = {}
"""Version to the next one and how to get there. Empty while there is only one."""


def read_document(stored: Document) -> Document:
    """The document in today's version.

    Raises:
        MalformedError: It is of a version that this one does not know: a newer service wrote it.
    """
    while (version := stored.get("schema")) != SCHEMA:
        if version not in MIGRATIONS:
            raise MalformedError(
                f"the stored analysis is of the version {version!r}; this service reads {SCHEMA!r}"
            )
        following, migrate = MIGRATIONS[version]
        stored = {**migrate(stored), "schema": following}
    return stored

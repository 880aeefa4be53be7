"""What the service takes and gives, as OpenAPI tells it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of all: strict types, and no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldProblem(Schema):
    """One field of a request that does not fit."""

    field: str
    """`failed_tests[3].title`."""
    reason: str


class Problem(Schema):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldProblem] | None = None
    """Of a request that does not fit, the fields."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    return {
        status: {"model": Problem, "content": {"application/problem+json": {}}}
        for status in statuses
    }

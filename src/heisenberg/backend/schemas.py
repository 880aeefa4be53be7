"""What the service takes and gives, as OpenAPI tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from heisenberg.backend.analyze_schemas import as_integer
from heisenberg.backend.auth import Scope
from heisenberg.backend.names import MAX_NAME_CHARS, NAME_PATTERN, clean_name
from heisenberg.backend.services.keys import DEFAULT_OVERLAP, MAX_LIFETIME, MAX_OVERLAP


class Schema(BaseModel):
    """Base of all: strict types, and no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(Schema):
    """Base of what is answered."""

    model_config = ConfigDict(use_attribute_docstrings=True)


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


HealthStatus = Literal["healthy", "degraded", "unhealthy"]
HealthReason = Literal[
    "database_down", "database_slow", "migrations_behind", "rate_limit_store_away", "stopping"
]


class DatabaseHealthStatus(Answer):
    """How the database answered."""

    connected: bool
    latency_ms: float | None
    """Of a connection and `SELECT 1`; null when it did not answer."""
    error: str | None
    """Why it did not; holds no address and no secret."""


class MigrationHealthStatus(Answer):
    """Whether the database's tables are those of this version."""

    current: str | None
    """The database's revision; null when it has none or did not tell."""
    head: str | None
    """The revision that this version expects; null when it was not compared."""
    state: Literal["up_to_date", "behind", "ahead", "unknown"]
    """`ahead`: a newer version has migrated; this one goes on serving."""


class DetailedHealthResponse(Answer):
    """How the service is."""

    status: HealthStatus
    """`degraded` still serves; `unhealthy` cannot."""
    version: str
    database: DatabaseHealthStatus
    migrations: MigrationHealthStatus
    rate_limit_store: Literal["available", "away"]
    """`away`: each process limits by itself until it is back."""
    reasons: list[HealthReason]
    """Why it is not healthy."""
    timestamp: datetime
    """When the database was looked at: a second ago at most."""


class LiveResponse(Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class ReadyResponse(Answer):
    """Whether requests should be sent here."""

    status: Literal["ready", "not_ready"]
    reasons: list[HealthReason]


# Organizations and their API keys.

GivenName: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        json_schema_extra={"pattern": NAME_PATTERN},
        description="1 to 200 characters, none of them a control; blanks around it are taken off.",
    ),
    AfterValidator(clean_name),
]
PageLimit: TypeAlias = Annotated[int, Query(ge=1, le=200, description="Items of a page.")]
PageAfter: TypeAlias = Annotated[
    UUID | None, Query(description="`next` of the page before; none for the first page.")
]


class OrganizationRequest(Schema):
    """An organization to be made or renamed."""

    name: GivenName


class OrganizationResponse(Answer):
    """Who owns keys, runs and analyses."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    created_at: datetime


class OrganizationPage(Answer):
    """Organizations that the key may see."""

    items: list[OrganizationResponse]
    next: UUID | None
    """`after` of the next page; null on the last one."""


class ApiKeyRequest(Schema):
    """An API key to be made."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: GivenName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    """What it may do; `admin` includes `write`, which includes `read`."""
    expires_in_days: (
        Annotated[int, Field(ge=1, le=MAX_LIFETIME.days, strict=True), BeforeValidator(as_integer)]
        | None
    ) = None
    """Null: it does not expire."""


class RotateRequest(Schema):
    """How to rotate an API key."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    overlap_hours: Annotated[
        float,
        Field(ge=0, le=MAX_OVERLAP.total_seconds() / 3600, allow_inf_nan=False, strict=True),
    ] = DEFAULT_OVERLAP.total_seconds() / 3600
    """How long the old key goes on working, unless it expires sooner."""


class ApiKeyResponse(Answer):
    """An API key, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str
    """What stands between the first two underscores of the key."""
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    """From then on it is refused; null: never."""
    revoked_at: datetime | None
    """Since then it is refused."""
    last_used_at: datetime | None
    """To the minute or so."""
    replaced_by_id: UUID | None
    """The key that it was rotated to."""


class NewApiKeyResponse(ApiKeyResponse):
    """An API key that was just made."""

    key: str
    """The key itself, `hb_PREFIX_SECRET`; it is not shown again."""


class ApiKeyPage(Answer):
    """API keys in the order they were made."""

    items: list[ApiKeyResponse]
    next: UUID | None
    """`after` of the next page; null on the last one."""


class FoundedResponse(Answer):
    """A new organization and its first API key."""

    organization: OrganizationResponse
    api_key: NewApiKeyResponse

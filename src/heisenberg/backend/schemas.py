"""What the service takes and gives, as OpenAPI tells it."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from heisenberg.backend.analyze_schemas import as_integer
from heisenberg.backend.auth import Scope
from heisenberg.backend.models import MAX_COMMENT_CHARS
from heisenberg.backend.names import MAX_NAME_CHARS, NAME_PATTERN, clean_name
from heisenberg.backend.services.keys import DEFAULT_OVERLAP, MAX_LIFETIME, MAX_OVERLAP
from heisenberg.model.diagnosis import Mechanism, Owner
from heisenberg.model.feedback import Verdict


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


# Feedback, and what models cost.


class FeedbackRequest(Schema):
    """What somebody who knows says about an analysis."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    verdict: Verdict
    """`partly`: either the owner or the mechanism is right."""
    owner: Owner | None = None
    """Whose it really was."""
    mechanism: Mechanism | None = None
    """What it really was."""
    comment: Annotated[str, Field(max_length=MAX_COMMENT_CHARS)] | None = None
    """For people; it is shown to whoever may read the analysis."""


def as_day(value: object) -> object:
    """Take a day as RFC 3339 writes it, and nothing else that could be read as one.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("is no day such as 2026-01-31")
    return value


Day: TypeAlias = Annotated[date, BeforeValidator(as_day)]


class UsageSums(Answer):
    """What calls to models come to."""

    model_config = ConfigDict(from_attributes=True)

    calls: int
    """Tries of one are one."""
    answered: int
    """Those that ended in a diagnosis of the model's."""
    failed: int
    """The others: the offline diagnosis stood."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """As far as prices are known."""


class UsageItem(UsageSums):
    """The calls to one model on one day."""

    day: date
    """In UTC."""
    model: str
    """`PROVIDER:MODEL`."""


class SpendingToday(Answer):
    """The money of today, in UTC."""

    spent_usd: float
    reserved_usd: float
    """Set aside for calls that are being made, or were when a process was killed."""
    limit_usd: float
    """Beyond, analyses go on offline."""


class UsageResponse(Answer):
    """What the organization's models were asked, and what that cost."""

    model_config = ConfigDict(validate_by_name=True)

    first: Annotated[date, Field(alias="from")]
    to: date
    """The last day, included."""
    total: UsageSums
    items: list[UsageItem]
    """By day, then model; only where there are calls."""
    today: SpendingToday

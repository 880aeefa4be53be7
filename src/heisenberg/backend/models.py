"""The tables. Every row but an organization itself belongs to an organization."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import (
    JSON,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

MAX_COMMENT_CHARS = 2000
"""Of a feedback."""


def new_id() -> UUID:
    """A UUIDv7: it sorts by the time it was made, so that inserts go to one end of the index."""
    return uuid_utils.compat.uuid7()


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC; SQLite keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (the interface's)
        """Convert to UTC.

        Raises:
            ValueError: The moment has no zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give an aware moment")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (the interface's)
        """Give it back aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraints are named, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime}


class Organization(Base):
    """Who owns keys, runs and analyses; sees nothing of the others'."""

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class ApiKey(Base):
    """A key's public half and the keyed hash of the whole; the secret is nowhere."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(32), unique=True)
    """What stands between the first two underscores of the key; it finds the row."""
    key_hash: Mapped[str] = mapped_column(String(64))
    """HMAC-SHA-256 of the whole key under the service's secret, hexadecimal."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """Of read, write and admin."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    """From then on it is refused; None never."""
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute or so: it is written in batches."""
    replaced_by_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("api_keys.id", ondelete="SET NULL")
    )
    """The key that it was rotated to."""
    organization: Mapped[Organization] = relationship(lazy="raise")


class TestRun(Base):
    """One analysed run, with the whole analysis document."""

    __test__ = False
    __tablename__ = "test_runs"
    __table_args__ = (
        UniqueConstraint("organization_id", "id"),
        Index(None, "organization_id", "repository", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    repository: Mapped[str] = mapped_column(Text)
    commit_sha: Mapped[str | None] = mapped_column(Text)
    branch: Mapped[str | None] = mapped_column(Text)
    pull_request_number: Mapped[int | None]
    total_tests: Mapped[int]
    passed_tests: Mapped[int]
    failed_tests: Mapped[int]
    flaky_tests: Mapped[int]
    skipped_tests: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The analysis document, with its schema's version in it."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Analysis(Base):
    """What was found for one failed test of a run."""

    __tablename__ = "analyses"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "test_run_id"],
            ["test_runs.organization_id", "test_runs.id"],
            ondelete="CASCADE",
        ),
        # An index, not a constraint: to add one, SQLite would have to rebuild the table.
        Index(None, "organization_id", "id", unique=True),
        Index(None, "organization_id", "test_run_id"),
        Index(None, "organization_id", "fingerprint"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(Uuid)
    test_run_id: Mapped[UUID] = mapped_column(Uuid)
    test_id: Mapped[str] = mapped_column(Text)
    """The test's identity as the document has it."""
    test_title: Mapped[str] = mapped_column(Text)
    incident_id: Mapped[str] = mapped_column(String(64))
    """Of the run's document, where the diagnosis is."""
    fingerprint: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(32))
    owner: Mapped[str] = mapped_column(String(32))
    mechanism: Mapped[str] = mapped_column(String(32))
    symptom: Mapped[str] = mapped_column(String(32))
    component: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float]
    stated_confidence: Mapped[float | None]
    """What the engine said before calibration; None when that was not kept."""
    engine: Mapped[str] = mapped_column(String(200))
    prompt: Mapped[str | None] = mapped_column(String(64))
    """Version of what the model was asked; None when none was."""
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost_usd: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=now)
    test_run: Mapped[TestRun] = relationship(lazy="raise")


class Feedback(Base):
    """What somebody who knows says about an analysis."""

    __tablename__ = "feedback"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "analysis_id"],
            ["analyses.organization_id", "analyses.id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("organization_id", "analysis_id", "api_key_id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(Uuid)
    analysis_id: Mapped[UUID] = mapped_column(Uuid)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    """Who says so; once more replaces what it said before."""
    verdict: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str | None] = mapped_column(String(32))
    """What it really was."""
    mechanism: Mapped[str | None] = mapped_column(String(32))
    """Likewise."""
    comment: Mapped[str | None] = mapped_column(String(MAX_COMMENT_CHARS))
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelAnswer(Base):
    """What a model answered to a question, or that somebody is asking it."""

    __tablename__ = "model_answers"
    __table_args__ = (
        UniqueConstraint("organization_id", "key"),
        Index(None, "organization_id", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    key: Mapped[str] = mapped_column(String(64))
    """Of the question: `str(AnswerKey)`."""
    model: Mapped[str] = mapped_column(String(200))
    prompt: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str | None] = mapped_column(Text)
    """None while somebody is asking."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    """From then on it counts for nothing, answer or claim."""
    claimed_until: Mapped[datetime | None]
    """Whose claim it is can be told by it, too; None once it is answered."""


class ModelCall(Base):
    """A model was asked once, its retries included. The books: nothing here changes."""

    __tablename__ = "model_calls"
    __table_args__ = (Index(None, "organization_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    test_run_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The run that it was made for. No reference: it is stored later, if at all, and money that was
    spent stays spent when it is deleted."""
    model: Mapped[str] = mapped_column(String(200))
    prompt: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(200))
    outcome: Mapped[str] = mapped_column(String(32))
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost_usd: Mapped[float]
    duration_ms: Mapped[float]
    error: Mapped[str] = mapped_column(Text)
    """Empty when there was none."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelSpending(Base):
    """What an organization has spent on a day, and set aside for calls that are being made."""

    __tablename__ = "model_spending"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    """In UTC."""
    spent_usd: Mapped[float]
    reserved_usd: Mapped[float]

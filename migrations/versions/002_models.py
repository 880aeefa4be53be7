"""What models answered and cost, and feedback on analyses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the four tables; old analyses have neither a prompt nor a stated confidence."""
    # No batch: each of these is a statement of its own on SQLite too, and rebuilds nothing.
    op.add_column("analyses", sa.Column("stated_confidence", sa.Double(), nullable=True))
    op.add_column("analyses", sa.Column("prompt", sa.String(64), nullable=True))
    op.create_index(
        "ix_analyses_organization_id_id", "analyses", ["organization_id", "id"], unique=True
    )

    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32), nullable=True),
        sa.Column("mechanism", sa.String(32), nullable=True),
        sa.Column("comment", sa.String(2000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.UniqueConstraint(
            "organization_id",
            "analysis_id",
            "api_key_id",
            name="uq_feedback_organization_id_analysis_id_api_key_id",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "analysis_id"],
            ["analyses.organization_id", "analyses.id"],
            name="fk_feedback_organization_id_analysis_id_analyses",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"],
            ["api_keys.id"],
            name="fk_feedback_api_key_id_api_keys",
            ondelete="CASCADE",
        ),
    )

    op.create_table(
        "model_answers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("prompt", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_model_answers"),
        sa.UniqueConstraint("organization_id", "key", name="uq_model_answers_organization_id_key"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_model_answers_organization_id_organizations",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_model_answers_organization_id_expires_at",
        "model_answers",
        ["organization_id", "expires_at"],
    )

    op.create_table(
        "model_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("test_run_id", sa.Uuid(), nullable=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("prompt", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_calls"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_model_calls_organization_id_organizations",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_model_calls_organization_id_created_at",
        "model_calls",
        ["organization_id", "created_at"],
    )

    op.create_table(
        "model_spending",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spent_usd", sa.Double(), nullable=False),
        sa.Column("reserved_usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "day", name="pk_model_spending"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_model_spending_organization_id_organizations",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Remove them, and all that is in them."""
    op.drop_table("model_spending")
    op.drop_table("model_calls")
    op.drop_table("model_answers")
    op.drop_table("feedback")
    op.drop_index("ix_analyses_organization_id_id", "analyses")
    op.drop_column("analyses", "prompt")
    op.drop_column("analyses", "stated_confidence")

"""Jobs, their runs, and the trading sessions that their schedules may refer to."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("handled_at", sa.BigInteger(), nullable=False),
        sa.Column("held_due_at", sa.BigInteger()),
        sa.Column("held_by", sa.Text()),
        sa.Column("paused_at", sa.BigInteger()),
        sa.Column("paused_by", sa.Text()),
        sa.Column("paused_reason", sa.Text()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
    )
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "job_runs",
        sa.Column("id", serial, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runs")),
    )
    op.create_index("ix_job_runs_job_id", "job_runs", ["job", "id"])
    running = sa.text("outcome = 'running'")
    op.create_index(
        "ux_job_runs_running",
        "job_runs",
        ["job"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_table(
        "trading_sessions",
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("opens_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closes_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("calendar", "opens_at", name=op.f("pk_trading_sessions")),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("trading_sessions", "job_runs", "jobs"):
        op.drop_table(name)

"""Events of the bots, and how far each bot's journal was read."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXTS = ("strategy", "symbol", "order_id", "correlation", "summary")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "bot_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_events")),
    )
    op.create_index("ix_bot_events_at", "bot_events", ["at", "id"])
    op.create_index("ix_bot_events_bot_at", "bot_events", ["bot", "at"])
    op.create_table(
        "bot_event_cursors",
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bot", name=op.f("pk_bot_event_cursors")),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("bot_event_cursors", "bot_events"):
        op.drop_table(name)

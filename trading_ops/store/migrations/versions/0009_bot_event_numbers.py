"""Numbers of bot events, in the order in which they were stored."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBER = """
UPDATE bot_events SET seq = numbered.seq
FROM (SELECT id, row_number() OVER (ORDER BY received_at, id) AS seq FROM bot_events) AS numbered
WHERE numbered.id = bot_events.id
"""


def upgrade() -> None:
    """Number the stored events; add the last number."""
    op.add_column(
        "bot_events", sa.Column("seq", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute(NUMBER)
    op.create_index("ix_bot_events_seq", "bot_events", ["seq"])
    op.create_table(
        "bot_event_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_event_head")),
    )
    op.execute("INSERT INTO bot_event_head SELECT 1, coalesce(max(seq), 0) FROM bot_events")


def downgrade() -> None:
    """Drop the numbers."""
    op.drop_table("bot_event_head")
    op.drop_index("ix_bot_events_seq", "bot_events")
    op.drop_column("bot_events", "seq")

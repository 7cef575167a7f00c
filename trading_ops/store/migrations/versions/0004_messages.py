"""The outbox of messages, and how far each of their sources was read."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNSENT = sa.text("state IN ('waiting', 'sending', 'dead')")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "messages",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("id", "key", "kind", "severity", "route", "channel", "subject", "text")
        ),
        sa.Column("bot", sa.Text()),
        sa.Column("html", sa.Text()),
        sa.Column("digest", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_created_at", "messages", ["created_at"])
    op.create_index("ix_messages_batch", "messages", ["batch"])
    op.create_index("ix_messages_channel_sent_at", "messages", ["channel", "sent_at"])
    op.create_index(
        "ix_messages_unsent",
        "messages",
        ["channel", "next_try_at"],
        sqlite_where=UNSENT,
        postgresql_where=UNSENT,
    )
    op.create_table(
        "message_cursors",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_message_cursors")),
    )


def downgrade() -> None:
    """Drop both; what was not sent is lost."""
    op.drop_table("message_cursors")
    op.drop_table("messages")

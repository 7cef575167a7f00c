"""A signed head of the chain, and signed checkpoints before which events may be missing."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REFUSE = "BEGIN SELECT RAISE(ABORT, '{0} are append-only'); END"
UNREMOVED = "NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE kind = 'removed' AND seq >= OLD.seq)"
SQLITE_GUARDS = {
    "audit_checkpoints_no_update": "BEFORE UPDATE ON audit_checkpoints",
    "audit_checkpoints_no_delete": "BEFORE DELETE ON audit_checkpoints",
    # INSERT OR REPLACE deletes without running the trigger above.
    "audit_checkpoints_no_replace": """BEFORE INSERT ON audit_checkpoints
        WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE kind = NEW.kind AND seq = NEW.seq)""",
}
POSTGRESQL_GUARDS = (
    """
    CREATE TRIGGER audit_checkpoints_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION trading_ops_append_only()""",
    "DROP TRIGGER events_append_only ON events",
    """
    CREATE TRIGGER events_append_only BEFORE UPDATE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION trading_ops_append_only()""",
    f"""
    CREATE FUNCTION trading_ops_keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {UNREMOVED} THEN RAISE EXCEPTION 'events are append-only'; END IF;
        RETURN OLD;
    END $$""",
    """
    CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION trading_ops_keep_events()""",
)


def upgrade() -> None:
    """Add the table and the column; only events up to a checkpoint may be deleted."""
    op.create_table(
        "audit_checkpoints",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "seq", name=op.f("pk_audit_checkpoints")),
    )
    op.add_column("chain", sa.Column("signature", sa.Text(), server_default="", nullable=False))
    if op.get_bind().dialect.name == "sqlite":
        for name, when in SQLITE_GUARDS.items():
            op.execute(f"CREATE TRIGGER {name} {when} {REFUSE.format('audit_checkpoints')}")
        op.execute("DROP TRIGGER events_no_delete")
        op.execute(
            f"CREATE TRIGGER events_no_delete BEFORE DELETE ON events WHEN {UNREMOVED} "
            f"{REFUSE.format('events')}"
        )
    else:
        for statement in POSTGRESQL_GUARDS:
            op.execute(statement)


def downgrade() -> None:
    """Drop what was added; events that were removed stay removed."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_no_delete")
        op.execute(
            f"CREATE TRIGGER events_no_delete BEFORE DELETE ON events {REFUSE.format('events')}"
        )
        op.execute("ALTER TABLE chain DROP COLUMN signature")
    else:
        op.execute("DROP TRIGGER events_no_delete ON events")
        op.execute("DROP FUNCTION trading_ops_keep_events()")
        op.execute("DROP TRIGGER events_append_only ON events")
        op.execute(
            "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION trading_ops_append_only()"
        )
        op.drop_column("chain", "signature")
    op.drop_table("audit_checkpoints")

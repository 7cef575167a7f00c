"""Alembic's entry point: the caller provides the connection and owns the transaction."""

from alembic import context

from trading_ops.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()

"""`migrate`: upgrade the schema of the reconciler's database."""

import click

from trading_ops.config.settings import load_settings


@click.command()
def migrate() -> None:
    """Upgrade the schema of the reconciler's database.

    `up` does this automatically. Refused while a reconciler has the database open.
    """
    from trading_ops.store import migrate as migrations  # noqa: PLC0415 - SQLAlchemy is slow

    revision = migrations.upgrade(load_settings().database_url)
    click.echo(f"the database is at revision {revision}")

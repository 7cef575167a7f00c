"""`migrate`: upgrade or downgrade the schema of the reconciler's database."""

import click

from trading_ops.config.loading import load_settings


@click.command()
@click.option(
    "--to",
    "revision",
    metavar="REVISION",
    help="Downgrade to this older revision, for the previous release. What newer releases stored "
    "in new tables and columns is lost: take a backup first.",
)
def migrate(revision: str | None) -> None:
    """Upgrade the schema of the reconciler's database.

    `up` does this automatically. Refused while a reconciler has the database open.
    """
    from trading_ops.store import migrate as migrations  # noqa: PLC0415 - SQLAlchemy is slow

    url = load_settings().database_url
    if not revision:
        click.echo(f"the database is at revision {migrations.upgrade(url)}")
        return
    done = migrations.downgrade(url, revision)
    click.echo(f"the database is at revision {done.revision or 'none: it is empty'}")
    if done.lost:
        click.echo(
            f"lost, because the older release has no place for it: {', '.join(done.lost)}. The "
            "last backup has it"
        )

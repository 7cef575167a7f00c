"""`backup`: create, list, verify and prune backups."""

from collections.abc import Sequence

import click
import msgspec
from rich.table import Table

from trading_ops import clock
from trading_ops.backup import create as creating
from trading_ops.backup import prune as pruning
from trading_ops.backup import verify as verifying
from trading_ops.backup.bot_start import BotsNotStarted
from trading_ops.backup.disk import size
from trading_ops.backup.manifest import Damaged, Manifest
from trading_ops.backup.records import DETAIL, BackupRecords, BackupRun, Record
from trading_ops.backup.repository import open_repository
from trading_ops.backup.restore import LATEST, choose
from trading_ops.backup.written import drop_in
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import moment, short
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation


@click.group()
def backup() -> None:
    """Back up the databases, the configuration and the state of the bots."""


@backup.command()
@output_option
def create(output: str) -> None:
    """Create a backup. The stack may be running."""
    settings = load_settings()
    record = creating.create(settings, open_repository(settings))
    if output == "json":
        print_json(msgspec.to_builtins(record))
        return
    click.echo(
        f"backup {record.id}: {record.files} files, {size(record.bytes)}, "
        f"{record.took_seconds:.1f} s, in {record.location}"
    )


@backup.command(name="list")
@output_option
@click.pass_context
def show(context: click.Context, output: str) -> None:
    """List the backups in the repository. Exits with 1 when one cannot be read."""
    settings = load_settings()
    repository = open_repository(settings)
    listing, records = repository.listing(), BackupRecords(settings.backup_records)
    found = [records.get(manifest, repository.location) for manifest in listing.manifests]
    if output == "json":
        print_json({"backups": msgspec.to_builtins(found), "damaged": list(listing.damaged)})
    else:
        table = Table()
        for column in ("id", "taken", "size", "schema", "verified", "restore-tested", "RTO"):
            table.add_column(column)
        for record in found:
            table.add_row(*map(plain, _cells(record)))
        out().print(table if found else f"no backup in {repository.location}")
    for line in listing.damaged:
        click.echo(f"damaged: {line}", err=True)
    if listing.damaged:
        context.exit(ExitCode.FAILED)


def _cells(record: Record) -> tuple[str, ...]:
    verified = (
        "damaged"
        if record.problem
        else short(record.verified_at)
        if record.verified_at
        else "never"
    )
    tested = short(record.restore_tested_at) if record.restore_tested_at else "never"
    seconds = f"{record.restore_seconds:.1f} s" if record.restore_seconds is not None else ""
    return (
        record.id,
        short(record.created_at),
        size(record.bytes),
        record.revision or "",
        verified,
        tested,
        seconds,
    )


@backup.command()
@click.argument("key", metavar="[ID]", default=LATEST)
@click.option("--all", "everything", is_flag=True, help="Verify every backup in the repository.")
@click.option(
    "--next",
    "following",
    is_flag=True,
    help="Verify the backup whose last verification is the longest ago.",
)
@click.option(
    "--restore-test", is_flag=True, help="Also open its databases and verify the audit chain."
)
@output_option
@click.pass_context
def verify(
    context: click.Context,
    key: str,
    output: str,
    *,
    everything: bool,
    following: bool,
    restore_test: bool,
) -> None:
    """Read a backup back and compare every file with its manifest; by default the latest one.

    Exits with 1 when a backup cannot be restored as it was taken, or a bot does not start on it.
    """
    settings = load_settings()
    repository = open_repository(settings)
    listing = repository.listing()
    damaged = list(listing.damaged) if everything or following else []
    if everything:
        chosen = list(listing.manifests)
    elif following:
        chosen = [verifying.verified_longest_ago(settings, repository, listing.manifests)]
    else:
        chosen = [choose(listing.manifests, key)]
    records, not_started = [], []
    for manifest in chosen:
        found = len(damaged)
        try:
            verifying.verify(settings, repository, manifest, restore_test=restore_test)
        except Damaged as error:
            damaged.append(str(error))
        except BotsNotStarted as error:
            not_started.append(f"{manifest.id}: {error}")
        record = BackupRecords(settings.backup_records).get(manifest, repository.location)
        records.append(record)
        if output != "json" and len(damaged) == found:
            how = "restored and opened" if restore_test else "every file compared"
            tested = restore_test and record.restore_seconds is not None
            took = f" in {record.restore_seconds:.1f} s" if tested else ""
            click.echo(f"backup {manifest.id}: intact ({how}{took})")
    if damaged and (everything or following):
        _record_damage(settings, damaged)
    _show_verified(records, damaged, not_started, output)
    if damaged or not_started:
        context.exit(ExitCode.FAILED)


def _record_damage(settings: Settings, damaged: Sequence[str]) -> None:
    """Record that the run failed: the last of its backups may be intact."""
    failed = BackupRun(
        at=clock.now(), succeeded=False, detail="; ".join(damaged)[:DETAIL], retry=False
    )
    BackupRecords(settings.backup_records).ran(Operation.VERIFY, failed)


def _show_verified(
    records: Sequence[Record], damaged: Sequence[str], not_started: Sequence[str], output: str
) -> None:
    if output == "json":
        problems = {"damaged": damaged, "not_started": not_started}
        print_json({"backups": msgspec.to_builtins(records), **problems})
    for line in damaged:
        click.echo(f"damaged: {line}", err=True)
    for line in not_started:
        click.echo(f"bots not started: {line}", err=True)


@backup.command()
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@output_option
def prune(output: str, *, dry_run: bool) -> None:
    """Remove backups that the `backup_keep_…` settings no longer keep.

    Nothing is removed before a restore test has passed. The newest backup that passed one and all
    newer backups are kept.
    """
    settings = load_settings()
    ids = pruning.prune(settings, open_repository(settings), dry_run=dry_run)
    if output == "json":
        print_json({"removed": ids, "dry_run": dry_run})
        return
    for backup_id in ids:
        click.echo(f"{'would remove' if dry_run else 'removed'} {backup_id}")
    if not ids:
        click.echo("nothing to remove")


@backup.command(name="drop-in")
def print_drop_in() -> None:
    """Print a systemd drop-in that lets the unit write to the repository; setup.sh installs it."""
    click.echo(drop_in(load_settings()), nl=False)


def describe(manifest: Manifest) -> str:
    """Describe a backup in one line."""
    return (
        f"backup {manifest.id} of {moment(manifest.created_at)}: {len(manifest.entries)} files, "
        f"{size(manifest.bytes)}, release {manifest.release}"
    )

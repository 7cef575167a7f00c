"""`restore`: restore a backup to a new folder, or in place of `var`."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from trading_ops import clock
from trading_ops.backup.in_place import Restored, restore_in_place
from trading_ops.backup.manifest import Manifest
from trading_ops.backup.repository import open_repository
from trading_ops.backup.restore import LATEST, choose, restore_into
from trading_ops.backup.running import only_one
from trading_ops.cli.backup import describe
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.times import moment
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings


def _moment_of(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(
            f"invalid time {value!r}: write it as 2026-03-01T12:00:00Z, with an offset"
        )
    return found.astimezone(UTC)


def _beside(settings: Settings) -> Path:
    """Return the project folder, or var where the project folder is root's."""
    return settings.root if os.access(settings.root, os.W_OK) else settings.var


@click.command()
@click.argument("key", metavar="[latest|ID]", default=LATEST)
@click.option(
    "--to",
    metavar="TIME",
    callback=_moment_of,
    help="Restore the last state at or before this time, for example 2026-03-01T12:00:00Z.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A new folder. Default: restored-ID in the project folder, or in var.",
)
@click.option("--in-place", is_flag=True, help="Replace var/; all processes must be stopped.")
@click.option("--dry-run", is_flag=True, help="Show what would be restored; write nothing.")
@click.option(
    "--owner",
    default=getpass.getuser,
    help="Operator recorded in the audit log. Default: your login.",
)
@output_option
def restore(
    key: str,
    to: datetime | None,
    into: Path | None,
    owner: str,
    output: str,
    *,
    in_place: bool,
    dry_run: bool,
) -> None:
    """Restore a backup to a new folder; running processes are not affected.

    PostgreSQL is recovered to TIME, or to the end of the backup, in a data folder of its own.

    With --in-place it replaces var/. Fences and nonces are then raised above all values used since
    the backup, and every bot starts reduce-only until `trading-ops resume`.
    """
    if in_place and into:
        raise click.UsageError("--in-place and --into are mutually exclusive")
    if to is not None and key != LATEST:
        raise click.UsageError("--to selects the backup: leave out ID")
    settings = load_settings()
    repository = open_repository(settings)
    manifest = choose(repository.listing().manifests, key, to)
    target = (
        settings.var if in_place else into or _beside(settings) / f"restored-{manifest.id}"
    ).resolve()
    began = clock.monotonic()
    restored = None
    if not dry_run:
        with only_one(settings):
            if in_place:
                restored = restore_in_place(settings, repository, manifest, owner=owner, to=to)
            else:
                restore_into(repository, manifest, target, to)
    seconds = round(clock.monotonic() - began, 1)
    if output == "json":
        print_json(_as_object(manifest, target, restored, seconds, dry_run=dry_run))
        return
    click.echo(describe(manifest))
    reached = to if to is not None and manifest.covers(to) else manifest.recoverable_to
    click.echo(f"contains all data up to {moment(reached)}")
    click.echo(f"would be restored into {target}" if dry_run else f"restored into {target}")
    if restored is not None:
        _tell(restored, seconds)


def _tell(restored: Restored, seconds: float) -> None:
    click.echo(f"it took {seconds} s")
    if restored.before is not None:
        click.echo(f"the previous folder is {restored.before}: remove it when no longer needed")
    for path in restored.differing:
        click.echo(f"{path} differs from the backup and was not changed")
    if restored.postgresql is not None:
        click.echo(
            f"put {restored.postgresql} in the place of PostgreSQL's data folder and start the "
            "server, before the reconciler"
        )
    if restored.bots is not None:
        click.echo(
            f"the records of bots outside of var are in {restored.bots}: before a bot that lost "
            "its own starts, copy them to its folder in backup_folders and give them to its user"
        )
    click.echo(
        "fences and nonces were raised; every bot is reduce-only until you have reconciled it and "
        "run `trading-ops resume BOT`"
    )


def _as_object(
    manifest: Manifest, target: Path, restored: Restored | None, seconds: float, *, dry_run: bool
) -> dict[str, object]:
    return {
        "id": manifest.id,
        "recoverable_to": manifest.recoverable_to,
        "into": str(target),
        "bytes": manifest.bytes,
        "dry_run": dry_run,
        "seconds": seconds,
        "before": restored and restored.before and str(restored.before),
        "differing": restored.differing if restored else [],
        "bots": restored and restored.bots and str(restored.bots),
        "postgresql": restored and restored.postgresql and str(restored.postgresql),
    }

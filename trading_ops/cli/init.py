"""`trading-ops init`: write a project folder, and update it after an upgrade."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trading_ops.project.folder import FileChange

NEXT = """\
Next:
  1. List your bots in {folder}/targets.yml
  2. Put the addresses of your on-call into {folder}/alertmanager/alertmanager.yml
  3. Check both:  cd {folder} && trading-ops config check
Then see docs/install.md."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--update", is_flag=True, help="Bring an existing folder to this release.")
@click.option("--dry-run", is_flag=True, help="With --update: show the diff and write nothing.")
def init(folder: Path, *, update: bool, dry_run: bool) -> None:
    """Write a project folder: targets, settings, rules, routes, runbooks, boards and units.

    With --update it prints the diff to this release. Files that you did not change are replaced;
    files that you changed are kept. If this release also changed such a file, its version is
    written next to yours as FILE.new, for you to merge.
    """
    from trading_ops.project import folder as project  # noqa: PLC0415
    from trading_ops.project.shipped import shipped  # noqa: PLC0415

    if dry_run and not update:
        raise click.UsageError("--dry-run needs --update")
    files = shipped()
    if not update:
        project.create(folder, files)
        click.echo(f"{len(files)} files written to {folder}")
        click.echo(NEXT.format(folder=folder))
        return
    done = tuple(project.changes(folder, files)) if dry_run else project.update(folder, files)
    for change in done:
        _print(change)
    if not done:
        click.echo(f"{folder} is up to date")


def _print(change: "FileChange") -> None:
    from trading_ops.project.folder import NEW, FileOperation  # noqa: PLC0415

    texts = {
        FileOperation.ADD: "added",
        FileOperation.REPLACE: "replaced",
        FileOperation.REMOVE: "removed: no longer shipped",
        FileOperation.KEEP: "kept: changed locally",
        FileOperation.CONFLICT: f"kept: changed locally; new version: {change.path.name}{NEW}",
        FileOperation.NOTHING: "unchanged",
    }
    if change.step in {FileOperation.REPLACE, FileOperation.CONFLICT}:
        click.echo(change.diff)
    click.echo(f"{change.path}: {texts[change.step]}")

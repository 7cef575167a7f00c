"""`audit`: verify and export the audit log."""

import asyncio
from pathlib import Path

import click

from trading_ops import clock
from trading_ops.audit.report import ChainVerdict, read_anchors, unproven
from trading_ops.audit.report import verify as verify_log
from trading_ops.cli.compliance import compliance
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import Duration, Length
from trading_ops.config.loading import load_settings
from trading_ops.errors import ConfigError
from trading_ops.reports import evidence
from trading_ops.store.reader import open_reader


@click.group()
def audit() -> None:
    """Verify and export the audit log."""


audit.add_command(compliance)


@audit.command()
@click.option(
    "--database",
    metavar="URL|FILE",
    help="Database to check instead, such as a copy: a URL or file.",
)
@click.option(
    "--anchors",
    "anchor_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File of anchors, or a log that contains them; repeatable. Default: var/audit/anchors.",
)
@click.option(
    "--archive",
    "archives",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the archive of removed events; repeatable. Default: var/archive, "
    "unless --database is given.",
)
@click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The audit key. Default: var/secrets/audit_key.",
)
@click.option(
    "--before-chain",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Allow exactly N events without a MAC: those stored before the chain existed.",
)
@output_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    database: str | None,
    anchor_files: tuple[Path, ...],
    archives: tuple[Path, ...],
    key_file: Path | None,
    before_chain: int,
    output: str,
) -> None:
    """Verify every event against the key, the previous event and the anchors.

    Includes the events that retention removed, as far as they are in the archive.

    Finds every event that was edited, removed, inserted, reordered or truncated, up to the last
    anchor. Read-only: it can run alongside the reconciler, or on a copy. Exits with 1 when the log
    is not intact, and names the first bad event; also when events have no MAC, or when a file of
    anchors has none.
    """
    settings = load_settings()
    name = str(key_file.resolve()) if key_file else "audit_key"  # a whole path stays one
    keys = [line.encode() for line in settings.accepted_secrets(name)]
    try:
        # Read the anchors first: a later anchor belongs to events that are not read here.
        anchors = read_anchors(anchor_files or (settings.anchors,), keys)
    except OSError as error:
        raise ConfigError("--anchors", "", str(error), "name a readable file") from error

    ours = () if database else (settings.archive,)

    async def run() -> ChainVerdict:
        with open_reader(_url(database) if database else settings.database_url) as reader:
            return await verify_log(reader, keys, anchors, archives=archives or ours)

    verdict = asyncio.run(run())
    gaps = unproven(verdict, before_chain=before_chain)
    if output == "json":
        print_json(as_object(verdict) | {"unproven": gaps})
    else:
        for line in sentences(verdict):
            click.echo(line)
    if verdict.problem is not None:
        click.echo(f"the audit log is not intact: {verdict.problem.detail}", err=True)
    for gap in gaps:
        click.echo(f"not verified: {gap}", err=True)
    if verdict.problem is not None or gaps:
        context.exit(ExitCode.FAILED)


@audit.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--since",
    default="30d",
    show_default=True,
    type=Duration(),
    help="Period to export, for example 90d.",
)
@click.option("--check", is_flag=True, help="Verify FILE instead of writing it.")
@click.pass_context
def export(context: click.Context, file: Path, since: Length, *, check: bool) -> None:
    """Write an evidence bundle to the new FILE, or --check one.

    A ZIP archive with every event of the period, who did what, incidents, response times and
    backups, signed with the audit key. Exits with 1 when a bundle was changed.
    """
    settings = load_settings()
    keys = [line.encode() for line in settings.accepted_secrets("audit_key")]
    if check:
        bundle = evidence.check(file, keys)
        for problem in bundle.problems:
            click.echo(plain(problem), err=True)
        click.echo("changed" if bundle.problems else "genuine: signed with the audit key")
        context.exit(ExitCode.FAILED if bundle.problems else ExitCode.OK)
    until = clock.now()

    async def run() -> evidence.Bundle:
        with open_reader(settings.database_url) as reader:
            return await evidence.export(
                reader, file, since=until - since.span, until=until, key=keys[0]
            )

    try:
        made = asyncio.run(run())
    except OverflowError as error:
        raise click.UsageError(f"--since {since.typed} goes back too far") from error
    except OSError as error:
        fix = "name a new file in a writable folder"
        raise ConfigError(str(file), "", str(error), fix) from error
    click.echo(f"{file}: {made.manifest['events']} events since {made.manifest['since']}")


def _url(database: str) -> str:
    """Return a URL as it is, and a bare path as SQLite's."""
    return database if "://" in database else f"sqlite:///{Path(database).resolve()}"


def sentences(verdict: ChainVerdict) -> list[str]:
    """Yield the verdict as lines."""
    span = f", {verdict.first} to {verdict.last}" if verdict.verified else ""
    took = verdict.took_seconds
    # With few events the rate would only measure opening the database.
    rate = f" ({verdict.verified / took:,.0f} events/s)" if took >= 1 else ""
    good = "verified" if verdict.problem is None else "valid up to the first bad one:"
    lines = [f"{good} {verdict.verified} events{span}{rate}"]
    if verdict.unchained:
        lines.append(f"{verdict.unchained} events have no MAC and cannot be verified")
    if verdict.removed:
        lines.append(f"events up to {verdict.removed} were removed by retention (checkpoint found)")
    if verdict.archived_from is not None:
        lines.append(
            f"verified {verdict.archived} of these in the archive, from {verdict.archived_from}"
        )
    anchor = verdict.last_anchor
    lines.append(
        f"last anchor: event {anchor.seq} at {anchor.at} ({verdict.anchors} anchors)"
        if anchor
        else "last anchor: none; a truncated end would not be detected"
    )
    lines.append(f"unanchored tail: {verdict.unanchored} events")
    if verdict.torn_anchors:
        lines.append(f"{verdict.torn_anchors} incomplete anchor lines, left by a crash")
    if len(verdict.keys) > 1:
        used = ", ".join(f"{section.key} from event {section.seq}" for section in verdict.keys)
        lines.append(f"keys: {used}")
    return lines


def as_object(verdict: ChainVerdict) -> dict[str, object]:
    """Return the verdict as JSON values."""
    problem, anchor = verdict.problem, verdict.last_anchor
    return {
        "whole": problem is None,
        "problem": problem
        and {"fault": problem.fault.value, "seq": problem.seq, "detail": problem.detail},
        "verified": verdict.verified,
        "first": verdict.first,
        "last": verdict.last,
        "unchained": verdict.unchained,
        "removed_through": verdict.removed,
        "archived": verdict.archived,
        "archived_from": verdict.archived_from,
        "anchors": verdict.anchors,
        "last_anchor": anchor and {"at": anchor.at, "seq": anchor.seq, "mac": anchor.mac},
        "unanchored": verdict.unanchored,
        "torn_anchors": verdict.torn_anchors,
        "keys": [{"seq": section.seq, "key": section.key} for section in verdict.keys],
        "took_seconds": round(verdict.took_seconds, 3),
    }

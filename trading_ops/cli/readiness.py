"""`readiness`: take a bot from paper to live trading in gated stages."""

import sys
from pathlib import Path

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    ask,
    command_settings,
    owner_option,
    reason_option,
)
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import moment
from trading_ops.clients.readiness_views import Checked, ReadinessRunView, SignedReport
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.errors import ConfigError
from trading_ops.readiness.checks import Bench, run_check, run_command
from trading_ops.readiness.report import is_genuine


@click.group()
def readiness() -> None:
    """Take a bot from paper to live trading, in stages with measured criteria."""


@readiness.command()
@click.argument("bot")
@reason_option
@owner_option
@output_option
def begin(bot: str, reason: str, owner: str, output: str) -> None:
    """Begin a run for BOT and run the checks of its first phase."""

    async def work(api: ReconcilerApi) -> ReadinessRunView:
        await api.change_readiness(bot, "", owner=owner, reason=reason)
        return await _check(api, bot, owner)

    _tell(ask(work), output)


@readiness.command()
@click.argument("bot")
@owner_option
@output_option
def check(bot: str, owner: str, output: str) -> None:
    """Run the checks of BOT here and send the results to the reconciler."""
    _tell(ask(lambda api: _check(api, bot, owner)), output)


@readiness.command()
@click.argument("bot", required=False)
@click.option("--passed", metavar="PHASE", help="Exit with 1 unless BOT passed this phase.")
@output_option
@click.pass_context
def status(context: click.Context, bot: str | None, passed: str | None, output: str) -> None:
    """Show the progress of BOT, or of all bots with a run.

    Exits with 1 when a criterion that had passed now fails, when the run was stepped back from a
    live stage or aborted, or when PHASE is not passed.
    """
    if passed is not None and bot is None:
        raise click.UsageError("--passed needs BOT")

    async def work(api: ReconcilerApi) -> list[ReadinessRunView]:
        return await api.readiness() if bot is None else [await api.readiness_of(bot)]

    found = ask(work)
    if output == "json":
        print_json({"runs": msgspec.to_builtins(found)})
    elif not found:
        out().print("no runs: start one with `trading-ops readiness begin BOT --reason …`")
    else:
        for run in found:
            _show(run)
    good = all(run.state == "running" and not run.regressed for run in found)
    if not good or (passed is not None and passed not in found[0].passed_phases):
        context.exit(ExitCode.FAILED)


def _change_command(name: str, text: str) -> click.Command:
    """Return a command that changes the open run of a bot."""

    @click.command(name=name, help=text)
    @click.argument("bot")
    @reason_option
    @owner_option
    @output_option
    def command(bot: str, reason: str, owner: str, output: str) -> None:
        found = ask(lambda api: api.change_readiness(bot, name, owner=owner, reason=reason))
        _tell(found, output)

    return command


for _name, _text in (
    ("approve", "Approve the next stage of BOT, or the current one again after a step back."),
    ("sign-off", "Sign off BOT: record that you reviewed it, as its watch schedule requires."),
    ("abort", "End the run of BOT; holds on the bot stay."),
):
    readiness.add_command(_change_command(_name, _text))


@readiness.command()
@click.argument("bot", required=False)
@click.option(
    "--verify",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Verify the signature of a JSON report with this installation's audit key.",
)
@output_option
def report(bot: str | None, file: Path | None, output: str) -> None:
    """Print the signed report of BOT; only the JSON form can be verified."""
    if (bot is None) is (file is None):
        raise click.UsageError("name a BOT, or give --verify FILE")
    if file is not None:
        _verify(file)
        return
    signed = ask(lambda api: api.readiness_report(bot or ""))
    if output == "json":
        print_json(msgspec.to_builtins(signed))
    else:
        _print_report(signed)


def _verify(file: Path) -> None:
    keys = [key.encode() for key in command_settings().accepted_secrets("audit_key")]
    try:
        genuine = is_genuine(file.read_bytes(), keys)
    except (OSError, msgspec.DecodeError) as error:
        fix = "give the output of `trading-ops readiness report BOT --output json`"
        raise ConfigError(str(file), "", f"not a report: {error}", fix) from error
    click.echo("genuine: signed with the audit key" if genuine else "NOT genuine, or changed")
    sys.exit(ExitCode.OK if genuine else ExitCode.FAILED)


async def _check(api: ReconcilerApi, bot: str, owner: str) -> ReadinessRunView:
    settings = command_settings()
    bench = Bench(settings=settings, ask=api.status)
    found: list[Checked] = []
    for criterion in await api.readiness_checks(bot):
        if criterion.check:
            found.append(await run_check(criterion.name, criterion.check, bench))
        else:
            command = run_command(
                criterion.name, criterion.command, settings.root, measures=criterion.measures
            )
            found.append(command)
    if not found:
        return await api.readiness_of(bot)
    return await api.send_checks(bot, found, owner=owner)


def _tell(run: ReadinessRunView, output: str) -> None:
    if output == "json":
        print_json(msgspec.to_builtins(run))
    else:
        _show(run)


def _show(run: ReadinessRunView) -> None:
    click.echo(
        f"{run.bot}: stage {run.number} of {run.stages}, {run.phase}/{run.stage}, {run.state}"
    )
    if run.hours_needed:
        click.echo(f"hours: {run.hours:.1f} of {run.hours_needed:g}")
    if run.sign_off_due:
        click.echo(f"sign-off due: {moment(run.sign_off_due)}")
    if run.breaches:
        click.echo(f"stepped back {run.breaches} times; last: {plain(run.reason)}")
    click.echo("next stage: ready" if run.ready else f"still missing: {plain(run.missing)}")
    table = Table()
    for column in ("criterion", "phase", "status", "limit", "evidence", "at"):
        table.add_column(column)
    for criterion in run.criteria:
        when = moment(criterion.at) if criterion.at else ""
        cells = (
            criterion.name,
            criterion.phase,
            str(criterion.status),
            criterion.limit,
            criterion.evidence,
            when,
        )
        table.add_row(*map(plain, cells))
    out().print(table)


def _print_report(signed: SignedReport) -> None:
    click.echo(f"readiness report of {signed.report.run.bot}, {moment(signed.report.at)}")
    _show(signed.report.run)
    click.echo(f"audit chain: event {signed.report.audit_seq}, MAC {signed.report.audit_mac}")
    click.echo(f"signature: {signed.signature}")

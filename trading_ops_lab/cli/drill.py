"""`drill` and `gameday`: inject faults into the running stack and time the recovery."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.config.loading import load_settings
from trading_ops_lab.drills.disaster import NAME as DISASTER
from trading_ops_lab.drills.disaster import run_disaster_drill
from trading_ops_lab.drills.drill_run import DrillResult
from trading_ops_lab.drills.gameday import SIDE_BY_SIDE, GameDay, not_remediated, run_game_day
from trading_ops_lab.drills.gameday_page import FILE, PAGE, grids, read, summary, write
from trading_ops_lab.drills.gameday_record import begin_day, record_of
from trading_ops_lab.drills.lab_clients import open_scene
from trading_ops_lab.drills.recorded_drills import GameDayRecord, RecordedDisaster, RecordedMark
from trading_ops_lab.drills.run import run_drill
from trading_ops_lab.drills.timeline import Mark

BOT = click.option(
    "--bot", metavar="NAME", help="Bot to inject the fault into. Default: the first one."
)


@click.command()
@click.argument("alert")
@BOT
@click.option(
    "--paused",
    is_flag=True,
    help="Pause automation first; the drill passes only if nothing recovers.",
)
@click.option(
    "--silenced",
    is_flag=True,
    help="Silence the alert in Alertmanager first; the drill passes only if no action runs.",
)
@click.option(
    "--during",
    metavar="ALERT",
    default="",
    help="First trigger this alert, which suppresses the runbook; the drill passes only if "
    "no action runs until it resolves.",
)
@output_option
def drill(
    alert: str, bot: str | None, *, paused: bool, silenced: bool, during: str, output: str
) -> None:
    """Inject the fault that makes ALERT fire, and follow the recovery.

    Needs a running stack (`trading-ops up`). The runbook of ALERT names the fault. Detection and
    recovery use the real Prometheus, Alertmanager and reconciler. Exits with 5 when the incident
    is not closed within the runbook's `recover_within`.

    DisasterRecovery is not an alert: a second stack in a temporary folder loses `var` and all its
    processes, and is restored from its backup. It needs no running stack.
    """
    console = _console(output)
    if alert == DISASTER:
        _headline(console, alert, "")
        lost = run_disaster_drill(lambda mark: _say_recorded(console, mark))
        _disaster_verdict(console, lost)
        if output == "json":
            print_json(msgspec.to_builtins(lost))
        sys.exit(ExitCode.OK if lost.passed else ExitCode.NOT_RECOVERED)

    async def run() -> DrillResult:
        async with open_scene(load_settings()) as scene:
            why = not_remediated(paused=paused, silenced=silenced, during=during)
            _headline(console, alert, why)
            return await run_drill(
                scene,
                alert,
                bot_name=bot,
                paused=paused,
                silenced=silenced,
                during=during,
                say=lambda mark: _say(console, mark),
            )

    result = asyncio.run(run())
    _verdict(console, result)
    if output == "json":
        print_json(msgspec.to_builtins(result))
    sys.exit(ExitCode.OK if result.passed else ExitCode.NOT_RECOVERED)


@click.command()
@BOT
@click.option("--without-paused", is_flag=True, help="Skip the second runs with automation paused.")
@click.option(
    "--record",
    metavar="FOLDER",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help=f"Write {FILE} and {PAGE} there.",
)
@click.option(
    "--only",
    metavar="ALERT",
    multiple=True,
    help=f"Run only this alert's drill; repeatable. --record keeps the others of {FILE}.",
)
@output_option
def gameday(
    bot: str | None,
    *,
    without_paused: bool,
    record: Path | None,
    only: tuple[str, ...],
    output: str,
) -> None:
    """Run every drill, and each again with automation paused; print the table.

    DisasterRecovery follows at the end.

    Needs a running stack (`trading-ops up`). Exits with 5 when a drill is not closed in time, or
    when something recovered although automation was paused.
    """
    console = _console(output)

    alerts = tuple(alert for alert in only if alert != DISASTER)

    async def run() -> tuple[GameDay, GameDayRecord]:
        async with open_scene(load_settings()) as scene:
            begun = await begin_day(scene)
            day, disaster = GameDay(), None
            if alerts or not only:
                day = await run_game_day(
                    scene,
                    bot_name=bot,
                    with_paused=not without_paused,
                    only=alerts,
                    begin=lambda alert, why: _headline(console, alert, why),
                    end=lambda result: _verdict(console, result),
                    say=lambda alert, mark: _say(console, mark, name=_short(alert)),
                )
            if DISASTER in only or not only:
                _headline(console, DISASTER, "")
                disaster = await asyncio.to_thread(
                    run_disaster_drill, lambda mark: _say_recorded(console, mark)
                )
                _disaster_verdict(console, disaster)
            return day, await record_of(scene, day, begun=begun, disaster=disaster)

    day, kept = asyncio.run(run())
    _print_tables(console, kept)
    if record is not None:
        earlier = read(record) if only else None
        write(record, kept if earlier is None else kept.after(earlier))
    if output == "json":
        report = {"median_seconds": day.median_seconds, "results": day.results}
        print_json(msgspec.to_builtins(report))
    passed = (day.passed or not (alerts or not only)) and (
        kept.disaster is None or kept.disaster.passed
    )
    sys.exit(ExitCode.OK if passed else ExitCode.NOT_RECOVERED)


def _console(output: str) -> Console:
    """Progress goes to standard error when standard output is machine-readable."""
    return Console(stderr=True, highlight=False, soft_wrap=True) if output == "json" else out()


def _headline(console: Console, alert: str, why: str) -> None:
    console.print(f"\n[bold]{alert}[/] {why}".rstrip())


def _say(console: Console, mark: Mark, *, name: str = "") -> None:
    console.print(
        f"  {name}{mark.seconds:7.2f} s  {mark.stage:<10} {mark.note}",
        markup=False,
        soft_wrap=True,
    )


def _say_recorded(console: Console, mark: RecordedMark) -> None:
    _say(console, Mark(stage=mark.stage, seconds=mark.seconds, note=mark.note))


def _disaster_verdict(console: Console, lost: RecordedDisaster) -> None:
    color, verb = ("green", "ready") if lost.passed else ("red", "failed: ready")
    console.print(
        f"  [{color}]{verb} after {lost.seconds:.1f} s[/] (limit {lost.limit_seconds:.0f} s)"
    )


def _short(alert: str) -> str:
    """Return the padded name of a drill that runs concurrently with others."""
    return f"{alert:<31}" if alert in SIDE_BY_SIDE else ""


def _verdict(console: Console, result: DrillResult) -> None:
    if result.alert in SIDE_BY_SIDE:
        console.print(f"  {result.alert}", highlight=False)
    if result.not_possible:
        console.print(f"  [yellow]not run[/]: {result.problem}", soft_wrap=True)
    elif not result.passed:
        console.print(f"  [red]failed[/]: {result.problem}")
    elif result.paused or result.silenced:
        console.print(f"  [green]passed[/]: still broken after {result.limit_seconds:.0f} s")
        for reason in result.reasons:
            console.print(f"    reason for not acting: {reason}", markup=False, soft_wrap=True)
    else:
        console.print(
            f"  [green]closed after {result.total_seconds:.1f} s[/] "
            f"(limit {result.limit_seconds:.0f} s); evidence: {result.evidence}",
            soft_wrap=True,
        )


def _print_tables(console: Console, record: GameDayRecord) -> None:
    for grid in grids(record.drills):
        table = Table(title=grid.title, title_justify="left", box=box.SIMPLE_HEAD)
        for number, column in enumerate(grid.columns):
            table.add_column(
                column,
                justify="right" if 0 < number < len(grid.columns) - 1 else "left",
                no_wrap=number == 0,
            )
        for row in grid.rows:
            table.add_row(*row)
        console.print(table)
    for sentence in summary(record.drills):
        console.print(sentence, soft_wrap=True)

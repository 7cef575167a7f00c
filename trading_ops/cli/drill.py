"""`drill` and `gameday`: break the running stack on purpose and print how it healed."""

import asyncio
import sys

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.settings import load_settings
from trading_ops.stack.drill import run_drill
from trading_ops.stack.following import DrillResult
from trading_ops.stack.gameday import GameDay, run_game_day
from trading_ops.stack.scene import open_scene
from trading_ops.stack.timeline import Mark

BOT = click.option("--bot", metavar="NAME", help="The bot to break; the first one by default.")


@click.command()
@click.argument("alert")
@BOT
@click.option(
    "--paused",
    is_flag=True,
    help="Pause automation first; the drill passes only if nothing recovers by itself.",
)
@output_option
def drill(alert: str, bot: str | None, *, paused: bool, output: str) -> None:
    """Break the running stack so that ALERT fires, and follow it until it is healed.

    Needs a running stack (`trading-ops up`). The fault is the one that the runbook of ALERT
    names; the pipeline is the real one: Prometheus, Alertmanager, reconciler. Exits with 5 when
    the incident is not closed within the runbook's `recover_within`.
    """
    console = _console(output)

    async def run() -> DrillResult:
        async with open_scene(load_settings()) as scene:
            _headline(console, alert, paused=paused)
            return await run_drill(
                scene, alert, bot_name=bot, paused=paused, say=lambda mark: _say(console, mark)
            )

    result = asyncio.run(run())
    _verdict(console, result)
    if output == "json":
        print_json(msgspec.to_builtins(result))
    sys.exit(ExitCode.OK if result.passed else ExitCode.NOT_RECOVERED)


@click.command()
@BOT
@click.option(
    "--without-paused", is_flag=True, help="Leave out the second runs, with automation paused."
)
@output_option
def gameday(bot: str | None, *, without_paused: bool, output: str) -> None:
    """Run every drill, and each once more with automation paused; print the table.

    Needs a running stack (`trading-ops up`). Exits with 5 when a drill is not closed in time, or
    when something recovered although automation was paused.
    """
    console = _console(output)

    async def run() -> GameDay:
        async with open_scene(load_settings()) as scene:
            return await run_game_day(
                scene,
                bot_name=bot,
                with_paused=not without_paused,
                begin=lambda alert, paused: _headline(console, alert, paused=paused),
                end=lambda result: _verdict(console, result),
                say=lambda mark: _say(console, mark),
            )

    day = asyncio.run(run())
    _print_table(console, day)
    if output == "json":
        report = {"median_seconds": day.median_seconds, "results": day.results}
        print_json(msgspec.to_builtins(report))
    sys.exit(ExitCode.OK if day.passed else ExitCode.NOT_RECOVERED)


def _console(output: str) -> Console:
    """Progress goes to standard error when standard output is for a machine."""
    return Console(stderr=True, highlight=False, soft_wrap=True) if output == "json" else out()


def _headline(console: Console, alert: str, *, paused: bool) -> None:
    console.print(f"\n[bold]{alert}[/]" + (" with automation paused" if paused else ""))


def _say(console: Console, mark: Mark) -> None:
    console.print(
        f"  {mark.seconds:7.2f} s  {mark.stage:<10} {mark.note}", markup=False, soft_wrap=True
    )


def _verdict(console: Console, result: DrillResult) -> None:
    if not result.passed:
        console.print(f"  [red]failed[/]: {result.problem}")
    elif result.paused:
        console.print(f"  [green]passed[/]: still broken after {result.limit_seconds:.0f} s")
        for reason in result.reasons:
            console.print(f"    why nothing was done: {reason}", markup=False, soft_wrap=True)
    else:
        console.print(
            f"  [green]closed after {result.total_seconds:.1f} s[/] "
            f"(limit {result.limit_seconds:.0f} s); witness: {result.witness}",
            soft_wrap=True,
        )


def _print_table(console: Console, day: GameDay) -> None:
    stages = ("detected", "received", "acted", "verified", "closed")
    table = Table(title="Game day: seconds from the injection", box=box.SIMPLE_HEAD)
    table.add_column("drill", no_wrap=True)
    for stage in stages:
        table.add_column(stage, justify="right")
    table.add_column("limit", justify="right")
    table.add_column("result")
    for result in day.healed:
        seen = {mark.stage: mark.seconds for mark in result.timeline}
        cells = [f"{seen[stage]:.2f}" if stage in seen else "-" for stage in stages]
        verdict = "closed" if result.passed else result.problem
        table.add_row(result.alert, *cells, f"{result.limit_seconds:.0f}", verdict)
    console.print(table)
    closed = sum(result.passed for result in day.healed)
    middle = f", median {day.median_seconds:.1f} s" if day.median_seconds is not None else ""
    console.print(f"{closed} of {len(day.healed)} closed{middle}")
    if day.paused:
        recovered = sum(not result.passed for result in day.paused)
        console.print(f"{recovered} of {len(day.paused)} recovered with automation paused")

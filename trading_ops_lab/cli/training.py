"""`training`: find an unnamed fault in the running stack, and get a grade."""

import asyncio
import os
import random
import sys
import threading

import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.times import Duration, Length
from trading_ops.config.loading import load_settings
from trading_ops_lab.cli.drill import BOT
from trading_ops_lab.drills.lab_clients import open_scene
from trading_ops_lab.drills.timeline import Mark
from trading_ops_lab.drills.training import POINTS, Grade, Question, run_training

INTRODUCTION = (
    "A fault is injected now, and automation is paused. Find it with the console, the boards,\n"
    "`trading-ops incidents` and the logs. Then answer here; you have {limit}."
)


@click.command()
@BOT
@click.option(
    "--within",
    "limit",
    default="15m",
    show_default=True,
    type=Duration("2h"),
    help="Time for all answers.",
)
@click.option("--seed", type=int, help="Repeat the exercise with this seed. Default: a new one.")
@output_option
def training(bot: str | None, limit: Length, seed: int | None, output: str) -> None:
    """Find an unnamed fault, and get a grade for the answers and the time.

    Needs a running stack (`trading-ops up`). The fault is one of the drills'; it is remediated or
    removed at the end. Exits with 5 when the exercise was not passed.
    """
    number = random.SystemRandom().randrange(1_000_000) if seed is None else seed

    async def run() -> Grade:
        lines = _Lines()
        async with open_scene(load_settings()) as scene:
            _say(INTRODUCTION.format(limit=limit.typed))
            return await run_training(
                scene,
                bot_name=bot,
                seed=number,
                limit=limit.span,
                ask=lines.ask,
                say=_say_mark,
            )

    grade = asyncio.run(run())
    if output == "json":
        print_json(msgspec.to_builtins(grade) | {"total": grade.total, "passed": grade.passed})
    else:
        _print(grade, number)
    sys.exit(ExitCode.OK if grade.passed else ExitCode.NOT_RECOVERED)


def _print(grade: Grade, number: int) -> None:
    click.echo(f"\nalert         {grade.alert}: runbooks/{grade.alert}.md")
    click.echo(f"cause         {grade.fault}")
    click.echo(f"first action  {grade.first_action}")
    for key, points in grade.points.items():
        click.echo(f"  {key:<12} {points:>3} of {POINTS[key]}")
    result = "passed" if grade.passed else "not passed"
    click.echo(f"{result}: {grade.total} of 100 points, {grade.seconds:.0f} s (exercise {number})")
    if not grade.remediated:
        click.echo("the incident is still open: see `trading-ops incidents`", err=True)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_mark(mark: Mark) -> None:
    _say(f"  {mark.seconds:7.2f} s  {mark.stage:<10} {mark.note}")


class _Lines:
    """Standard input, line by line, read in a thread that does not delay the exit."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, daemon=True).start()

    async def ask(self, question: Question) -> str:
        """Print a question and return the answer; a choice by its number or text."""
        _say(f"\n{question.text}")
        for number, choice in enumerate(question.choices, 1):
            _say(f"  {number}  {choice}")
        line = await self._queue.get()
        if line is None:
            raise click.UsageError("no answer: standard input ended")
        text = line.strip()
        if text.isdecimal() and 1 <= int(text) <= len(question.choices):
            return question.choices[int(text) - 1]
        return text

    def _read(self) -> None:
        rest = b""
        # os.read: a thread that waits in sys.stdin would hold its lock at interpreter exit.
        while block := os.read(0, 4096):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._put(line.decode(errors="replace"))
        self._put(None)

    def _put(self, line: str | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, line)

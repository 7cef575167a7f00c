"""`jobs`: list, run, pause and resume jobs, and show their history."""

import time
from typing import Any

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import ask, owner_option, reason_option
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import short
from trading_ops.clients.reconciler_views import JobRunView, JobView

POLL_SECONDS = 0.5
name_argument = click.argument("name", metavar="JOB")


@click.group()
def jobs() -> None:
    """Jobs: backups, checks, database maintenance, cleanup."""


@jobs.command(name="list")
@output_option
def show(output: str) -> None:
    """List the jobs with their next and last run."""
    found = ask(lambda api: api.jobs())
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = Table()
    for column in ("job", "schedule", "next", "last run", "outcome"):
        table.add_column(column)
    for job in found:
        ran = short(job.last.started_at) if job.last else "never"
        outcome = "running" if job.running else _result(job.last) if job.last else ""
        table.add_row(*map(plain, (job.name, job.schedule, _next(job), ran, outcome)))
    out().print(table)


@jobs.command(name="show")
@name_argument
@output_option
def one(name: str, output: str) -> None:
    """Show one job."""
    job = ask(lambda api: api.job(name)).job
    if output == "json":
        print_json(msgspec.to_builtins(job))
        return
    for label, text in (
        ("schedule", job.schedule),
        ("next", _next(job)),
        ("misfire", job.misfire),
        ("timeout", f"{job.timeout_seconds:.0f} s"),
        ("waiting for", job.held_by),
        ("running since", short(job.running.started_at) if job.running else None),
        ("last run", f"{short(job.last.started_at)} {_result(job.last)}" if job.last else "never"),
        ("last success", short(job.succeeded_at) if job.succeeded_at else "never"),
    ):
        if text is not None:
            click.echo(f"{label + ':':15}{text}")


@jobs.command()
@name_argument
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@output_option
def history(name: str, limit: int, output: str) -> None:
    """Show the newest runs of one job."""
    runs = ask(lambda api: api.job(name, limit=limit)).runs
    if output == "json":
        print_json(msgspec.to_builtins(runs))
        return
    table = Table()
    for column in ("run", "due", "started", "took", "outcome", "by"):
        table.add_column(column)
    for run in runs:
        due = short(run.due_at) if run.due_at else "manual"
        took = f"{(run.ended_at - run.started_at).total_seconds():.1f} s" if run.ended_at else ""
        cells = (str(run.id), due, short(run.started_at), took, _result(run), run.actor)
        table.add_row(*map(plain, cells))
    out().print(table if runs else f"{name} has not run")


@jobs.command()
@name_argument
@click.option(
    "--dry-run", is_flag=True, help="Dry run: show what the job would do and why; change nothing."
)
@click.option("--no-wait", is_flag=True, help="Return when the job has started.")
@owner_option
@output_option
@click.pass_context
def run(
    context: click.Context, name: str, owner: str, output: str, *, dry_run: bool, no_wait: bool
) -> None:
    """Run JOB now. Exits with 1 when it failed or was refused."""
    if dry_run:
        _plan(name, output)
        return
    key = ask(lambda api: api.run_job(name, owner=owner))
    if no_wait:
        click.echo(f"run {key} of {name} has started")
        return
    ended = _ended(name, key)
    if output == "json":
        print_json(msgspec.to_builtins(ended))
    else:
        click.echo(f"{name}: {_result(ended)}")
    if ended.outcome not in ("done", "nothing_to_do"):
        context.exit(ExitCode.FAILED)


@jobs.command()
@name_argument
@reason_option
@owner_option
def pause(name: str, reason: str, owner: str) -> None:
    """Pause the schedule of JOB until it is resumed."""
    ask(lambda api: api.pause_job(name, reason=reason, owner=owner))
    click.echo(f"{name} is paused")


@jobs.command()
@name_argument
@owner_option
def resume(name: str, owner: str) -> None:
    """Resume the schedule of JOB. Missed runs are skipped."""
    job = ask(lambda api: api.resume_job(name, owner=owner))
    click.echo(f"{name} runs next: {_next(job)}")


def _plan(name: str, output: str) -> None:
    plan = ask(lambda api: api.job_plan(name))
    if output == "json":
        print_json(msgspec.to_builtins(plan))
        return
    if plan.refused:
        click.echo(f"refused: {plan.refused}")
    elif not plan.steps:
        click.echo("nothing to do")
    for step in plan.steps:
        estimate = f" ({step.estimate})" if step.estimate else ""
        click.echo(f"{step.what}{estimate}: {step.reason}")


def _ended(name: str, key: int) -> JobRunView:
    while True:
        found = ask(lambda api: api.job(name, limit=100)).runs
        for run in found:
            if run.id == key and run.outcome != "running":
                return run
        time.sleep(POLL_SECONDS)


def _next(job: JobView) -> str:
    if not job.enabled:
        return "disabled"
    if job.paused_by:
        return f"paused by {job.paused_by}: {job.paused_reason}"
    if job.held_by:
        return f"waits: {job.held_by}"
    return short(job.due_at) if job.due_at else "no trading session stored"


def _result(run: Any) -> str:
    outcome = run.outcome.replace("_", " ")
    return f"{outcome}: {run.detail}" if run.detail else str(outcome)

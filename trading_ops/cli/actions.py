"""`run`, `approve`, `deny` and `approvals`: run actions manually and approve them."""

import asyncio
import contextlib

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import id_argument, out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    ask,
    override_budget_option,
    owner_option,
    reason_option,
)
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import moment
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ActionOutcomeView, AttemptView
from trading_ops.domain.attempt import RUNNING, AttemptState
from trading_ops.errors import Unreachable

WAIT_SECONDS = 15.0
"""An agent's command takes well under a second, a restart a few seconds."""

POLL_SECONDS = 0.2


@click.command()
@click.argument("action")
@click.argument("target")
@click.argument("params", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--no-wait",
    is_flag=True,
    help="Return when the action has started, without waiting for its end.",
)
@override_budget_option
@reason_option
@owner_option
@output_option
@click.pass_context
def run(
    context: click.Context,
    action: str,
    target: str,
    params: tuple[str, ...],
    *,
    no_wait: bool,
    override_budget: bool | None,
    reason: str,
    owner: str,
    output: str,
) -> None:
    """Run ACTION on TARGET, through the same gates as a runbook step.

    Waits up to 15 seconds for the result. Exits with 1 when a gate refuses the action, when it
    fails, or when it is still running after that.
    """
    given = _params(params)

    async def execute(api: ReconcilerApi) -> ActionOutcomeView:
        done = await api.execute(
            action, target, given, owner=owner, reason=reason, override_budget=override_budget
        )
        if done.attempt is not None and not no_wait:
            done.attempt = await end_of(api, done.attempt)
        return done

    done = ask(execute)
    if output == "json":
        print_json(msgspec.to_builtins(done))
    elif done.attempt is not None:
        click.echo(_outcome(done.attempt))
    elif done.refusal is not None:
        refusal = done.refusal
        click.echo(f"refused ({refusal.reason}): {refusal.note}. To open it: {refusal.opens}")
        if done.approval is not None:
            click.echo("another operator must approve it with their own token:")
            click.echo(f"trading-ops approve --token-file PATH {done.approval.id[:8]}")
    if done.attempt is None or not (no_wait or done.attempt.state == AttemptState.COMPLETED):
        context.exit(ExitCode.FAILED)


async def end_of(api: ReconcilerApi, attempt: AttemptView) -> AttemptView:
    """Return the finished attempt, or its last state when the wait times out."""
    with contextlib.suppress(TimeoutError, Unreachable):
        async with asyncio.timeout(WAIT_SECONDS):
            while attempt.state in RUNNING:
                await asyncio.sleep(POLL_SECONDS)
                attempt = await api.attempt(attempt.id)
    return attempt


def _outcome(attempt: AttemptView) -> str:
    subject = f"{attempt.action} on {attempt.target}"
    if attempt.state in RUNNING:
        see = f"for the result, see `trading-ops events --target {attempt.target}`"
        return plain(f"{subject} has started: attempt {attempt.id}; {see}")
    took = ((attempt.ended_at or attempt.started_at) - attempt.started_at).total_seconds()
    detail = f": {attempt.detail}" if attempt.detail else ""
    return plain(f"{subject} is {attempt.state} after {took:.1f} s{detail} (attempt {attempt.id})")


def _params(pairs: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.UsageError(f"invalid parameter {pair!r}: write it as KEY=VALUE")
        if key in given:
            raise click.UsageError(f"{key} is given twice")
        given[key] = value
    return given


@click.command()
@id_argument
@owner_option
@output_option
def approve(key: str, owner: str, output: str) -> None:
    """Approve the request ID for one run of exactly what it shows.

    The first letters of its ID are enough. Use another token than the requester's.
    """
    _answer(key, "approve", owner, output)


@click.command()
@id_argument
@owner_option
@output_option
def deny(key: str, owner: str, output: str) -> None:
    """Deny the request ID, or withdraw your own request.

    The first letters of its ID are enough.
    """
    _answer(key, "deny", owner, output)


def _answer(key: str, pair: str, owner: str, output: str) -> None:
    given = ask(lambda api: api.answer(key, pair, owner=owner))
    if output == "json":
        print_json(msgspec.to_builtins(given))
        return
    click.echo(f"{given.action} on {given.target} is {given.state} by {given.decided_by}")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include answered and expired requests.")
@output_option
def approvals(output: str, *, everything: bool) -> None:
    """List actions that wait for approval."""
    filters = {} if everything else {"state": "pending"}
    found = ask(lambda api: api.approvals(**filters))
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = Table()
    for column in ("id", "action", "target", "params", "requested by", "until", "state"):
        table.add_column(column)
    for approval in found:
        params = " ".join(f"{key}={value}" for key, value in approval.params.items())
        until = moment(approval.expires_at)
        cells = (
            approval.id[:8],
            approval.action,
            approval.target,
            params,
            approval.requested_by,
            until,
            approval.state,
        )
        table.add_row(*map(plain, cells))
    out().print(table if found else "no requests")

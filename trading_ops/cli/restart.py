"""`trading-ops restart`: restart a bot through the reconciler and the node of its host."""

import asyncio
import contextlib
import time

import click

from trading_ops.cli.actions import end_of
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    command_settings,
    connected,
    override_budget_option,
    owner_option,
    reason_option,
)
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.doctor.connections import connections
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import SetupError, TradingOpsError

HEALTHY_SECONDS = 60.0
PAUSE_SECONDS = 0.5


@click.command()
@click.argument("bot")
@click.option("--drain", is_flag=True, help="Restart gracefully, even if the bot is healthy.")
@override_budget_option
@reason_option
@owner_option
@output_option
@click.pass_context
def restart(
    context: click.Context,
    bot: str,
    reason: str,
    owner: str,
    output: str,
    *,
    drain: bool,
    override_budget: bool | None,
) -> None:
    """Restart BOT through its service manager, and wait until its agent is healthy.

    The reconciler asks the node of the bot's host, through the same gates as automatic restarts.
    Without --drain a healthy bot is not restarted; with it, not one whose error budget is spent.
    Exits with 1 when the restart was refused or failed, or the bot is not healthy within a minute.
    """
    settings = command_settings()
    registry = load_targets(settings.targets_file)
    target = _bot(registry, bot)
    action = "roll_bot" if drain else "restart_bot"
    began = time.monotonic()
    problem = asyncio.run(
        _restart(
            settings,
            registry,
            target,
            action,
            owner=owner,
            reason=reason,
            override_budget=override_budget,
        )
    )
    seconds = round(time.monotonic() - began, 1)
    if output == "json":
        print_json({"bot": bot, "restarted": not problem, "problem": problem, "seconds": seconds})
    elif not problem:
        click.echo(f"{bot} was restarted and is healthy after {seconds} s")
    else:
        click.echo(f"{bot}: {problem}", err=True)
    if problem:
        context.exit(ExitCode.FAILED)


def _bot(registry: Registry, name: str) -> Target:
    found = registry.find(name)
    if found is None or found.kind is not Kind.BOT:
        raise SetupError(f"no target {name!r} of kind bot in targets.yml")
    if found.service is None:
        fix = "add `service` to its entry, see docs/service-managers.md"
        raise SetupError(f"{name} has no service manager in targets.yml. Fix: {fix}")
    return found


async def _restart(
    settings: Settings,
    registry: Registry,
    target: Target,
    action: str,
    *,
    owner: str,
    reason: str,
    override_budget: bool | None,
) -> str | None:
    """Restart it and wait for its agent; return the problem, or None."""
    async with connected(settings, registry) as api:
        done = await api.execute(
            action, target.name, {}, owner=owner, reason=reason, override_budget=override_budget
        )
        if done.attempt is None:
            refusal = done.refusal
            return f"refused: {refusal.note}. To open it: {refusal.opens}" if refusal else "refused"
        attempt = await end_of(api, done.attempt)
        if attempt.state not in {"completed", "started"}:
            return f"{attempt.state}: {attempt.detail}"
    said = "its agent does not answer"
    async with connections(settings, registry) as ask:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEALTHY_SECONDS):
                while True:
                    try:
                        await ask.alive(target)
                    except TradingOpsError as error:
                        said = str(error)
                    else:
                        return None
                    await asyncio.sleep(PAUSE_SECONDS)
    return f"after {HEALTHY_SECONDS:.0f} s: {said}"

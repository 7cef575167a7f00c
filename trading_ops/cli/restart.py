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
@click.option("--drain", is_flag=True, help="Restart a healthy bot too, gracefully.")
@reason_option
@owner_option
@output_option
@click.pass_context
def restart(
    context: click.Context, bot: str, reason: str, owner: str, output: str, *, drain: bool
) -> None:
    """Restart BOT by its service manager, and wait until its agent is healthy.

    The reconciler orders it from the node of the bot's host, through the same gates as automatic
    restarts. Without --drain a healthy bot is left alone. Exit code 1 when it was refused, failed,
    or the bot is not healthy within a minute.
    """
    settings = command_settings()
    registry = load_targets(settings.targets_file)
    target = _bot(registry, bot)
    action = "roll_bot" if drain else "restart_bot"
    began = time.monotonic()
    problem = asyncio.run(_restart(settings, registry, target, action, owner, reason))
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
        raise SetupError(f"targets.yml has no target {name!r} of kind bot")
    if found.service is None:
        fix = "add `service`, see docs/service-managers.md"
        raise SetupError(f"targets.yml names no service manager of {name}. Fix: {fix}")
    return found


async def _restart(
    settings: Settings, registry: Registry, target: Target, action: str, owner: str, reason: str
) -> str | None:
    """Have it restarted and wait for its agent; return what went wrong."""
    async with connected(settings, registry) as api:
        done = await api.execute(action, target.name, {}, owner=owner, reason=reason)
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

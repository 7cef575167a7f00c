"""`automation`: pause and resume what the reconciler does by itself."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.runbooks import parse_duration
from trading_ops.settings import load_settings
from trading_ops.stack.scene import open_scene

T = TypeVar("T")


def order(work: Callable[[ReconcilerApi], Awaitable[T]]) -> T:
    """Carry one order out at the running reconciler."""

    async def run() -> T:
        async with open_scene(load_settings()) as scene:
            return await work(scene.reconciler)

    return asyncio.run(run())


def automation_state() -> str:
    """Say in one sentence whether the reconciler acts, and what is open."""
    try:
        status = order(lambda api: api.status())
    except TradingOpsError as error:
        return f"automation: unknown ({error})"
    doing = "is running"
    if status.pause is not None:
        until = status.pause.expires_at.strftime("%H:%M:%S UTC")
        doing = f"is PAUSED by {status.pause.owner} until {until}: {status.pause.reason}"
    return f"automation {doing}; open incidents: {len(status.open_incidents)}"


@click.group()
def automation() -> None:
    """Pause and resume what the reconciler does by itself."""


@automation.command()
@click.option("--reason", required=True, help="Why; it is stored and shown.")
@click.option("--for", "length", default="1h", show_default=True, help="How long; at most 24h.")
@click.option("--owner", default=getpass.getuser, help="Who; by default your login.")
def pause(reason: str, length: str, owner: str) -> None:
    """Stop all automatic recovery for a while; alerts still reach people."""
    seconds = parse_duration(length, "--for").total_seconds()
    order(lambda api: api.pause(owner=owner, reason=reason, seconds=seconds))
    click.echo(f"automation is paused for {length}")


@automation.command()
@click.option("--owner", default=getpass.getuser, help="Who; by default your login.")
def resume(owner: str) -> None:
    """Lift every pause."""
    order(lambda api: api.resume(owner=owner))
    click.echo("automation is running")


@automation.command()
def show() -> None:
    """Say whether automation is running or paused, by whom, why and until when."""
    click.echo(automation_state())


@automation.command()
@click.argument("target")
@click.option("--reason", required=True, help="Why; it is stored and shown.")
@click.option("--owner", default=getpass.getuser, help="Who; by default your login.")
def forgive(target: str, reason: str, owner: str) -> None:
    """Let the attempt budgets and cooldowns of TARGET start anew."""
    order(lambda api: api.forgive(target, owner=owner, reason=reason))
    click.echo(f"the budgets of {target} start anew")

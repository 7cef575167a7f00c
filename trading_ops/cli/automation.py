"""`automation`: pause and resume what the reconciler does by itself."""

import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.ordering import order, owner_option, reason_option
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.runbooks import parse_duration

__all__ = ["automation", "automation_state", "order"]


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
    return f"automation {doing}; open incidents: {status.incidents_open}"


@click.group()
def automation() -> None:
    """Pause and resume what the reconciler does by itself."""


@automation.command()
@reason_option
@click.option("--for", "length", default="1h", show_default=True, help="How long; at most 24h.")
@owner_option
def pause(reason: str, length: str, owner: str) -> None:
    """Stop all automatic recovery for a while; alerts still reach people."""
    seconds = parse_duration(length, "--for").total_seconds()
    order(lambda api: api.pause(owner=owner, reason=reason, seconds=seconds))
    click.echo(f"automation is paused for {length}")


@automation.command()
@owner_option
def resume(owner: str) -> None:
    """Lift every pause."""
    order(lambda api: api.resume(owner=owner))
    click.echo("automation is running")


@automation.command()
@output_option
def show(output: str) -> None:
    """Say whether automation is running or paused, by whom, why and until when."""
    if output == "json":
        status = order(lambda api: api.status())
        pause, number = msgspec.to_builtins(status.pause), status.incidents_open
        print_json({"running": status.pause is None, "pause": pause, "incidents_open": number})
        return
    click.echo(automation_state())


@automation.command()
@click.argument("target")
@reason_option
@owner_option
def forgive(target: str, reason: str, owner: str) -> None:
    """Let the attempt budgets and cooldowns of TARGET start anew."""
    order(lambda api: api.forgive(target, owner=owner, reason=reason))
    click.echo(f"the budgets of {target} start anew")

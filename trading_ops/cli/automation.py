"""`automation`: pause and resume automatic remediation."""

import asyncio
from collections.abc import Collection, Iterator, Sequence

import click
import msgspec

from trading_ops import clock
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.reconciler_connection import ask, owner_option, reason_option
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import HoldView, TargetView

NAMED = 5
"""Maximum number of targets that are listed for a silence."""

__all__ = ["ask", "automation", "automation_state"]


def automation_state() -> list[str]:
    """Return the state of automation, open incidents and operators' holds, as lines.

    Raises:
        TradingOpsError: the reconciler does not answer.
    """

    async def read(api: ReconcilerApi) -> list[str]:
        return (await automation_and_targets(api))[0]

    return ask(read)


async def automation_and_targets(
    api: ReconcilerApi, names: Collection[str] | None = None
) -> tuple[list[str], list[TargetView]]:
    """Return the same lines, and the registered targets, or those with these names.

    Raises:
        TradingOpsError: the reconciler does not answer.
    """
    status, targets, windows = await asyncio.gather(api.status(), api.targets(), api.windows())
    targets = [target for target in targets if names is None or target.name in names]
    doing = "is running"
    if (pause := status.pause) is not None:
        doing = f"is PAUSED by {pause.owner} until {moment(pause.expires_at)}: {pause.reason}"
    lines = [f"automation {doing}; open incidents: {status.incidents_open}"]
    for window in windows.maintenance:
        if window.begins_at <= clock.now():
            where = f"MAINTENANCE of {window.target or 'the whole fleet'}"
            until = moment(window.ends_at)
            lines.append(f"{where} by {window.owner} until {until}: {window.reason}")
    for target in targets:
        lines.extend(_hold_line(target, hold) for hold in target.holds)
    lines.extend(_silences(targets))
    return [plain(line) for line in lines], targets


def _hold_line(target: TargetView, hold: HoldView) -> str:
    if hold.id in target.in_force:
        state = f"is {hold.state.upper()}"
    else:
        state = f"has not acknowledged that it is {hold.state}, so it is NOT IN FORCE; requested"
    return (
        f"{target.name} {state} by {hold.owner} since {moment(hold.at)}: {hold.reason} "
        f"(hold {hold.id})"
    )


def _silences(targets: Sequence[TargetView]) -> Iterator[str]:
    """Yield one line per silence: a silence may cover a thousand targets."""
    covered: dict[str, list[str]] = {}
    by_id = {}
    for target in targets:
        for silence in target.silences:
            by_id[silence.id] = silence
            covered.setdefault(silence.id, []).append(target.name)
    for key, names in covered.items():
        silence = by_id[key]
        shown = ", ".join(names[:NAMED]) + (
            f" and {more} more" if (more := len(names) - NAMED) > 0 else ""
        )
        yield (
            f"{shown}: SILENCED by {silence.owner} until {moment(silence.ends_at)}, "
            f"so not remediated: {silence.comment} (silence {key}: {', '.join(silence.matchers)})"
        )


@click.group()
def automation() -> None:
    """Pause and resume automatic remediation."""


@automation.command()
@reason_option
@click.option(
    "--for",
    "length",
    default="1h",
    show_default=True,
    type=Duration("24h"),
    help="How long; at most 24h.",
)
@owner_option
def pause(reason: str, length: Length, owner: str) -> None:
    """Pause all automatic remediation; alerts still page."""
    ask(lambda api: api.pause(owner=owner, reason=reason, seconds=length.seconds))
    click.echo(f"automation is paused for {length.typed}")


@automation.command()
@owner_option
def resume(owner: str) -> None:
    """Resume automatic remediation: end every pause."""
    ask(lambda api: api.resume(owner=owner))
    click.echo("automation is running")


@automation.command()
@output_option
def show(output: str) -> None:
    """Show whether automation is running or paused, by whom, why and until when.

    Also which maintenance windows are open, and which bots are halted or reduced.
    """
    if output == "json":
        status = ask(lambda api: api.status())
        pause, number = msgspec.to_builtins(status.pause), status.incidents_open
        print_json({"running": status.pause is None, "pause": pause, "incidents_open": number})
        return
    for line in automation_state():
        click.echo(line)


@automation.command()
@click.argument("target")
@reason_option
@owner_option
def reset_budget(target: str, reason: str, owner: str) -> None:
    """Reset the attempt budgets and cooldowns of TARGET."""
    ask(lambda api: api.reset_budget(target, owner=owner, reason=reason))
    click.echo(f"the budgets of {target} were reset")

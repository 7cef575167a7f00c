"""`update`: deploys another release of a bot, and rolls back if it is unhealthy."""

import asyncio
import contextlib
import re
import time
import uuid
from pathlib import Path
from typing import Any

import click

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    command_settings,
    connected,
    override_budget_option,
    owner_option,
    reason_option,
)
from trading_ops.cli.times import Duration, Length
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Registry, Target
from trading_ops.errors import SetupError, StackError, TradingOpsError, Unreachable
from trading_ops.reconciler.manual_actions import OVERRIDE, ErrorBudget
from trading_ops_lab.cli.restart import bot_of, process_of
from trading_ops_lab.supervisor.client import SupervisorClient
from trading_ops_lab.supervisor.update import LONGEST_SECONDS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
STOPS_SECONDS = 40.0
"""For stopping twice and copying the records, in addition to the waits for a healthy bot."""

ASK_AGAIN_SECONDS = 0.5


@click.command()
@click.argument("bot")
@click.option("--to", "release", required=True, metavar="RELEASE", help="The release to run.")
@click.option(
    "--within",
    "within",
    type=Duration(f"{LONGEST_SECONDS:.0f}s"),
    default="60s",
    show_default=True,
    help="Time for the new release to become healthy.",
)
@override_budget_option
@reason_option
@owner_option
@output_option
@click.pass_context
def update(
    context: click.Context,
    bot: str,
    release: str,
    within: Length,
    *,
    override_budget: bool | None,
    reason: str,
    owner: str,
    output: str,
) -> None:
    """Deploy RELEASE to BOT: the path of a Python, or NAME for var/versions/NAME/bin/python.

    The bot is stopped gracefully, its records are copied, and the new release is started. If it is
    not healthy in time, the previous release is restored. Exits with 1 then, and when the update
    was refused. A bot whose error budget is exhausted is not updated.
    """
    settings = command_settings()
    registry = load_targets(settings.targets_file)
    target = bot_of(registry, bot)
    python = python_of(settings, release)
    if override_budget:
        reason = OVERRIDE + reason
    elif (spent := asyncio.run(_spent(settings, registry, target))) is not None:
        fix = "wait until it recovers, or repeat the command with --override-budget"
        raise StackError(f"refused: {spent}. Fix: {fix}")
    began = time.monotonic()
    answer = asyncio.run(
        _update(
            settings,
            registry,
            target,
            python,
            within_seconds=within.seconds,
            owner=owner,
            reason=reason,
        )
    )
    answer |= {"bot": bot, "seconds": round(time.monotonic() - began, 1)}
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"{answer['detail']} ({answer['seconds']} s)", err=answer["outcome"] != DONE)
    if answer["outcome"] != DONE:
        context.exit(ExitCode.FAILED)


DONE = "succeeded"


def python_of(settings: Settings, release: str) -> Path:
    """Return the interpreter of a release.

    Raises:
        SetupError: there is no such release.
    """
    if "/" in release:
        # Not resolved: a virtual environment is identified by the link, not by its destination.
        python = Path(release).absolute()
    elif NAME.fullmatch(release):
        python = (settings.var / "versions" / release / "bin" / "python").absolute()
    else:
        raise SetupError(f"{release!r} is neither a path nor the name of a release")
    if not python.is_file():
        raise SetupError(f"{python} does not exist. Fix: create it, see docs/updates.md")
    return python


async def _spent(settings: Settings, registry: Registry, target: Target) -> str | None:
    """Return why the bot must not be updated, or None."""
    if not settings.freeze_on_spent_budget:
        return None
    async with session_of(settings) as session:
        prometheus = Prometheus(Monitoring(session, settings, registry).prometheus())
        return await ErrorBudget(prometheus=prometheus).spent(target.name)


async def _update(
    settings: Settings,
    registry: Registry,
    target: Target,
    python: Path,
    *,
    within_seconds: float,
    owner: str,
    reason: str,
) -> dict[str, Any]:
    before = process_of(settings, target)
    longest = 2 * within_seconds + STOPS_SECONDS
    async with _window(settings, registry, target, longest, owner, f"update: {reason}"):
        client, attempt_id = SupervisorClient(settings), str(uuid.uuid4())
        answer = client.update(
            before["unit"],
            python=str(python),
            incarnation=before["incarnation"] or "",
            attempt_id=attempt_id,
            within_seconds=within_seconds,
        )
        deadline = time.monotonic() + longest
        while answer.get("outcome") == "running":
            if time.monotonic() > deadline:
                raise StackError(f"the update of {target.name} has not ended: see its log")
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            answer = client.attempt(attempt_id)
    return answer


@contextlib.asynccontextmanager
async def _window(
    settings: Settings, registry: Registry, target: Target, seconds: float, owner: str, reason: str
) -> Any:
    """Suppress the reconciler during the update, if it runs: an update is not an incident."""
    async with contextlib.AsyncExitStack() as held:
        window = api = None
        try:
            api = await held.enter_async_context(connected(settings, registry))
            window = await api.begin_window(
                target=target.name, seconds=seconds, reason=reason[:200], owner=owner
            )
        except Unreachable as error:
            click.echo(f"{error}. The update is not announced to the reconciler.", err=True)
        try:
            yield
        finally:
            if api is not None and window is not None:
                try:
                    await api.end_window(window.id, owner=owner)
                except TradingOpsError as error:
                    click.echo(f"the window {window.id} ends when it expires: {error}", err=True)

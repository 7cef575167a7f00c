"""Connects a command to the running reconciler, and defines common options."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from trading_ops.cli.local_stack import holder, not_running
from trading_ops.clients.http import Http, session_of
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Unreachable

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

ALIVE_WITHIN = timedelta(seconds=3)
ANSWER_WITHIN = timedelta(seconds=15)
"""Seconds; a manual action probes the target first."""

NAMED_FILE = "trading_ops.token_file"
"""Key of `--token-file` in the context of a command."""

reason_option = click.option("--reason", required=True, help="Why; stored in the audit log.")


override_budget_option = click.option(
    "--override-budget",
    is_flag=True,
    default=None,
    help="Run even if the bot's error budget is exhausted; recorded with the reason.",
)


def owner_option(function: Command) -> Command:
    """Add `--owner`, passed as `owner`, and `--token-file`."""
    owner = click.option(
        "--owner",
        default=getpass.getuser,
        help="Operator recorded in the audit log. Default: your login.",
    )
    token = click.option(
        "--token-file",
        metavar="PATH",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        expose_value=False,
        callback=_remember,
        help="File with your token. Default: TRADING_OPS_TOKEN_FILE or var/secrets/operator_token.",
    )
    return owner(token(function))


def _remember(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[NAMED_FILE] = path.resolve()


def command_settings(load: Callable[[], Settings] = load_settings) -> Settings:
    """Return the settings, with the command's `--token-file`."""
    settings, context = load(), click.get_current_context(silent=True)
    given = context.meta.get(NAMED_FILE) if context else None
    return msgspec.structs.replace(settings, token_file=given) if given else settings


def ask(work: Callable[[ReconcilerApi], Awaitable[T]]) -> T:
    """Send one request to the first reconciler that is alive.

    Raises:
        NotRunning: none answers, and no stack runs here.
        TradingOpsError: the reconciler refused it, or did not answer.
    """

    async def run() -> T:
        settings = command_settings()
        async with connected(settings, load_targets(settings.targets_file)) as api:
            return await work(api)

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def connected(settings: Settings, registry: Registry) -> AsyncIterator[ReconcilerApi]:
    """Yield the API of the first reconciler that is alive.

    Raises:
        NotRunning: none answers, and no stack runs here.
        Unreachable: none answers.
    """
    token = settings.command_token
    async with session_of(settings) as session:
        for target in registry.of_kind(Kind.RECONCILER):
            address = target.url
            with contextlib.suppress(Unreachable):
                # Without the token: the listener is not verified yet.
                await Http(session, address).ask("GET", "/-/healthy", within=ALIVE_WITHIN)
                break
        else:
            if holder(settings.var) is None:
                raise not_running(settings)
            raise Unreachable("the reconciler does not answer: see `trading-ops status`")
        yield ReconcilerApi(Http(session, address, token=token, within=ANSWER_WITHIN))

"""`notify`: the outbox of messages that do not page."""

import asyncio

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import id_argument, out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import ask, owner_option
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import moment
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import MessageView
from trading_ops.config.loading import load_settings
from trading_ops.domain.message import MessageKind, MessageState
from trading_ops.errors import ConfigError
from trading_ops.notify.channels import FILE, load_channels
from trading_ops.notify.config import load_notify

WAIT_SECONDS = 45.0
"""Seconds for a test message; a mail server that does not answer takes 15 s per attempt."""

ASK_AGAIN_SECONDS = 0.3


@click.group()
def notify() -> None:
    """Notifications that do not page: recovery reports, approvals, maintenance, summaries."""


@notify.command()
@click.option(
    "--channel", metavar="NAME", help="Only this channel. Default: the channels of the routes."
)
@owner_option
@click.pass_context
def test(context: click.Context, channel: str | None, owner: str) -> None:
    """Send a test message and wait until it is delivered or fails.

    Exits with 1 unless every channel accepted it.
    """

    async def send(api: ReconcilerApi) -> list[MessageView]:
        keys = await api.test_message(channel=channel, owner=owner)
        return [await _end_of(api, key) for key in keys]

    found = ask(send)
    for message in found:
        error = f": {message.error}" if message.error else ""
        click.echo(
            plain(f"{message.channel}: {message.state} after attempt {message.attempts}{error}")
        )
    if not found:
        click.echo("no route matches test messages: give --channel NAME")
    if not found or any(message.state != MessageState.SENT for message in found):
        context.exit(ExitCode.FAILED)


async def _end_of(api: ReconcilerApi, key: str) -> MessageView:
    found = await api.message(key)
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while found.state != MessageState.SENT and not found.error:
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(ASK_AGAIN_SECONDS)
        found = await api.message(key)
    return found


@notify.command()
@click.option("--state", type=click.Choice([state.value for state in MessageState]))
@click.option("--kind", type=click.Choice([kind.value for kind in MessageKind]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@output_option
def outbox(state: str | None, kind: str | None, limit: int, output: str) -> None:
    """List messages, newest first."""
    given = {"state": state, "kind": kind, "limit": str(limit)}
    filters = {name: value for name, value in given.items() if value is not None}
    found = ask(lambda api: api.messages(**filters))
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = Table()
    for column in ("id", "created", "channel", "kind", "state", "tries", "subject", "error"):
        table.add_column(column)
    for message in found:
        created, tries = moment(message.created_at), str(message.attempts)
        cells = (message.id[:8], created, message.channel, message.kind, message.state, tries)
        table.add_row(*map(plain, (*cells, message.subject, message.error)))
    out().print(table if found else "no messages")


@notify.command()
@click.argument("key", metavar="[ID]", required=False)
@click.option("--all", "every", is_flag=True, help="Retry every dead message.")
@owner_option
def retry(*, key: str | None, every: bool, owner: str) -> None:
    """Retry the message ID, if it is waiting or dead, or all dead ones.

    The first letters of the ID are enough.
    """
    if bool(key) == every:
        raise click.UsageError("give either the ID of a message or --all")
    if not key:
        count = ask(lambda api: api.retry_dead_messages(owner=owner))
        click.echo(f"{count} dead messages will be retried" if count else "no message is dead")
        return
    found = ask(lambda api: api.change_message(key, "retry", owner=owner))
    click.echo(plain(f"message {found.id[:8]} for {found.channel} will be retried"))


@notify.command()
@id_argument
@owner_option
def discard(key: str, owner: str) -> None:
    """Discard the message ID: it is not delivered and raises no alert."""
    found = ask(lambda api: api.change_message(key, "discard", owner=owner))
    click.echo(plain(f"message {found.id[:8]} for {found.channel} is discarded"))


@notify.command()
def check() -> None:
    """Check notify.yml and the file with the channels' URLs."""
    settings = load_settings()
    config = load_notify(settings.notify_config)
    if config is None:
        click.echo(f"messages are off: {settings.notify_config} does not exist")
        return
    path = settings.secrets / FILE
    channels = load_channels(path)
    if missing := sorted(set(config.channels) - set(channels)):
        problem, fix = f"missing URL for {', '.join(missing)}", "add a line NAME URL"
        raise ConfigError(str(path), "", problem, fix)
    routes = len(config.routes)
    click.echo(f"{routes} routes to {len(config.channels)} channels: {', '.join(config.channels)}")

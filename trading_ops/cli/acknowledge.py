"""`ack`, `snooze`, `unack` and `resolve`: on-call's commands for an incident."""

import click

from trading_ops.cli.console import id_argument
from trading_ops.cli.reconciler_connection import ask, owner_option, reason_option
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.reconciler_views import AcknowledgementView

note_option = click.option(
    "--note", default="", help="Why, or what you will do; stored in the audit log."
)


@click.command()
@id_argument
@note_option
@owner_option
def acknowledge(key: str, note: str, owner: str) -> None:
    """Acknowledge an incident: no more pages about it, and no automatic steps.

    It is yours until it closes, until you `unack` it, or until another operator takes over by
    acknowledging it too. The first letters of its ID are enough.
    """
    found = ask(lambda api: api.acknowledge(key, owner=owner, note=note))
    _print(found, f"acknowledged by {found.owner} until it closes or is unacknowledged")


@click.command()
@id_argument
@click.option(
    "--for",
    "length",
    required=True,
    type=Duration("24h"),
    help="How long, for example 30m or 2h; at most 24h.",
)
@note_option
@owner_option
def snooze(key: str, length: Length, note: str, owner: str) -> None:
    """Snooze an incident; if it still fires afterwards, on-call is paged again."""
    found = ask(lambda api: api.acknowledge(key, owner=owner, note=note, seconds=length.seconds))
    _print(found, f"on-call is paged again at {moment(found.until)} if it still fires")


@click.command()
@id_argument
@owner_option
def unack(key: str, owner: str) -> None:
    """Remove an acknowledgement: paging and automation continue."""
    found = ask(lambda api: api.unacknowledge(key, owner=owner))
    _print(
        found,
        "no longer acknowledged; secondary on-call is paged in 15 minutes unless acknowledged",
    )


@click.command()
@id_argument
@reason_option
@owner_option
def resolve(key: str, reason: str, owner: str) -> None:
    """Close an incident whose alert no longer fires.

    Refused while the alert is pending or firing in Prometheus, and while an attempt is running.
    """
    resolved = ask(lambda api: api.resolve(key, owner=owner, reason=reason))
    click.echo(f"incident {resolved[:8]}: closed; a new one opens if the alert fires again")


def _print(found: AcknowledgementView, text: str) -> None:
    click.echo(f"incident {found.incident_id[:8]}: {text}")
    if found.trouble is not None:
        click.echo(f"Alertmanager could not be updated yet, retrying: {found.trouble}", err=True)

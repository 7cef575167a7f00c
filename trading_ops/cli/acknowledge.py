"""`ack`, `snooze` and `unack`: say whose an incident is."""

import click

from trading_ops.cli.console import id_argument
from trading_ops.cli.duration import Duration, Length
from trading_ops.cli.ordering import order, owner_option
from trading_ops.cli.times import moment
from trading_ops.clients.reconciler_views import AcknowledgementView

note_option = click.option("--note", default="", help="Why, or what you will do; it is stored.")


@click.command()
@id_argument
@note_option
@owner_option
def acknowledge(key: str, note: str, owner: str) -> None:
    """Take an incident: no more pages about it, and no automatic steps.

    It is yours until it ends, until you give it back, or until somebody takes it over by
    acknowledging it too. The first letters of its ID are enough.
    """
    word = order(lambda api: api.acknowledge(key, owner=owner, note=note))
    _say(word, f"it is {word.owner}'s until it ends or is given back")


@click.command()
@id_argument
@click.option(
    "--for",
    "length",
    required=True,
    type=Duration("24h"),
    help="How long, as 30m or 2h; at most 24h.",
)
@note_option
@owner_option
def snooze(key: str, length: Length, note: str, owner: str) -> None:
    """Be left alone by an incident for a while; if it still fires then, people are told again."""
    word = order(lambda api: api.acknowledge(key, owner=owner, note=note, seconds=length.seconds))
    _say(word, f"people are told again at {moment(word.until)} if it still fires")


@click.command()
@id_argument
@owner_option
def withdraw(key: str, owner: str) -> None:
    """Give an incident back: it is nobody's, and is handled as before."""
    word = order(lambda api: api.withdraw(key, owner=owner))
    _say(word, "it is nobody's now; the second line is called if nobody takes it in 15 minutes")


def _say(word: AcknowledgementView, what: str) -> None:
    click.echo(f"incident {word.incident_id[:8]}: {what}")
    if word.trouble is not None:
        click.echo(f"Alertmanager does not know yet, it is tried again: {word.trouble}", err=True)

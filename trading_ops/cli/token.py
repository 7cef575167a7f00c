"""`token`: manages API tokens, by editing the file: anyone who can write it is an admin."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from trading_ops import clock
from trading_ops.api.auth import (
    FILE,
    TOKEN_ROLES,
    TOKENS_A_NAME,
    Identity,
    Role,
    TokenEntry,
    check_name,
    digest_of,
    load,
    mint,
    save,
)
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind
from trading_ops.errors import ConfigError, SetupError


@click.group()
def token() -> None:
    """Add, list and revoke API tokens; rotate agents' tokens."""


@token.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([str(role) for role in TOKEN_ROLES]))
@click.option(
    "--expires", type=Duration(), help="Lifetime, for example 90d. Default: never expires."
)
def add(name: str, role: str, expires: Length | None) -> None:
    """Create a token for NAME and print it once; only its hash is stored.

    To rotate: add a second token for the same NAME, deploy it, then `token revoke NAME --old`.
    """
    check_name(name, "trading-ops token add", "NAME")
    path, now = _path(), clock.now()
    kept = [token for token in load(path) if token.identity.name != name or token.is_valid(now)]
    own = [token for token in kept if token.identity.name == name]
    if len(own) >= TOKENS_A_NAME:
        raise SetupError(f"{name} has two tokens: `trading-ops token revoke {name} --old` first")
    if own and own[0].identity.role != role:
        raise SetupError(
            f"{name} has the role {own[0].identity.role}: revoke it first, or use another name"
        )
    made = mint()
    entry = TokenEntry(
        identity=Identity(name, Role(role)),
        digest=digest_of(made),
        expires_at=_end(expires, now),
    )
    save(path, [*kept, entry])
    click.echo(made)
    click.echo(
        "It is shown only once. It takes effect within a second, without a restart.", err=True
    )


@token.command(name="list")
@output_option
def show(output: str) -> None:
    """List tokens with name, role and expiry; never the tokens themselves."""
    now = clock.now()
    found = [
        {
            "name": token.identity.name,
            "role": str(token.identity.role),
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            "valid": token.is_valid(now),
            "hash": token.digest[:12],
        }
        for token in load(_path())
    ]
    if output == "json":
        print_json(found)
        return
    for token in found:
        until = token["expires_at"]
        end = f"until {moment(datetime.fromisoformat(str(until)))}" if until else "never expires"
        state = "" if token["valid"] else "  EXPIRED"
        click.echo(f"{token['name']:<20} {token['role']:<9} {token['hash']}  {end}{state}")
    if not found:
        click.echo("no tokens: trading-ops token add NAME --role viewer")


@token.command()
@click.argument("bot")
@click.pass_context
def rotate(context: click.Context, bot: str) -> None:
    """Rotate the token of BOT's agent.

    Agent and reconciler switch without a restart, and no request is refused meanwhile. Exits with
    1 when the agent has not confirmed it.
    """
    from trading_ops.clients.secrets import rotate_token as replace  # noqa: PLC0415

    settings = load_settings()
    target = load_targets(settings.targets_file).find(bot)
    if target is None or target.kind is not Kind.BOT:
        raise SetupError(f"no bot {bot!r} with an agent in targets.yml")
    path = agent_token_file(settings, target).path
    if asyncio.run(replace(settings, target)):
        click.echo(f"{bot} has a new token, in {path}")
        return
    click.echo(
        f"{path} has a new token, but {bot} has not accepted it. Fix: start the bot if it is "
        "down, restart it if it runs an older version, or copy the file to its host",
        err=True,
    )
    context.exit(ExitCode.FAILED)


@token.command()
@click.argument("name")
@click.option("--old", is_flag=True, help="Only the older of two tokens.")
def revoke(name: str, *, old: bool) -> None:
    """Revoke the tokens of NAME, within a second."""
    path = _path()
    entries = load(path)
    own = [token for token in entries if token.identity.name == name]
    if not own:
        raise SetupError(f"{name} has no token: see `trading-ops token list`")
    if old and len(own) < TOKENS_A_NAME:
        raise SetupError(f"{name} has only one token: revoke it without --old")
    gone = own[:1] if old else own
    save(path, _without(entries, gone))
    click.echo(f"{len(gone)} tokens of {name} revoked")


def _without(entries: Sequence[TokenEntry], gone: Sequence[TokenEntry]) -> list[TokenEntry]:
    return [token for token in entries if token not in gone]


def _path() -> Path:
    return load_settings().secrets / FILE


def _end(length: Length | None, now: datetime) -> datetime | None:
    if length is None:
        return None
    try:
        return (now + length.span).replace(microsecond=0)
    except OverflowError as error:
        fix = "use a shorter --expires, or omit it for a token that never expires"
        raise ConfigError("--expires", "", f"{length.typed} is too long", fix) from error

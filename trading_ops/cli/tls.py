"""`tls`: a CA and certificates for listeners that other machines reach."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trading_ops import clock
from trading_ops.cli.console import output_option, print_json
from trading_ops.clients.http import OPERATOR
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import NAME, load_targets, split_address
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from trading_ops.tls.authority import Authority

CALLERS = frozenset({Kind.RECONCILER, Kind.PROMETHEUS, Kind.ALERTMANAGER})
"""Kinds of targets that connect to others and always need a certificate."""

LIFETIME_DAYS = 397
RENEW_DAYS = 30
CA = "ca"

lifetime_option = click.option(
    "--days",
    default=LIFETIME_DAYS,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Lifetime of the certificates.",
)


@click.group()
def tls() -> None:
    """Create, renew and list certificates."""


@tls.command()
@lifetime_option
def init(days: int) -> None:
    """Create a CA, and a certificate for each target with TLS, its clients and the operator.

    Existing certificates are kept. One is reissued when its target's address has changed.
    """
    from trading_ops.tls.authority import Authority, issued  # noqa: PLC0415 - cryptography is heavy

    folder, registry = _place()
    try:
        authority = Authority(folder)
        there = {certificate.name: certificate for certificate in issued(folder)}
        for name, hosts, calls in wanted(registry):
            found = there.get(name)
            key = folder / f"{name}.key"
            if found and key.exists() and set(hosts) <= set(found.hosts) and found.calls == calls:
                continue
            _issue(authority, name, hosts, calls=calls, days=days)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror or error}") from error
    click.echo(f"The certificates are in {folder}. Copy to each host: ca.crt, NAME.crt, NAME.key.")
    click.echo("Keep ca.key on one machine only: it can sign certificates.")


@tls.command()
@click.argument("name")
@click.argument("hosts", nargs=-1, required=True)
@lifetime_option
def issue(name: str, hosts: Sequence[str], days: int) -> None:
    """Create a certificate for a server that is not a target, such as PostgreSQL.

    HOSTS are the names and IP addresses by which clients reach it.
    """
    from trading_ops.tls.authority import Authority  # noqa: PLC0415

    folder, registry = _place()
    if not NAME.fullmatch(name) or name == CA:
        raise ConfigError(
            "NAME", "", f"{name!r} is not valid as a name", "use lower-case letters, digits, -"
        )
    if name in {of_target for of_target, _, _ in wanted(registry)}:
        fix = "choose another name; `trading-ops tls init` issues those of targets"
        raise ConfigError("NAME", "", f"{name} is the certificate of a target", fix)
    try:
        _issue(Authority(folder), name, tuple(hosts), calls=False, days=days)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror or error}") from error


@tls.command()
@click.argument("names", nargs=-1)
@lifetime_option
@click.option(
    "--within",
    default=RENEW_DAYS,
    show_default=True,
    help="Without NAMES: renew certificates that expire within this many days.",
)
def renew(names: Sequence[str], days: int, within: int) -> None:
    """Reissue certificates; running processes pick them up without a restart."""
    from trading_ops.tls.authority import Authority, issued  # noqa: PLC0415

    folder, _ = _place()
    there = {
        certificate.name: certificate for certificate in issued(folder) if certificate.name != CA
    }
    unknown = sorted(set(names) - set(there))
    if unknown:
        fix = f"use one of {', '.join(there) or 'none yet: run `trading-ops tls init`'}"
        raise ConfigError(str(folder), unknown[0], "unknown certificate", fix)
    before = clock.now() + timedelta(days=within)
    due = names or [name for name, certificate in there.items() if certificate.expires_at < before]
    try:
        authority = Authority(folder) if due else None
        for name in due:
            if authority:
                certificate = there[name]
                _issue(authority, name, certificate.hosts, calls=certificate.calls, days=days)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror or error}") from error
    if not due:
        click.echo(f"No certificate expires within {within} days.")


@tls.command()
@output_option
def show(output: str) -> None:
    """List the certificates with their hosts and expiry."""
    from trading_ops.tls.authority import issued  # noqa: PLC0415

    folder, _ = _place()
    found = issued(folder)
    if output == "json":
        print_json(
            [
                {
                    "name": certificate.name,
                    "hosts": list(certificate.hosts),
                    "expires_at": certificate.expires_at.isoformat(),
                    "client": certificate.calls,
                }
                for certificate in found
            ]
        )
        return
    if not found:
        click.echo(f"no certificates in {folder}: run `trading-ops tls init`")
    for certificate in found:
        left = (certificate.expires_at - clock.now()).days
        state = f"expires in {left} days" if left >= 0 else "EXPIRED"
        hosts = f"  {', '.join(certificate.hosts)}" if certificate.hosts else ""
        click.echo(f"{certificate.name:<24} {certificate.expires_at:%Y-%m-%d}  {state}{hosts}")


def wanted(registry: Registry) -> Iterable[tuple[str, tuple[str, ...], bool]]:
    """Yield name, hosts and whether it is a client, for each certificate that is needed."""
    for target in registry:
        if target.tls or target.kind in CALLERS:
            host, _ = split_address(target.address)
            yield target.name, (host,), target.kind in CALLERS
    yield OPERATOR, (), True


def _issue(
    authority: "Authority", name: str, hosts: tuple[str, ...], *, calls: bool, days: int
) -> None:
    from trading_ops.tls.authority import Wanted  # noqa: PLC0415

    authority.issue(Wanted(name, hosts, calls), timedelta(days=days))
    click.echo(f"{name}: issued for {days} days")


def _place() -> tuple[Path, Registry]:
    settings = load_settings()
    return settings.tls, load_targets(settings.targets_file)

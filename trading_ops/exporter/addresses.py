"""`host:port` as a configuration has it."""

import ipaddress
from urllib.parse import urlsplit

from trading_ops.errors import ConfigError

LARGEST_PORT = 65_535


def host_and_port(address: str) -> tuple[str, int]:
    """Take `host:port` apart; an IPv6 address stands in brackets.

    Raises:
        ValueError: it has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= LARGEST_PORT:
        raise ValueError(f"invalid address {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_listening(address: str, where: str, *, beyond_this_host: bool) -> None:
    """Refuse an address that other machines reach, unless that is meant.

    Raises:
        ConfigError: it is one, or it is no address at all.
    """
    try:
        host, _ = host_and_port(address)
    except ValueError as error:
        raise ConfigError(where, "address", str(error), "write 127.0.0.1:PORT") from error
    if not beyond_this_host and not is_loopback(host):
        raise ConfigError(
            where,
            "address",
            f"{address} can be reached from other machines",
            "write 127.0.0.1:PORT, or name a `tls_folder` (docs/security.md)",
        )


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: who knows where it leads


def is_private(url: str) -> bool:
    """Say whether nobody on the way can read what is sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )

"""`host:port` addresses in the configuration."""

import ipaddress
from urllib.parse import urlsplit

from trading_ops.errors import ConfigError

LARGEST_PORT = 65_535


def host_and_port(address: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 address is in brackets.

    Raises:
        ValueError: invalid format.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= LARGEST_PORT:
        raise ValueError(f"invalid address {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_listening(address: str, where: str, *, beyond_this_host: bool) -> None:
    """Refuse an address that other machines can reach, unless that is intended.

    Raises:
        ConfigError: other machines can reach it, or it is not an address.
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
    """Return whether only this machine reaches the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name can resolve to any address


def is_private(url: str) -> bool:
    """Return whether the traffic to it stays on this machine or is encrypted."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )

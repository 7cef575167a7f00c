"""The connection string, read from a file and never shown in errors."""

import ipaddress
import socket
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from trading_ops.errors import ClientError
from trading_ops.exporter.thread import OneAtATime
from trading_ops.redaction import known

EXAMPLE = "host=127.0.0.1 port=5432 dbname=bot user=ops_exporter password=…"


def read_dsn(path: Path) -> dict[str, str]:
    """Return the connection parameters in a file, which is read again for each connection.

    Raises:
        ClientError: it cannot be read, or is not a connection string to one host. The message of
            libpq is not repeated, because it may quote the password.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ClientError(f"{path} cannot be read: {reason}") from error
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(text).items() if value}
    except ProgrammingError:
        found = {}
    if not found:
        raise ClientError(f"{path} contains no connection string; write {EXAMPLE}")
    if any("," in found.get(key, "") for key in ("host", "hostaddr", "port")):
        raise ClientError(f"{path} names several hosts: each server needs its own entry")
    known(found.get("password", ""))
    return found


class Resolver:
    """Resolves a host name in its own thread: a dead name server blocks the lookup."""

    def __init__(self, name: str) -> None:
        self._thread = OneAtATime[str](name)

    async def resolve(self, dsn: dict[str, str]) -> dict[str, str]:
        """Return the parameters with the host's address.

        Raises:
            ClientError: the name cannot be resolved.
        """
        host = dsn.get("host", "")
        if "hostaddr" in dsn or not host or host.startswith(("/", "@")) or _is_address(host):
            return dsn
        try:
            address = await self._thread.do(lambda: _address_of(host))
        except OSError as error:
            raise ClientError(f"the host {host!r} is not known: {error.strerror}") from error
        return dsn | {"hostaddr": address}


def _address_of(host: str) -> str:
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

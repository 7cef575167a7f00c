"""Who listens: before a token goes to a port of this machine, the listener's user is looked up.

A port above 1024 that is free for a moment can be taken by any local user, and a bearer token
proves nothing about who receives it. The kernel says which user owns a listening socket; that is
asked once for each connection, after it was made and before anything is sent. See decision 9.
"""

import contextlib
import ipaddress
import os
import pwd
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

import aiohttp
from aiohttp.connector import Connection
from aiohttp.hdrs import AUTHORIZATION

from trading_ops import clock
from trading_ops.tls.contexts import Contexts
from trading_ops.tls.expiry import OnCertificate

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

ANYBODY = "any"
SETTING = "listener_users"
IN_QUERY = "token"

GONE = "nobody listens there any more"
"""How a refusal ends when the listener was closed after it had taken the connection."""

_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTENING = "0A"
_MAPPED = "0000000000000000FFFF0000"
"""Before an IPv4 address, as the kernel spells it in the table of IPv6."""


class Impostor(aiohttp.ClientError):
    """The listener belongs to a user that no token is sent to."""


def trusted_users(listener_users: str) -> frozenset[int] | None:
    """Return the ids of the users that may receive a token; None: it is not checked.

    A name that no user has trusts nobody, so a mistake in it keeps no halt from other bots.

    Args:
        listener_users: names or ids, separated by commas, beside root and our own; or `any`.
    """
    if listener_users.strip() == ANYBODY:
        return None
    trusted = {0, os.geteuid()}
    for part in listener_users.split(","):
        name = part.strip()
        if name.isdecimal():
            trusted.add(int(name))
        elif name:
            with contextlib.suppress(KeyError):
                trusted.add(pwd.getpwnam(name).pw_uid)
    return frozenset(trusted)


def owners(address: str, port: int) -> frozenset[int] | None:
    """Return the users that own the listener which the kernel chooses for an address and port.

    Empty: nobody listens there; None: this system does not say.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    exact = _spelt(ip)
    anywhere = "0" * len(exact)
    # The one with the address itself is chosen before one that listens everywhere.
    wanted = ([exact, _MAPPED + exact], [anywhere], ["0" * 32])
    try:
        rows = [row for table in _TABLES if table.exists() for row in _listening(table, port)]
    except OSError:
        return None
    if not any(table.exists() for table in _TABLES):
        return None
    for spellings in wanted:
        if found := frozenset(user for local, user in rows if local in spellings):
            return found
    return frozenset()


def _spelt(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as the kernel prints it: words of four bytes in the machine's order."""
    packed = ip.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _listening(table: Path, port: int) -> Iterator[tuple[str, int]]:
    """Yield address and user of the listeners on a port."""
    with table.open(encoding="ascii") as file:
        next(file, None)
        for line in file:
            fields = line.split()
            if fields[3] != _LISTENING:
                return  # listeners come first, and there may be very many connections
            local, _, at = fields[1].partition(":")
            if int(at, 16) == port:
                yield local, int(fields[7])


class KnownListeners(aiohttp.TCPConnector):
    """Connections that take a token only to listeners of users that are trusted with it."""

    secured_seconds = 600.0
    """After so long a connection over TLS is made again: a renewed certificate is seen, and one
    that has expired is refused."""

    def __init__(
        self,
        trusted: frozenset[int] | None,
        *,
        on_impostor: Callable[[str], None] = lambda _why: None,
        force_close: bool = False,
        tls: Contexts | None = None,
        on_certificate: OnCertificate = lambda _address, _expiry: None,
    ) -> None:
        """Take the answer of `trusted_users`, and what is told of each refused connection.

        `force_close` keeps no connection for the next request. `tls` are the contexts for requests
        to our own processes. `on_certificate` is told of each certificate that was accepted.
        """
        super().__init__(force_close=force_close)
        self.tls = tls
        self._on_certificate = on_certificate
        self._secured_at: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        self._trusted = trusted
        self._on_impostor = on_impostor
        self._checked: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: "ClientTimeout",  # noqa: ASYNC109 - the library's own signature
    ) -> Connection:
        """Return a connection whose listener was checked, if the request takes a token.

        Raises:
            Impostor: the listener is another user's; nothing was sent.
        """
        connection = await super().connect(req, traces, timeout)
        while req.is_ssl() and self._is_old(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        if protocol is not None and req.is_ssl() and protocol not in self._secured_at:
            self._secured_at[protocol] = clock.boottime()
            self._note_certificate(req, connection)
        if self._trusted is None or not _is_secret(req) or protocol is None:
            return connection
        if protocol not in self._checked:
            if why := self._refusal(connection, self._trusted):
                connection.close()
                if not why.endswith(GONE):  # a process that ends closes its listener first
                    self._on_impostor(why)
                raise Impostor(why)
            self._checked.add(protocol)
        return connection

    def _is_old(self, connection: Connection) -> bool:
        """Whether a kept connection was secured so long ago that certificates may have changed."""
        protocol = connection.protocol
        secured_at = self._secured_at.get(protocol) if protocol is not None else None
        return secured_at is not None and clock.boottime() - secured_at > self.secured_seconds

    def _note_certificate(self, req: "ClientRequest", connection: Connection) -> None:
        transport = connection.transport
        shown = transport.get_extra_info("peercert") if transport else None
        if isinstance(shown, dict) and "notAfter" in shown:
            expiry = ssl.cert_time_to_seconds(shown["notAfter"])
            self._on_certificate(f"{req.url.host}:{req.url.port}", float(expiry))

    def _refusal(self, connection: Connection, trusted: frozenset[int]) -> str:
        """Return why no token may be sent over a connection, or nothing."""
        transport = connection.transport
        # Kept since the connection was made: a socket that was reset has no other end any more.
        peer = transport.get_extra_info("peername") if transport else None
        return refusal(peer[0], peer[1], trusted) if isinstance(peer, tuple) else ""


def _is_secret(req: "ClientRequest") -> bool:
    """Say whether a request proves who we are, by a header or as Freqtrade's WebSocket takes it."""
    return AUTHORIZATION in req.headers or IN_QUERY in req.url.query


def refusal(address: str, port: int, trusted: frozenset[int] | None) -> str:
    """Return why no token may be sent to a listener, or nothing.

    Args:
        address: of the listener, as of a connection's other end.
        port: of the listener.
        trusted: the answer of `trusted_users`.
    """
    if trusted is None or not ipaddress.ip_address(address).is_loopback:
        return ""
    found = owners(address, port)
    if found is None or (found and found <= trusted):
        return ""
    where = f"{address}:{port}"
    if not found:
        return f"no token was sent to {where}: {GONE}"
    who = " and ".join(str(user) for user in sorted(found - trusted))
    return (
        f"no token was sent: the listener on {where} belongs to user {who}, which is "
        f"neither this user nor root. Fix: find out who took the port (`ss -ltnpe`), or name the "
        f"user in `{SETTING}` in settings.yml (of an exporter that runs alone: in exporter.yml)"
    )

"""Checks the user of a local listener before a token is sent to it.

Any local user can listen on a free port above 1024, and would then receive our bearer tokens.
Therefore, once per connection, after it is established and before anything is sent, the owner of
the listening socket is read from the kernel. See decision 9.
"""

import asyncio
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

GONE = "the listener was closed"
"""End of the refusal when the listener was closed after it accepted the connection."""

_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTENING = " 0A "
"""The state in a row; no other column has two digits."""

_MAPPED = "0000000000000000FFFF0000"
"""Prefix of IPv4 addresses in the kernel's IPv6 table."""


class UntrustedListener(aiohttp.ClientError):
    """The listener belongs to an untrusted user; no token is sent."""


def trusted_users(listener_users: str) -> frozenset[int] | None:
    """Return the ids of the users that may receive a token; None: do not check.

    An unknown name trusts no one, so a typo does not block halts of other bots.

    Args:
        listener_users: names or ids, separated by commas, besides root and our own; or `any`.
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
    """Return the users that own the listener for an address and port.

    Empty: no listener; None: not supported by this system.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    exact = _kernel_form(ip)
    anywhere = "0" * len(exact)
    # The kernel prefers a listener on the exact address to one on all addresses.
    wanted = ([exact, _MAPPED + exact], [anywhere], ["0" * 32])
    try:
        rows = [row for table in _TABLES if table.exists() for row in _listening(table, port)]
    except OSError:
        return None
    if not any(table.exists() for table in _TABLES):
        return None
    for forms in wanted:
        if found := frozenset(user for local, user in rows if local in forms):
            return found
    return frozenset()


def _kernel_form(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as the kernel prints it: four-byte words in host byte order."""
    packed = ip.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _listening(table: Path, port: int) -> Iterator[tuple[str, int]]:
    """Yield address and user of the listeners on a port."""
    wanted = f":{port:04X} "
    with table.open(encoding="ascii") as file:
        next(file, None)
        for line in file:
            if _LISTENING not in line:
                return  # listeners come first, and there may be many connections
            if wanted in line:
                fields = line.split()
                local, _, at = fields[1].partition(":")
                if int(at, 16) == port:
                    yield local, int(fields[7])


class KnownListeners(aiohttp.TCPConnector):
    """A connector that sends tokens only to listeners of trusted users."""

    secured_seconds = 600.0
    """Maximum age of a TLS connection in seconds, so that certificates are checked again."""

    def __init__(
        self,
        trusted: frozenset[int] | None,
        *,
        on_impostor: Callable[[str], None] = lambda _why: None,
        force_close: bool = False,
        tls: Contexts | None = None,
        on_certificate: OnCertificate = lambda _address, _expiry: None,
    ) -> None:
        """Set the result of `trusted_users`, and a callback for refused connections.

        `force_close` disables keep-alive. `tls` has the contexts for requests to our own processes.
        `on_certificate` is called with each accepted certificate.
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
        """Return a connection; its listener is checked if the request carries a token.

        Raises:
            Impostor: the listener belongs to another user; nothing was sent.
        """
        connection = await super().connect(req, traces, timeout)
        while req.is_ssl() and self._is_old(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        if protocol is not None and req.is_ssl() and protocol not in self._secured_at:
            self._secured_at[protocol] = clock.boottime()
            self._note_certificate(connection.transport, f"{req.url.host}:{req.url.port}")
        if self._trusted is None or not _is_secret(req) or protocol is None:
            return connection
        if protocol not in self._checked:
            try:
                self._check_listener(connection.transport)
            except UntrustedListener:
                connection.close()
                raise
            self._checked.add(protocol)
        return connection

    def vouch(self, transport: asyncio.Transport, address: str) -> None:
        """Apply the same checks to a new connection that this connector did not make.

        Raises:
            Impostor: the listener belongs to another user; send nothing.
        """
        self._note_certificate(transport, address)
        self._check_listener(transport)

    def _is_old(self, connection: Connection) -> bool:
        """Return whether a TLS connection is so old that certificates may have changed."""
        protocol = connection.protocol
        secured_at = self._secured_at.get(protocol) if protocol is not None else None
        return secured_at is not None and clock.boottime() - secured_at > self.secured_seconds

    def _note_certificate(self, transport: asyncio.Transport | None, address: str) -> None:
        certificate = transport.get_extra_info("peercert") if transport else None
        if isinstance(certificate, dict) and "notAfter" in certificate:
            self._on_certificate(address, float(ssl.cert_time_to_seconds(certificate["notAfter"])))

    def _check_listener(self, transport: asyncio.Transport | None) -> None:
        # Stored at connection time: a socket that was reset has no peer address.
        peer = transport.get_extra_info("peername") if transport else None
        why = refusal(peer[0], peer[1], self._trusted) if isinstance(peer, tuple) else ""
        if not why:
            return
        if not why.endswith(GONE):  # a process that exits closes its listener first
            self._on_impostor(why)
        raise UntrustedListener(why)


def _is_secret(req: "ClientRequest") -> bool:
    """Return whether a request has credentials, in a header or in Freqtrade's WebSocket URL."""
    return AUTHORIZATION in req.headers or IN_QUERY in req.url.query


def refusal(address: str, port: int, trusted: frozenset[int] | None) -> str:
    """Return why no token may be sent to a listener; empty: it may.

    Args:
        address: of the listener: the peer address of a connection.
        port: of the listener.
        trusted: the result of `trusted_users`.
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
        f"neither this user nor root. Fix: find the process on the port (`ss -ltnpe`), or add the "
        f"user to `{SETTING}` in settings.yml (for a standalone exporter: exporter.yml)"
    )

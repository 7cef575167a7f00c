"""Checks of every console request: host names, origins, headers, failed logins."""

import ipaddress
import math
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from trading_ops import clock

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every response."""

FAILURES, FAILURES_SECONDS = 10, 60.0
"""Maximum failed logins of an address within this time; further ones are rejected until it is
over."""

PEERS = 1000
"""Maximum number of addresses whose failed logins are remembered."""


def is_own_host(host: str, allowed: Collection[str]) -> bool:
    """Return whether the Host header names this console: a loopback address or an allowed name.

    This rejects DNS rebinding: another site's name that resolves to this address.

    Args:
        host: the header, with or without a port.
        allowed: names in lower case.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name in allowed:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_foreign(request: web.Request) -> bool:
    """Return whether the browser marks the request as coming from another site."""
    origin = request.headers.get("Origin")
    if origin is not None:
        try:
            sender = urlsplit(origin).netloc
        except ValueError:
            return True
        if not sender or sender != request.headers.get("Host"):
            return True
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}


def is_secure(request: web.Request) -> bool:
    """Return whether the browser used TLS, to us or to a proxy in front of us."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"


class FailedLogins:
    """Counts failed logins by address."""

    def __init__(self) -> None:
        self._failed: dict[str, list[float]] = {}

    def wait(self, peer: str) -> int:
        """Return for how many seconds logins of this address are rejected; 0: allowed now."""
        failed = self._recent(peer)
        if len(failed) < FAILURES:
            return 0
        return math.ceil(failed[0] + FAILURES_SECONDS - clock.monotonic())

    def note(self, peer: str) -> None:
        """Count a failed login."""
        failed = [*self._recent(peer), clock.monotonic()]
        self._failed.pop(peer, None)
        while len(self._failed) >= PEERS:
            del self._failed[next(iter(self._failed))]
        self._failed[peer] = failed[-FAILURES:]

    def _recent(self, peer: str) -> list[float]:
        begin = clock.monotonic() - FAILURES_SECONDS
        return [at for at in self._failed.get(peer, ()) if at > begin]

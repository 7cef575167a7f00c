"""HTTP requests with a deadline, no redirects and two kinds of error, and their sessions."""

import base64
import errno
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from trading_ops import clock
from trading_ops.config.settings import Settings
from trading_ops.errors import ClientError, ConfigError, Cut, NotListening, Refused, Unreachable
from trading_ops.listener import KnownListeners, trusted_users
from trading_ops.tls.contexts import Contexts, TlsFiles, calling
from trading_ops.tls.expiry import OnCertificate

BODY_LIMIT_BYTES = 64 * 1024 * 1024
HEARTBEAT_SECONDS = 20.0


@dataclass(frozen=True)
class HttpResponse:
    """A response of any status."""

    status: int
    body: bytes


class Http:
    """Requests to one base address, over a session that the caller owns."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        *,
        token: str = "",
        basic: str = "",
        within: timedelta = timedelta(seconds=5),
        on_request: Callable[[], None] = lambda: None,
        on_date: Callable[[float, float, float], None] | None = None,
        tls: Contexts | None = None,
    ) -> None:
        """Set the address, a token or `user:password` (HTTP Basic), and a request counter.

        `tls` are the contexts for https; by default those of the session.

        `on_date` is called for each answer with a `Date` header: with its value in seconds since
        the epoch, and the monotonic times of request and answer.
        """
        self._session = session
        self._base = base
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if basic:
            encoded = base64.b64encode(basic.encode()).decode("ascii")
            self._headers = {"Authorization": f"Basic {encoded}"}
        self._within = within
        self._on_request = on_request
        self._on_date = on_date
        connector = session.connector
        if tls is None and isinstance(connector, KnownListeners):
            tls = connector.tls
        self._tls = tls if base.startswith("https://") else None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        within: timedelta | None = None,
    ) -> HttpResponse:
        """Return the answer with its status.

        Raises:
            Cut: the connection was accepted and closed without an answer.
            NotListening: the connection was refused.
            Unreachable: no answer within the deadline.
        """
        self._on_request()
        limit = aiohttp.ClientTimeout(total=(within or self._within).total_seconds())
        sent_at = clock.boottime()
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=params,
                json=json,
                headers=self._headers,
                timeout=limit,
                allow_redirects=False,
                ssl=self._context(),
            ) as response:
                self._note_date(response.headers.get("Date"), sent_at)
                return HttpResponse(response.status, await _whole(response.content))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise kind_of(error)(f"{method} {self._base}{path}: {why(error)}") from error

    def _context(self) -> ssl.SSLContext | bool:
        if self._tls is None:
            return True
        try:
            return self._tls()
        except ConfigError as error:
            raise Unreachable(f"{self._base}: {error}") from error

    def _note_date(self, date: str | None, sent_at: float) -> None:
        if self._on_date is None or date is None:
            return
        try:
            server_time = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return  # invalid date
        self._on_date(server_time, sent_at, clock.boottime())

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        within: timedelta | None = None,
    ) -> bytes:
        """Return the body of a 200.

        Raises:
            Unreachable: no answer, or a server error (5xx).
            Refused: any other status.
        """
        answer = await self.ask("GET", path, params=params, within=within)
        if answer.status >= 500:  # noqa: PLR2004 - the class of server errors
            raise Unreachable(f"GET {self._base}{path}: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            text = answer.body[:200].decode(errors="replace")
            raise Refused(f"GET {self._base}{path}: HTTP {answer.status}: {text}")
        return answer.body

    async def messages(self, path: str, *, params: Mapping[str, str]) -> AsyncIterator[str]:
        """Yield the text messages of a WebSocket until it ends.

        Raises:
            Unreachable: it could not be opened, or the peer closed it.
        """
        url = self._base + path
        try:
            async with self._session.ws_connect(
                url,
                params=params,
                headers=self._headers,
                heartbeat=HEARTBEAT_SECONDS,
                ssl=self._context(),
            ) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
                code = socket.close_code
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{url}: {why(error)}") from error
        raise Unreachable(f"{url}: it exited with code {code}")


def is_timeout(error: ClientError) -> bool:
    """Whether the connection was accepted or pending, but no answer came in time."""
    return isinstance(error.__cause__, TimeoutError)


def kind_of(error: Exception) -> type[Unreachable]:
    """Return the error class for a request without an answer."""
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = error.os_error.errno == errno.ECONNREFUSED
        return NotListening if refused else Unreachable
    if isinstance(error, ConnectionRefusedError):
        return NotListening
    if isinstance(error, OSError) and error.errno in {errno.ECONNRESET, errno.EPIPE}:
        return Cut
    cut = isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError)
    return Cut if cut else Unreachable


def why(error: Exception) -> str:
    """Return why a request failed, without the library's text about TLS if there is none."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate was refused: {error.certificate_error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error}"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"TLS failed: {getattr(error, 'os_error', error)}"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno).lower()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error).replace(" ssl:default", "") or error.__class__.__name__


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """Read to the end; `read(n)` would return only what has arrived so far."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise Unreachable(f"the answer is longer than {BODY_LIMIT_BYTES} bytes")
    return bytes(body)


OPERATOR = "operator"
"""Name of the client certificate that the command line presents."""


def session_of(
    settings: Settings,
    *,
    name: str = OPERATOR,
    on_impostor: Callable[[str], None] = lambda _why: None,
    on_certificate: OnCertificate = lambda _address, _expiry: None,
) -> aiohttp.ClientSession:
    """Return a session that sends tokens to trusted users, and over TLS to holders of our CA only.

    Args:
        settings: the TLS files and the trusted users.
        name: of the calling target, whose certificate is presented.
        on_impostor: called with the reason when a listener is refused.
        on_certificate: called with address and expiry of each accepted certificate.
    """
    connector = KnownListeners(
        trusted_users(settings.listener_users),
        on_impostor=on_impostor,
        tls=calling(TlsFiles(settings.tls, name)),
        on_certificate=on_certificate,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

"""A client of Freqtrade's REST API that validates every response.

Source: https://www.freqtrade.io/en/stable/rest-api/. Every call uses HTTP Basic, which all versions
support and which cannot expire. Errors inside Freqtrade are returned as 502 with a JSON object
`{"error": …}`.
"""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from trading_ops.backoff import Backoff
from trading_ops.errors import ClientError, Refused, Unreachable
from trading_ops.redaction import known
from trading_ops.turns import Turns

T = TypeVar("T")

ROOT = "/api/v1"
PING = "/ping"
FROM_THE_EXCHANGE = frozenset({"/status", "/profit", "/balance", "/daily"})
"""These wait for the exchange, or go through all trades. With an exchange that throttles they take
15 s and more, and each keeps a thread of Freqtrade busy: one of them at a time, in addition to the
turns of
the others."""

LARGEST_ANSWER_BYTES = 8 * 1024 * 1024
"""A thousand log lines or a few hundred trades are well below this."""

OK, UNAUTHORIZED, SERVER_ERROR = 200, 401, 500


class FreqtradeError(msgspec.Struct):
    """Freqtrade's response to an internal error."""

    error: str


class Api:
    """One Freqtrade: one request at a time, and only pings while they are not answered.

    Requests that it cannot answer queue in its listener, and handling them all at once exhausts its
    database pool, which ends its trading loop.
    """

    def __init__(
        self, address: str, credentials_file: Path, session: aiohttp.ClientSession
    ) -> None:
        """Set up with `host:port`, a file with `user:password`, and a separate session."""
        self._root = f"http://{address}{ROOT}"
        self._credentials_file = credentials_file
        self._session = session
        self._turns, self._slow_turns = Turns(credentials_file), Turns()
        self._backoff = Backoff()
        self.requests = 0
        """Number of requests, answered or not."""

    async def get(
        self,
        path: str,
        kind: type[T],
        *,
        within: float,
        params: Mapping[str, str] | None = None,
    ) -> T:
        """Return the response as a value of this type.

        Args:
            path: below `/api/v1`, with a leading slash.
            kind: the type of the response; unknown fields are ignored.
            within: seconds for the request, without the wait for its turn.
            params: query parameters.

        Raises:
            Unreachable: no complete answer in time, or an error of Freqtrade itself (5xx).
            Refused: rejected, for example because of a wrong password.
            ClientError: the response is invalid, or the credentials cannot be read.
        """
        headers = {"Authorization": self._credentials()}
        turns = self._slow_turns if path in FROM_THE_EXCHANGE else self._turns
        self._check_not_mute()
        async with turns.turn():
            self._check_not_mute()
            return await self._ask(path, kind, within, params, headers)

    async def ping(self, kind: type[T], *, within: float) -> T:
        """Return the answer to a ping, which needs no password; it is sent before other requests.

        Raises:
            Unreachable: no answer, or the last one timed out and it is too early for the next.
            ClientError: another answer.
        """
        if self._backoff.is_waiting:
            raise Unreachable(f"{PING}: not answered; backing off")
        async with self._turns.turn(first=True):
            try:
                answer = await self._ask(PING, kind, within)
            except Unreachable as error:
                timed_out = isinstance(error.__cause__, TimeoutError)
                self._backoff.timed_out() if timed_out else self._backoff.answered()
                raise
            self._backoff.answered()
            return answer

    def _check_not_mute(self) -> None:
        if self._backoff.is_mute:
            raise Unreachable(f"not requested: {PING} is not answered")

    async def _ask(
        self,
        path: str,
        kind: type[T],
        within: float,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        self.requests += 1
        try:
            async with (
                asyncio.timeout(within),
                self._session.get(
                    self._root + path, params=params, headers=headers, allow_redirects=False
                ) as answer,
            ):
                body = await _whole(answer.content, path)
                _check_status(path, answer.status, body)
        except TimeoutError as error:
            raise Unreachable(f"{path}: no answer within {within:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{path}: {str(error) or type(error).__name__}") from error
        return _decode(path, body, kind)

    def _credentials(self) -> str:
        """Return the header; the file is read again, so a changed password needs no restart."""
        try:
            text = self._credentials_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ClientError(f"{self._credentials_file} cannot be read: {reason}") from error
        user, colon, password = text.partition(":")
        known(password)
        if not colon or not user or not text.isprintable():
            raise ClientError(f"{self._credentials_file} must hold one line, `user:password`")
        return "Basic " + base64.b64encode(text.encode()).decode("ascii")


async def _whole(content: aiohttp.StreamReader, path: str) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER_BYTES:
            raise ClientError(f"{path}: the answer is longer than {LARGEST_ANSWER_BYTES} bytes")
    return bytes(body)


def _check_status(path: str, status: int, body: bytes) -> None:
    if status == OK:
        return
    if status == UNAUTHORIZED:
        raise Refused(f"{path}: HTTP 401: wrong user or password")
    try:
        detail = ": " + msgspec.json.decode(body, type=FreqtradeError).error[:200]
    except (msgspec.MsgspecError, RecursionError):
        detail = ""
    text = f"{path}: HTTP {status}{detail}"
    raise Unreachable(text) if status >= SERVER_ERROR else Refused(text)


def _decode(path: str, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ClientError(f"{path}: invalid response: {error}") from error

"""Receives one Freqtrade's messages, and polls the endpoints that they announce at once.

The messages are optional: the same endpoints are polled anyway, by independent tasks.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
from prometheus_client.metrics_core import Metric

from trading_ops import clock, logs
from trading_ops.errors import ClientError, Refused, Unreachable
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.freqtrade.api import ROOT
from trading_ops.exporter.freqtrade.message_metrics import KINDS, OTHER
from trading_ops.exporter.freqtrade.reading import EndpointReading
from trading_ops.redaction import known

_log = logs.get(__name__)

PATH = ROOT + "/message/ws"
CONNECT_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0
"""Interval of pings; without an answer within half of it, the connection counts as dead."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LARGEST_MESSAGE_BYTES = 256 * 1024
"""Messages have a few hundred bytes; the large ones, whole tables of candles, are not
subscribed."""

SUBSCRIPTION = {"type": "subscribe", "data": [kind for kind in KINDS if kind != OTHER]}


class Listener(PolledSource):
    """A collector that receives messages: up while it is connected."""

    def __init__(
        self,
        name: str,
        address: str,
        token_file: Path,
        session: aiohttp.ClientSession,
        hear: Callable[[str], None],
    ) -> None:
        super().__init__(
            EndpointReading(
                name,
                self._listen,
                interval_seconds=FIRST_PAUSE_SECONDS,
                timeout_seconds=CONNECT_SECONDS,
            )
        )
        self._url = f"http://{address}{PATH}"
        self._token_file = token_file
        self._session = session
        self._hear = hear

    async def run(self) -> None:
        """Listen until cancelled; reconnect whenever the connection ends."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = clock.monotonic()
            await self.once()
            if clock.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def once(self) -> None:
        """Listen until the connection ends, and record the result."""
        try:
            await self._listen()
        except Exception as error:  # noqa: BLE001 - polling must continue
            self.problem = str(error) or type(error).__name__
            if self.up or not self.failures:
                _log.warning("collector_failed", collector=self.source.name, reason=self.problem)
            self.failures += 1
        finally:
            self.up = False
            self.read_once.set()

    def figures(self) -> Sequence[Metric]:
        """Return nothing: its metrics are exported with the bot's."""
        if self.up:
            self.last_success = clock.timestamp()
        return ()

    async def _listen(self) -> None:
        """Listen until the connection ends.

        Raises:
            Unreachable: the connection failed or ended.
            Refused: the token is invalid.
            ClientError: the token cannot be read.
        """
        socket = await self._connect()
        try:
            await socket.send_json(SUBSCRIPTION)
            self.up, self.last_success, self.problem = True, clock.timestamp(), ""
            self.read_once.set()
            _log.info("collector_succeeded", collector=self.source.name)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"connection lost: {error}") from error
        finally:
            await socket.close()
        raise Unreachable(f"the server closed the connection: {socket.close_code}")

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        # The token can only be sent in the query, which Freqtrade logs.
        token = self._token()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._session.ws_connect(
                    self._url,
                    params={"token": token},
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=LARGEST_MESSAGE_BYTES,
                )
        except TimeoutError as error:
            raise Unreachable(f"no connection within {CONNECT_SECONDS:g} s") from error
        except aiohttp.WSServerHandshakeError as error:
            # The text of the exception contains the URL with the token.
            raise Refused(f"HTTP {error.status}: the ws_token may be wrong") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    def _token(self) -> str:
        """Return the token; the file is read again for each connection."""
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ClientError(f"{self._token_file} cannot be read: {reason}") from error
        if not token or not token.isprintable():
            raise ClientError(f"{self._token_file} must hold one line, Freqtrade's `ws_token`")
        return known(token)

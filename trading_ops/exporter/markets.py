"""Which markets of a venue are open: a closed market sends no prices.

Uses Kraken's public API, in which each pair has a status.
"""

import json
from collections.abc import Iterable

import aiohttp
from prometheus_client.metrics_core import Metric

from trading_ops.errors import ClientError
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.kraken import read_whole, result_of
from trading_ops.instrument.families import family

CLOSED = frozenset({"cancel_only", "delisted", "maintenance", "work_in_progress"})
"""Status values without trading. An unknown status counts as open, because closed would mute
alerts."""


class Markets:
    """Requests the status of each symbol separately instead of the large list of all."""

    interval_seconds = 5.0
    timeout_seconds = 5.0

    def __init__(self, entry: VenueEntry, session: aiohttp.ClientSession) -> None:
        self.name = f"markets:{entry.name}"
        self._venue = entry.name
        self._symbols = entry.symbols
        self._url = f"http://{entry.address}/0/public/AssetPairs"
        self._session = session
        self._open: dict[tuple[str, ...], float] = {}

    async def read(self) -> None:
        """Request the status of every symbol.

        Raises:
            ClientError: the request failed, or the venue does not know a symbol.
        """
        found: dict[tuple[str, ...], float] = {}
        for symbol in self._symbols:
            found[self._venue, symbol] = float(await self._is_open(symbol))
        self._open = found

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the last answer; nothing if the last request failed."""
        yield family("trading_venue_market_open", self._open if fresh else {})

    async def _is_open(self, symbol: str) -> bool:
        query = {"pair": symbol}
        async with self._session.get(self._url, params=query, allow_redirects=False) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise ClientError(f"AssetPairs returned HTTP {answer.status}")
            pairs = list(result_of(json.loads(await read_whole(answer.content))).values())
        if len(pairs) != 1 or not isinstance(pairs[0], dict):
            raise ClientError(f"the venue has {len(pairs)} markets with the name {symbol}")
        return pairs[0].get("status", "online") not in CLOSED

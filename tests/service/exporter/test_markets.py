"""Which markets are open, as the exporter hears it from the venue."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.service.exporter.venues import FakeVenue
from trading_ops.errors import ConfigError
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import MOST_SYMBOLS, VenueEntry, load_config
from trading_ops.exporter.markets import Markets


@contextlib.asynccontextmanager
async def watching(address: str, *symbols: str) -> AsyncIterator[PolledSource]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield PolledSource(Markets(VenueEntry("paper", address, symbols), session))


def figures_of(watched: PolledSource) -> dict[str, float]:
    return {
        sample.labels["symbol"]: sample.value
        for family in watched.source.families(fresh=watched.up)
        for sample in family.samples
        if sample.labels["venue"] == "paper"
    }


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        ("online", 1),
        ("post_only", 1),
        ("limit_only", 1),
        ("cancel_only", 0),
        ("maintenance", 0),
        ("delisted", 0),
        ("a new word", 1),
    ],
)
async def test_a_market_is_closed_only_by_a_known_state(state: str, is_open: int) -> None:
    """A closed one mutes alerts, so nothing is closed by a guess."""
    venue = FakeVenue()
    venue.pairs = {"BTC/USD": state, "ETH/USD": "online"}
    async with venue.serving() as address, watching(address, "BTC/USD", "ETH/USD") as watched:
        await watched.once()
        assert figures_of(watched) == {"BTC/USD": is_open, "ETH/USD": 1}


async def test_what_no_one_reported_is_absent() -> None:
    """When the venue does not answer, and when it does not know a symbol any more."""
    venue = FakeVenue()
    venue.pairs = {"BTC/USD": "cancel_only"}
    async with venue.serving() as address, watching(address, "BTC/USD") as watched:
        await watched.once()
        assert figures_of(watched) == {"BTC/USD": 0}
        venue.pairs = {}
        await watched.once()
        assert figures_of(watched) == {}
    async with watching(address, "BTC/USD") as watched:
        await watched.once()
        assert figures_of(watched) == {}


@pytest.mark.parametrize(
    "symbols",
    [["BTC/USD&pair=ETH/USD"], [""], [f"S{number}" for number in range(MOST_SYMBOLS + 1)]],
)
def test_symbols_are_plain_and_few(tmp_path: Path, symbols: list[str]) -> None:
    """Each is a request every five seconds, and a label."""
    path = tmp_path / "exporter.yml"
    entry = {"name": "paper", "address": "127.0.0.1:8401", "symbols": symbols}
    path.write_text(yaml.safe_dump({"venues": [entry]}))
    with pytest.raises(ConfigError, match="symbols"):
        load_config(path)

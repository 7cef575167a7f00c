"""An exchange without a process: made in a folder, stepped manually."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from trading_ops_lab.paper.venue.config import KeyFiles, VenueConfig
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.faults import FaultBoard
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.orders import NewOrder, Side
from trading_ops_lab.paper.venue.pairs import ASSETS, PAIRS
from trading_ops_lab.paper.venue.prices import Walk, WalkState
from trading_ops_lab.paper.venue.store import Store

NOW = 1_800_000_000.0
CONFIG = VenueConfig(
    address="127.0.0.1:0",
    faults_address="127.0.0.1:0",
    state_dir="",
    seed=7,
    faults_token_file="",
    keys=[KeyFiles("", "", "a"), KeyFiles("", "", "b"), KeyFiles("", "", "a")],
)
PAIR = "XXBTZUSD"


@contextmanager
def exchange(folder: Path, board: FaultBoard | None = None) -> Iterator[tuple[Engine, Store]]:
    store = Store(folder / "venue.db")
    journal = Journal(store, folder / "journal.jsonl")
    walk = Walk(CONFIG.seed, ASSETS.values(), WalkState())
    markets = {pair.id: Market(pair, walk, [], NOW) for pair in PAIRS.values()}
    try:
        yield Engine(CONFIG, store, journal, walk, markets, board), store
        store.commit()
    finally:
        journal.close()
        store.close()


def limit(side: Side, price: str, volume: str = "0.5", **fields: object) -> NewOrder:
    new = {"pair": PAIR, "side": side, "kind": "limit", **fields}
    return NewOrder(**new, price=Decimal(price), volume=Decimal(volume))  # type: ignore[arg-type]

"""The whole venue: its parts, its ports, and its periodic tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from trading_ops import __version__, clock, logs
from trading_ops_lab.paper.venue import config as configuration
from trading_ops_lab.paper.venue.config import VenueConfig
from trading_ops_lab.paper.venue.control import FaultControl
from trading_ops_lab.paper.venue.edge_middleware import Edge
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.fault_port import FaultPort
from trading_ops_lab.paper.venue.faults import FaultBoard
from trading_ops_lab.paper.venue.feed.hub import Feed
from trading_ops_lab.paper.venue.history import History
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.listener import Listener
from trading_ops_lab.paper.venue.manual_changes import ManualChanges
from trading_ops_lab.paper.venue.market import Market, invent_history
from trading_ops_lab.paper.venue.pairs import ASSETS, PAIRS
from trading_ops_lab.paper.venue.prices import Walk, WalkState
from trading_ops_lab.paper.venue.private_commands import PrivateCommands
from trading_ops_lab.paper.venue.private_queries import PrivateQueries
from trading_ops_lab.paper.venue.rest_private import PrivateApi
from trading_ops_lab.paper.venue.rest_public import PublicApi
from trading_ops_lab.paper.venue.sessions import Sessions, SessionState
from trading_ops_lab.paper.venue.signing import Keyring
from trading_ops_lab.paper.venue.store import Store
from trading_ops_lab.paper.venue.tokens import Tokens

log = logs.get(__name__)

SHUTDOWN_SECONDS: Final = 0.5
"""Time for running requests to finish when the venue stops."""

FOLDER_MODE: Final = 0o700


class Venue:
    """The venue: start it, wait until it fails or is stopped, stop it."""

    def __init__(self, config: VenueConfig) -> None:
        """Read the state and create the parts; nothing listens yet.

        Raises:
            ConfigError: a secret cannot be read.
            StoreError: the state cannot be opened.
        """
        self._config = config
        token = configuration.read_secret("faults_token_file", config.faults_token_file)
        keys = configuration.read_keys(config)
        folder = Path(config.state_dir)
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.store = Store(folder / "venue.db")
        self.journal = Journal(
            self.store,
            folder / "journal.jsonl",
            entries=config.journal_entries,
            size=config.journal_bytes,
        )
        board = FaultBoard()
        self.engine = _engine(config, self.store, self.journal, board)
        self.failed = asyncio.Event()
        sessions = Sessions(self.store.fact("sessions", SessionState) or SessionState())
        self.store.save_fact("sessions", sessions.state)
        keyring = Keyring(keys, self.store.nonces())
        self.edge = Edge(board, sessions, keyring, self.store, self.journal)
        tokens, commands = Tokens(), PrivateCommands(self.engine)
        self.feed = Feed(
            engine=self.engine,
            board=board,
            store=self.store,
            journal=self.journal,
            tokens=tokens,
            commands=commands,
            fail=self.failed.set,
        )
        queries = PrivateQueries(self.engine, self.store, tokens)
        history = History(self.engine, self.store)
        private = PrivateApi(
            methods={**queries.methods, **history.methods, **commands.methods},
            engine=self.engine,
            board=board,
            keyring=keyring,
            store=self.store,
            journal=self.journal,
            fail=self.failed.set,
        )
        self._runner = _runner(_application(self.edge, PublicApi(self.engine), private, self.feed))
        address = configuration.split_address("config", "address", config.address)
        self._listener = Listener(self._runner, *address)
        self.control = FaultControl(
            board=board,
            store=self.store,
            journal=self.journal,
            sessions=sessions,
            edge=self.edge,
            feed=self.feed,
            listener=self._listener,
            walk=self.engine.walk,
        )
        changes = ManualChanges(self.engine, self.store, self.journal)
        self._fault_runner = _runner(FaultPort(self.control, self.journal, changes).build(token))
        self._beats: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the ports and start the market.

        Raises:
            OSError: a port is taken.
        """
        self.control.restore()
        self.engine.fire_switches(clock.timestamp())
        self.journal.record("venue_started", version=__version__, seed=self._config.seed)
        self.journal.commit()
        await self._runner.setup()
        await self._listener.follow(refuse=False)
        await self._fault_runner.setup()
        address = self._config.faults_address
        host, port = configuration.split_address("config", "faults_address", address)
        await web.TCPSite(self._fault_runner, host, port, reuse_address=True).start()
        self._beats = [
            asyncio.create_task(self._beat(self._config.tick_seconds, self._step)),
            asyncio.create_task(self._beat(self._config.heartbeat_seconds, self._heartbeat)),
        ]
        log.info("venue_started", address=self._config.address, faults=address)

    async def stop(self) -> None:
        """Close the ports, all connections and the state; safe after a failed start."""
        for beat in self._beats:
            beat.cancel()
        await asyncio.gather(*self._beats, return_exceptions=True)
        self._listener.drop_connections()
        await self._fault_runner.cleanup()
        await self._runner.cleanup()
        self.journal.close()
        self.store.close()
        log.info("venue_stopped")

    async def _step(self) -> None:
        self.engine.step(clock.timestamp())
        self.journal.commit()
        self.feed.publish()
        await self.control.expire()

    async def _heartbeat(self) -> None:
        self.feed.beat()

    async def _beat(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Run work at a fixed interval; missed ticks are skipped."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                due = max(due + seconds, loop.time())
                await asyncio.sleep(due - loop.time())
                await work()
        except Exception:
            log.exception("dead_man_switch_refresh_failed")
            self.failed.set()


def _engine(config: VenueConfig, store: Store, journal: Journal, board: FaultBoard) -> Engine:
    """Continue the stored market, or generate a day of history for a new one."""
    now = clock.timestamp()
    state = store.fact("walk", WalkState)
    walk = Walk(config.seed, ASSETS.values(), state or WalkState())
    if state is None:
        for pair_id, candles in invent_history(walk, PAIRS.values(), now).items():
            for candle in candles:
                store.save_candle(pair_id, candle, keep_after=candles[0].start)
        store.save_fact("walk", walk.state)
    markets = {pair.id: Market(pair, walk, store.candles(pair.id), now) for pair in PAIRS.values()}
    return Engine(config, store, journal, walk, markets, board)


def _application(edge: Edge, public: PublicApi, private: PrivateApi, feed: Feed) -> web.Application:
    app = web.Application(middlewares=[edge.middleware])
    app.router.add_route("*", "/0/public/{method}", public.handle)
    app.router.add_post("/0/private/{method}", private.handle)
    app.router.add_get("/v2", feed.handle)
    return app


def _runner(app: web.Application) -> web.AppRunner:
    # A client that disconnects ends its hanging request.
    return web.AppRunner(
        app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS, access_log=None
    )

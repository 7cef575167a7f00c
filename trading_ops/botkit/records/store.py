"""The store component: durable records of orders, fills and positions in SQLite or PostgreSQL."""

from collections.abc import Callable, Collection
from typing import TypeVar

from trading_ops import clock
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Order
from trading_ops.botkit.records import facts, orders
from trading_ops.botkit.records.events import EventRetention, prune_events
from trading_ops.botkit.records.orders import Change, StoredState
from trading_ops.botkit.records.sql import Database, Session
from trading_ops.botkit.stage import Stage
from trading_ops.instrument import BotMetrics

Result = TypeVar("Result")
T = TypeVar("T")

STATEMENTS = (
    *("save_changes", "prune", "load", "find_order", "is_adopted", "get_fact", "set_fact"),
    *("nonce_ceiling", "save_nonce_ceiling", "transaction"),
)
"""Names of the transactions, as in metrics; the last one is the default."""

PRUNE_SECONDS = 3600.0
"""Interval at which old rows are removed."""


class Store(Stage[tuple[Change, ...], None]):
    """Stores changes and reads the records; a restart reopens the database.

    Example:
        store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(Path("records.db"))))
        supervisor = Supervisor([store])
        supervisor.start()
        state = await store.load()
        await store.ask((Change(order=order),), within=5.0)  # durable when this returns
    """

    def __init__(
        self,
        metrics: BotMetrics,
        open_database: Callable[[], Database],
        *,
        retention: EventRetention | None = None,
    ) -> None:
        """Open the database.

        Args:
            metrics: of the bot.
            open_database: opens the database; called again after each restart.
            retention: how many events are kept, and for how long.

        Raises:
            StoreError: the database cannot be opened.
        """
        super().__init__("store", metrics)
        self._open = open_database
        self._database: Database | None = open_database()
        self._retention = retention or EventRetention()
        self._prune_due = clock.monotonic()
        self._new_events = 0

    async def work(self, request: tuple[Change, ...]) -> None:
        """Commit the changes in one transaction; prune old rows when that is due."""
        now = clock.timestamp()

        def save(session: Session) -> None:
            for change in request:
                orders.save(session, change, now)

        await self.transact(save, statement="save_changes")
        self._new_events += sum(len(change.events) for change in request)
        if clock.monotonic() >= self._prune_due or self._new_events >= self._retention.prune_after:
            await self._prune(now)

    async def _prune(self, now: float) -> None:
        def prune(session: Session) -> bool:
            orders.prune(session, now)
            return prune_events(session, now, self._retention)

        self._new_events = 0
        is_more = await self.transact(prune, statement="prune")
        if not is_more:  # otherwise the next change continues
            self._prune_due = clock.monotonic() + PRUNE_SECONDS

    async def run(self) -> None:
        """Reopen the database if it was closed, then handle requests until cancelled."""
        if self._database is None:
            self._database = self._open()
        await super().run()

    async def close(self) -> None:
        """Finish the queued transactions, then close the database."""
        await super().close()
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def reconnect(self, *, interrupt: bool) -> None:
        """Replace the connection to the database; see `Database.reconnect`.

        Raises:
            StoreError: the new connection failed.
            Unavailable: the store is closed.
        """
        if self._database is None:
            raise Unavailable("store: it is closed")
        await self._database.reconnect(interrupt=interrupt)

    async def transact(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work` in a transaction, which is committed when this returns.

        Args:
            work: called with the session in the database's thread.
            statement: the transaction's name in metrics, one of `STATEMENTS`.

        Raises:
            StoreError: it is unknown whether it was committed; `work` should be idempotent.
            Unavailable: the store is closed.
        """
        if self._database is None:
            raise Unavailable("store: it is closed")
        return await self._database.transact(work, statement=statement)

    async def load(self) -> StoredState:
        """Return the open orders, the positions and the expected balances."""
        return await self.transact(orders.load, statement="load")

    async def find(self, client_id: str) -> Order | None:
        """Return the recorded state of an order, open or closed; None when it is not recorded."""
        return await self.transact(
            lambda session: orders.find(session, client_id), statement="find_order"
        )

    async def by_venue_ids(self, venue_ids: Collection[str]) -> list[Order]:
        """Return the recorded orders with these venue IDs; unknown IDs are omitted."""
        return await self.transact(lambda session: orders.by_venue_ids(session, venue_ids))

    async def order_times(self, since: float) -> list[float]:
        """Return the creation times of orders after `since`, in seconds since the epoch."""
        return await self.transact(lambda session: orders.times_since(session, since))

    async def adopted_among(self, ids: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which of these trades and ledger entries, as (kind, id), were adopted before."""

        def read(session: Session) -> set[tuple[str, str]]:
            return {known for known in ids if orders.is_adopted(session, *known)}

        return await self.transact(read)

    async def fact(self, name: str, kind: type[T]) -> T | None:
        """Return a fact; None when it was never set.

        Raises:
            StoreError: it has another structure than `kind`, or the database failed.
        """
        return await self.transact(
            lambda session: facts.get_fact(session, name, kind), statement="get_fact"
        )

    async def set_fact(self, name: str, value: object) -> None:
        """Store a fact; see `records.facts`."""
        now = clock.timestamp()
        await self.transact(
            lambda session: facts.set_fact(session, name, value, now), statement="set_fact"
        )

    async def nonce_ceiling(self, key: str) -> int:
        """Return the highest published nonce ceiling of an API key; 0 for none."""

        def read(session: Session) -> int:
            row = session.execute("SELECT ceiling FROM nonces WHERE key = ?", (key,)).one()
            return int(row[0]) if row else 0

        return await self.transact(read, statement="nonce_ceiling")

    async def save_nonce_ceiling(self, key: str, ceiling: int) -> None:
        """Store a key's nonce ceiling; one below the stored ceiling is ignored."""

        def write(session: Session) -> None:
            session.execute(
                "INSERT INTO nonces (key, ceiling) VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
                " SET ceiling = excluded.ceiling WHERE excluded.ceiling > nonces.ceiling",
                (key, ceiling),
            )

        await self.transact(write, statement="save_nonce_ceiling")

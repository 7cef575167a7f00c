"""The store component: what must be durable before it is sent, in SQLite or in PostgreSQL."""

from collections.abc import Callable, Collection
from typing import TypeVar

from trading_ops import clock
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.order import Order
from trading_ops.botkit.records import facts, orders
from trading_ops.botkit.records.events import Retention, prune_events
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
"""What metrics call the transactions; the last one is what nobody gave a name."""

PRUNE_SECONDS = 3600.0
"""Interval at which what is old is removed."""


class Store(Stage[tuple[Change, ...], None]):
    """Keeps changes; opens its database again when it is restarted."""

    def __init__(
        self,
        metrics: BotMetrics,
        open_database: Callable[[], Database],
        *,
        retention: Retention | None = None,
    ) -> None:
        """Open the database, and take how many events are kept in it.

        Raises:
            StoreError: it cannot be opened.
        """
        super().__init__("store", metrics)
        self._open = open_database
        self._database: Database | None = open_database()
        self._retention = retention or Retention()
        self._prune_due = clock.monotonic()
        self._new_events = 0

    async def work(self, asked: tuple[Change, ...]) -> None:
        """Commit some changes together."""
        now = clock.timestamp()

        def keep(session: Session) -> None:
            for change in asked:
                orders.save(session, change, now)

        await self.do(keep, statement="save_changes")
        self._new_events += sum(len(change.events) for change in asked)
        if clock.monotonic() >= self._prune_due or self._new_events >= self._retention.between:
            await self._prune(now)

    async def _prune(self, now: float) -> None:
        def prune(session: Session) -> bool:
            orders.prune(session, now)
            return prune_events(session, now, self._retention)

        self._new_events = 0
        is_more = await self.do(prune, statement="prune")
        if not is_more:  # else the next change goes on with it
            self._prune_due = clock.monotonic() + PRUNE_SECONDS

    async def run(self) -> None:
        """Open the database if it was closed, then work."""
        if self._database is None:
            self._database = self._open()
        await super().run()

    async def close(self) -> None:
        """Finish what was given, then close the database."""
        await super().close()
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def renew(self, *, at_once: bool) -> None:
        """Replace the connection to the database; see `Database.renew`.

        Raises:
            StoreError: there is no new one.
            Unavailable: the store is closed.
        """
        if self._database is None:
            raise Unavailable("store: it is closed")
        await self._database.renew(at_once=at_once)

    async def do(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work` in a transaction; when this returns, it is committed.

        Metrics call it by the statement's name, one of `STATEMENTS`.

        Raises:
            StoreError: it is not known to be; the same change may be made again.
            Unavailable: the store is closed.
        """
        if self._database is None:
            raise Unavailable("store: it is closed")
        return await self._database.do(work, statement=statement)

    async def load(self) -> StoredState:
        """Return the orders that may be alive, the positions and the expected balances."""
        return await self.do(orders.load, statement="load")

    async def find(self, client_id: str) -> Order | None:
        """Return an order whatever became of it, or None."""
        return await self.do(
            lambda session: orders.find(session, client_id), statement="find_order"
        )

    async def by_venue_ids(self, venue_ids: Collection[str]) -> list[Order]:
        """Return the recorded orders that have these ids at the venue."""
        return await self.do(lambda session: orders.by_venue_ids(session, venue_ids))

    async def order_times(self, since: float) -> list[float]:
        """Return when orders were written down since then, in seconds since the epoch."""
        return await self.do(lambda session: orders.times_since(session, since))

    async def adopted_among(self, ids: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return which trades and ledger entries, by kind and id, were counted before."""

        def read(session: Session) -> set[tuple[str, str]]:
            return {one for one in ids if orders.is_adopted(session, *one)}

        return await self.do(read)

    async def fact(self, name: str, kind: type[T]) -> T | None:
        """Return a fact, or None when it was never set."""
        return await self.do(
            lambda session: facts.get_fact(session, name, kind), statement="get_fact"
        )

    async def set_fact(self, name: str, value: object) -> None:
        """Keep a fact."""
        now = clock.timestamp()
        await self.do(
            lambda session: facts.set_fact(session, name, value, now), statement="set_fact"
        )

    async def nonce_ceiling(self, key: str) -> int:
        """Return the highest nonce that may have been issued for a key, 0 for none."""

        def read(session: Session) -> int:
            row = session.execute("SELECT ceiling FROM nonces WHERE key = ?", (key,)).one()
            return int(row[0]) if row else 0

        return await self.do(read, statement="nonce_ceiling")

    async def save_nonce_ceiling(self, key: str, ceiling: int) -> None:
        """Keep a key's ceiling; a lower one than the stored is ignored."""

        def write(session: Session) -> None:
            session.execute(
                "INSERT INTO nonces (key, ceiling) VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
                " SET ceiling = excluded.ceiling WHERE excluded.ceiling > nonces.ceiling",
                (key, ceiling),
            )

        await self.do(write, statement="save_nonce_ceiling")

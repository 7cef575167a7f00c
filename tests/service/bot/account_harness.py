"""A broker, a book and the private feed on a real venue, without anyone who trades or polls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from tests.service.bot.conftest import SYMBOLS, Venue
from tests.service.botkit.conftest import sample, until
from tests.waiting import PATIENCE
from trading_ops import clock
from trading_ops.agent import Side
from trading_ops.botkit.nonces.issuer import Nonces, open_nonces
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.order import Order, OrderType, VenueOrder, new_client_id
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.venue.adapter import ENDPOINTS
from trading_ops.botkit.venue.broker import Broker
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.account_news import Rest
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken
from trading_ops_lab.paper.bot.brokerage.private_feed import AccountFeed

CURRENCIES = ("BTC", "USD", "ETH")
NAMES = {"XXBT": "BTC", "ZUSD": "USD", "XETH": "ETH"}


class Desk:
    """Orders are placed by the test; what becomes of them is heard over the feed alone."""

    def __init__(self, venue: Venue, folder: Path) -> None:
        self.venue = venue
        self.metrics = BotMetrics(
            version="1",
            mode="paper",
            symbols=SYMBOLS,
            currencies=CURRENCIES,
            endpoints=ENDPOINTS,
        )
        held = venue.folder / "secrets"
        self.key = (held / "venue_key").read_text()
        self.secret = (held / "venue_secret").read_text()
        self.nonces: Nonces = open_nonces(folder / "nonces", self.key, self.metrics)
        self.store = Store(self.metrics, lambda: ThreadedDatabase(SqliteDriver(folder / "desk.db")))
        self.book = Book("alpha", self.metrics, self.store)
        self.broker = Broker(
            self.metrics,
            make_client=self.client,
            nonces=self.nonces,
            probe_interval_seconds=0.2,
            currencies=CURRENCIES,
        )
        self.sync = OrderSync(
            self.metrics, self.broker, self.book, on_orphan=lambda: None, lost_seconds=15.0
        )
        self.asked = 0
        self.compared = 0
        self.feed = AccountFeed(
            self.metrics,
            address=venue.address,
            broker=self.broker,
            book=self.book,
            balances=self.broker.funds,
            rest=Rest(orders=self._ask, everything=self._listen, compare=self._compare),
            timeout_seconds=1.0,
        )
        self.supervisor = Supervisor([self.store, self.broker, self.feed])

    def client(self) -> Kraken:
        return Kraken(
            address=self.venue.address,
            key=self.key,
            secret=self.secret,
            timeout_seconds=1.0,
            issue_nonce=self.nonces.issue,
        )

    async def place(
        self,
        side: Side = Side.BUY,
        quantity: str = "0.01",
        price: str = "1",
        kind: OrderType = OrderType.MARKET,
    ) -> Order:
        """Do as the orders component does; the answer alone makes no fill known."""
        order = Order(
            client_id=new_client_id("alpha"),
            symbol=SYMBOLS[0],
            side=side,
            price=Decimal(price),
            quantity=Decimal(quantity),
            created_at=clock.timestamp(),
            type=kind,
        )
        await self.book.add(order)
        venue_id = await self.broker.call("AddOrder", lambda venue: venue.submit(order))
        await self.book.accept(order, venue_id)
        return order

    async def settled(self, *, within: float = 15.0) -> None:
        """Wait until the book's money is the venue's to the last digit, and nothing is alive."""
        await until(lambda: not self.book.open_orders(), within=within)
        deadline = clock.monotonic() + within * PATIENCE
        while self.book.expected != await self.there():
            assert clock.monotonic() < deadline, (self.book.expected, await self.there())

    async def exact(self) -> None:
        """Check once that the book's money and position are the venue's."""
        there = await self.there()
        assert self.book.expected == there
        held = self.book.position(SYMBOLS[0]).quantity
        assert held == there.get("BTC", Decimal(0)) - self.began.get("BTC", Decimal(0))

    def requests(self, endpoint: str, code: str) -> float:
        """Return how many requests of a kind ended like that."""
        name = "trading_venue_requests_total"
        return sample(self.metrics, name, endpoint=endpoint, code=code)

    async def there(self) -> dict[str, Decimal]:
        balances = (await self.venue.account())["balances"]
        return {NAMES.get(name, name): Decimal(amount) for name, amount in balances.items()}

    async def start(self) -> None:
        self.book.restore(await self.store.load())
        self.supervisor.start()
        await self.broker.wait_up()
        await self.feed.wait_up()
        await until(lambda: self.broker.funds.source == "websocket")
        self.began = await self.there()
        await self.book.adopt_balances(self.began)

    async def _ask(self, venue_ids: list[str]) -> list[VenueOrder]:
        self.asked += 1
        return await self.broker.call("QueryOrders", lambda venue: venue.orders(venue_ids))

    async def _listen(self) -> None:
        await self.sync.refresh()

    def _compare(self) -> None:
        self.compared += 1


@asynccontextmanager
async def desk_at(venue: Venue, folder: Path) -> AsyncIterator[Desk]:
    desk = Desk(venue, folder)
    try:
        await desk.start()
        yield desk
    finally:
        await desk.supervisor.stop()
        desk.nonces.close()

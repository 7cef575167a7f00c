"""Puts the private feed together from the bot's parts."""

from collections.abc import Awaitable, Callable

from trading_ops import logs
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.order import VenueOrder
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.venue.balances import FACT, LastGood
from trading_ops.botkit.venue.broker import Broker
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.account_news import Rest
from trading_ops_lab.paper.bot.brokerage.private_feed import AccountFeed
from trading_ops_lab.paper.bot.config import BotConfig

log = logs.get(__name__)


def account_feed_of(
    config: BotConfig,
    metrics: BotMetrics,
    *,
    broker: Broker,
    book: Book,
    listen: Callable[[], Awaitable[None]],
    compare: Callable[[], None],
) -> AccountFeed:
    """Return the component of a bot.

    Args:
        config: of the bot.
        metrics: of the bot.
        broker: gives tokens, answers by REST, and has the balances.
        book: hears of fills and ends.
        listen: hears the venue's word on all own orders, by REST.
        compare: has records and venue compared soon.
    """

    async def orders(venue_ids: list[str]) -> list[VenueOrder]:
        return await broker.call("QueryOrders", lambda venue: venue.orders(venue_ids))

    return AccountFeed(
        metrics,
        address=config.venue_address,
        broker=broker,
        book=book,
        balances=broker.funds,
        rest=Rest(orders=orders, everything=listen, compare=compare),
        timeout_seconds=config.request_timeout_seconds,
    )


async def remember_balances(broker: Broker, store: Store) -> None:
    """Take up the balances that an earlier process knew last, and keep them from now on."""
    try:
        last = await store.fact(FACT, LastGood)
    except StoreError as error:
        log.warning("balances_unreadable", error=str(error))
    else:
        if last is not None:
            broker.funds.restore(last)
    broker.prober.store_last_good = lambda told: store.set_fact(FACT, told)

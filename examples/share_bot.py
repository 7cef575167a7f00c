"""A crash-safe bot that trades shares at Alpaca or Interactive Brokers, built on botkit.

    python share_bot.py NAME PORT SECRETS STATE {alpaca,ib} HOST:PORT

The address is that of a local broker here (`python -m trading_ops_lab.brokers --help`). For Alpaca
itself leave `url_override` out; for IB it is that of TWS or IB Gateway.
"""

import asyncio
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path

from trading_ops import clock
from trading_ops.agent import Command, Params, Side, TradingHold, TradingState, embed
from trading_ops.botkit import (
    ENDPOINTS,
    Book,
    Broker,
    Intent,
    Order,
    OrderSync,
    OrderType,
    Policy,
    Reconciliation,
    RiskGuard,
    RiskLimits,
    ShutdownStep,
    SqliteDriver,
    StopSignals,
    Store,
    Supervisor,
    ThreadedDatabase,
    Throttle,
    Unavailable,
    VenueRefused,
    allowed_by_gate,
    deny_while,
    first_denial,
    journal_event,
    new_client_id,
    repeat_events,
    run_steps,
)
from trading_ops.botkit.throttle import throttle_commands
from trading_ops.botkit.venue.adapter import ConnectedVenueAdapter
from trading_ops.botkit.venue.quotes import QuoteFeed, QuoteSource
from trading_ops.botkit.venue.rate_limit import RateLimit, RateLimitCounter, ReportedRateLimit
from trading_ops.instrument import BotMetrics

name, port, secrets, state, protocol, address = sys.argv[1:]
SYMBOL, QUANTITY, PASS_SECONDS = "AAPL/USD", Decimal(3), 1.0
LIMITS = RiskLimits(position_size=Decimal(2000), exposure=Decimal(2000), daily_loss=Decimal(100))
COMPONENTS = ("store", "broker", "feed", "reconciliation", "risk")
metrics = BotMetrics(
    version="1.0",
    mode="paper",
    symbols=[SYMBOL],
    currencies=["AAPL", "USD"],
    components=COMPONENTS,
    endpoints=ENDPOINTS,
)
host, _, venue_port = address.rpartition(":")


class AlpacaParts:
    """What a bot needs for Alpaca."""

    def __init__(self) -> None:
        self.key = (Path(secrets) / "broker_key").read_text().strip()
        limit = ReportedRateLimit(metrics)
        self.rate_limit: RateLimit = limit
        self._on_limit = limit.reported

    def venue(self) -> ConnectedVenueAdapter:
        from trading_ops.botkit.venue.alpaca import Alpaca, AlpacaClient  # noqa: PLC0415

        url = f"http://{address}"
        client = AlpacaClient(self.key, self.key, timeout_seconds=5, url_override=url)
        return Alpaca(client, symbols=[SYMBOL], on_limit=self._on_limit)

    def quotes(self) -> QuoteSource:
        from trading_ops.botkit.venue.alpaca_quotes import AlpacaQuotes  # noqa: PLC0415

        url = f"ws://{address}/v2/iex"
        return AlpacaQuotes(self.key, self.key, symbols=[SYMBOL], url_override=url)


class IbParts:
    """What a bot needs for Interactive Brokers: two connections to TWS or IB Gateway."""

    def __init__(self) -> None:
        from trading_ops.botkit.venue.ib import RATE_LIMIT  # noqa: PLC0415

        self.rate_limit: RateLimit = RateLimitCounter(metrics, RATE_LIMIT)

    def venue(self) -> ConnectedVenueAdapter:
        from trading_ops.botkit.venue.ib import InteractiveBrokers  # noqa: PLC0415

        return InteractiveBrokers(host, int(venue_port), client_id=1, symbols=[SYMBOL])

    def quotes(self) -> QuoteSource:
        from trading_ops.botkit.venue.ib_quotes import IbQuotes  # noqa: PLC0415

        return IbQuotes(host, int(venue_port), client_id=2, symbols=[SYMBOL])


class Bot:
    """The bot."""

    def __init__(self) -> None:
        folder = Path(state)
        parts = IbParts() if protocol == "ib" else AlpacaParts()
        self.throttle = Throttle(metrics, max_pause_seconds=8)
        self.agent = embed(
            metrics,
            name,
            int(port),
            secrets=secrets,
            state=folder,
            commands={
                **throttle_commands(self.throttle),
                "cancel_orders": Command(run=self.cancel_orders, safe_direction=True),
                "reconnect_broker": Command(run=lambda _: self.broker.reconnect()),
                "restart_component": Command(
                    run=lambda params: self.supervisor.restart(params["component"], within=8),
                    required={"component": frozenset(COMPONENTS)},
                ),
            },
            pass_limit_seconds=30,
        )
        self.store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(folder / "records.db")))
        self.book = Book(name, metrics, self.store)
        self.book.on_event = partial(journal_event, self.agent.agent.events)
        self.feed = QuoteFeed(metrics, make_source=parts.quotes, stale_seconds=5)
        self.broker = Broker(
            metrics,
            make_client=parts.venue,
            probe_interval_seconds=1.5,  # two requests each; Alpaca allows 200 a minute
            currencies=["AAPL", "USD"],
            rate_limit=parts.rate_limit,
        )
        self.broker.pause = self.throttle.pause
        self.orders = OrderSync(
            metrics, self.broker, self.book, on_orphan=self.reconcile, lost_seconds=15
        )
        self.order_lock = asyncio.Lock()
        self.reconciliation = Reconciliation(
            metrics,
            broker=self.broker,
            book=self.book,
            store=self.store,
            order_lock=self.order_lock,
            place_hold=self.hold,
            policy=Policy(),
            interval_seconds=60,
            currencies=["AAPL", "USD"],
        )
        self.risk = RiskGuard(
            metrics,
            limits=LIMITS,
            symbols=[SYMBOL],
            stale_seconds=10,
            book=self.book,
            store=self.store,
            holds=self.agent.agent.holds,
            quotes=self.feed.quotes,
            minimum=lambda symbol: self.broker.client.rules(symbol).minimum,
            balances_at=lambda: self.broker.balances_at,
        )
        self.checks = (
            deny_while(
                "recovering", "not reconciled yet", lambda: not self.reconciliation.recovered
            ),
            self.orders.check,
            allowed_by_gate(self.agent.gate),
            *self.risk.checks,
        )
        self.supervisor = Supervisor(
            [self.store, self.broker, self.feed, self.reconciliation, self.risk]
        )

    def reconcile(self) -> None:
        self.reconciliation.check_soon()

    def hold(self, hold_id: str, reason: str) -> None:
        hold = TradingHold(
            id=hold_id,
            state=TradingState.HALTED,
            owner="reconciliation",
            reason=reason,
            at=clock.timestamp(),
        )
        self.agent.agent.holds.place(hold)

    async def cancel_orders(self, _: Params) -> str:
        async with self.order_lock:
            return f"{await self.orders.cancel_all()} orders were cancelled"

    async def trade(self) -> None:
        """Buy every ten passes when nothing is held, and sell it ten passes later."""
        async with self.order_lock:
            await self.orders.refresh()
            quote = self.feed.quotes.get(SYMBOL)
            if quote is None or self.book.open_orders(SYMBOL) or int(clock.timestamp()) % 10:
                return
            held = self.book.position(SYMBOL).quantity
            order = Order(
                client_id=new_client_id(name),
                symbol=SYMBOL,
                side=Side.SELL if held else Side.BUY,
                price=quote.bid if held else quote.ask,
                quantity=held or QUANTITY,
                type=OrderType.MARKET,
                created_at=clock.timestamp(),
            )
            intent = Intent(
                symbol=SYMBOL,
                side=order.side,
                quantity=order.quantity,
                price=order.price,
                quote=quote,
                rules=self.broker.client.rules(SYMBOL),
                position=held,
                committed=Decimal(0),
                at=order.created_at,
                type=order.type,
            )
            if denial := first_denial(self.checks, intent):
                metrics.order_denied(denial.code)
            else:
                await self.orders.submit(order)

    async def run(self) -> None:
        self.book.restore(await self.store.load())
        await repeat_events(self.store, self.agent.agent.events)  # a crash may have lost some
        self.supervisor.start()
        signals = StopSignals()
        signals.install()
        while not signals.graceful.is_set():
            try:
                await self.trade()
            except (Unavailable, VenueRefused) as error:
                print(f"this pass failed: {error}", file=sys.stderr)
            metrics.heartbeat()  # the loop works; the broker has its own metric
            await asyncio.sleep(self.throttle.pause(PASS_SECONDS))
        stop, agent = self.supervisor.stop, self.agent
        await run_steps(  # each step has its own deadline; a failed one does not block the next
            [
                ShutdownStep(name="orders", seconds=5, run=lambda: self.cancel_orders({})),
                ShutdownStep(name="components", seconds=2, run=stop),
                ShutdownStep(name="agent", seconds=1, run=lambda: asyncio.to_thread(agent.stop)),
            ]
        )


async def main() -> None:
    await Bot().run()


asyncio.run(main())

"""A crash-safe bot on ccxt, built on trading_ops.botkit; on the paper venue here.

Kill it at any moment: the next start compares its records with the venue before it trades.
"""

import asyncio
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path

import ccxt.async_support as ccxt

from trading_ops import clock
from trading_ops.agent import Command, Params, Side, TradingHold, TradingState, embed
from trading_ops.botkit import (
    ENDPOINTS,
    Book,
    Broker,
    CcxtVenue,
    Intent,
    Order,
    OrderSync,
    OrderType,
    Policy,
    Quote,
    Reconciliation,
    RiskGuard,
    RiskLimits,
    ShutdownStep,
    SqliteDriver,
    StopSignals,
    Store,
    Supervisor,
    ThreadedDatabase,
    Unavailable,
    VenueRefused,
    allowed_by_gate,
    deny_while,
    first_denial,
    journal_event,
    new_client_id,
    open_nonces,
    repeat_events,
    run_steps,
)
from trading_ops.instrument import BotMetrics

name, port, secrets, state, venue_address = sys.argv[1:]
SYMBOL, QUANTITY = "BTC/USD", Decimal("0.001")
LIMITS = RiskLimits(position_size=Decimal(1000), exposure=Decimal(2000), daily_loss=Decimal(100))
metrics = BotMetrics(
    version="1.0",
    mode="paper",
    symbols=[SYMBOL],
    currencies=["BTC", "USD"],
    components=["store", "broker", "reconciliation", "risk"],
    endpoints=[*ENDPOINTS, "Ticker"],
)


def secret(file: str) -> str:
    return (Path(secrets) / file).read_text().strip()


class Bot:
    def __init__(self) -> None:
        folder = Path(state)
        self.agent = embed(
            metrics,
            name,
            int(port),
            secrets=secrets,
            state=folder,
            commands={"cancel_orders": Command(run=self.cancel_orders, safe_direction=True)},
            pass_limit_seconds=30,
        )
        self.key = secret("venue_key_manual")
        self.nonces = open_nonces(folder / "nonces", self.key, metrics)
        self.store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(folder / "records.db")))
        self.book = Book(name, metrics, self.store)
        self.book.on_event = partial(journal_event, self.agent.agent.events)
        self.quotes: dict[str, Quote] = {}
        self.broker = Broker(
            metrics,
            make_client=self.venue,
            nonces=self.nonces,
            probe_interval_seconds=1,
            currencies=["BTC", "USD"],
        )
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
            currencies=["BTC", "USD"],
        )
        self.risk = RiskGuard(
            metrics,
            limits=LIMITS,
            symbols=[SYMBOL],
            stale_seconds=10,
            book=self.book,
            store=self.store,
            holds=self.agent.agent.holds,
            quotes=self.quotes,
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
        self.supervisor = Supervisor([self.store, self.broker, self.reconciliation, self.risk])

    def venue(self) -> CcxtVenue:
        client = ccxt.kraken({"apiKey": self.key, "timeout": 5000, "enableRateLimit": False})
        client.secret = secret("venue_secret_manual")
        client.nonce = self.nonces.issue  # strictly increasing, also after a crash
        # Without this line, it is the real Kraken, which needs enableRateLimit.
        client.urls["api"] = dict.fromkeys(("public", "private"), f"http://{venue_address}")
        self.client = client
        return CcxtVenue(client, symbols=[SYMBOL])

    def reconcile(self) -> None:
        self.reconciliation.check_soon()

    def hold(self, hold_id: str, reason: str) -> None:
        self.agent.agent.holds.place(
            TradingHold(
                id=hold_id,
                state=TradingState.HALTED,
                owner="reconciliation",
                reason=reason,
                at=clock.timestamp(),
            )
        )

    async def cancel_orders(self, _: Params) -> str:
        async with self.order_lock:
            return f"{await self.orders.cancel_all()} orders were cancelled"

    async def trade(self) -> None:
        """Buy when there is nothing to sell, and sell it again."""
        ticker = await self.broker.call("Ticker", lambda _: self.client.fetch_ticker(SYMBOL))
        bid, ask = Decimal(ticker["bid"]), Decimal(ticker["ask"])
        self.quotes[SYMBOL] = quote = Quote(bid=bid, ask=ask, at=clock.timestamp())
        metrics.tick(SYMBOL, at=quote.at, price=float(bid))
        async with self.order_lock:
            await self.orders.refresh()
            if self.book.open_orders(SYMBOL):
                return  # one order at a time
            held = self.book.position(SYMBOL).quantity
            order = Order(
                client_id=new_client_id(name),
                symbol=SYMBOL,
                side=Side.SELL if held else Side.BUY,
                price=bid if held else ask,
                quantity=QUANTITY,
                type=OrderType.MARKET,
                created_at=quote.at,
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
                at=quote.at,
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
            else:
                metrics.heartbeat()  # only now: marks a complete pass
            await asyncio.sleep(1)
        stop, agent = self.supervisor.stop, self.agent
        await run_steps(  # each step has its own deadline; a failed one does not block the next
            [
                ShutdownStep(name="orders", seconds=5, run=lambda: self.cancel_orders({})),
                ShutdownStep(name="components", seconds=2, run=stop),
                ShutdownStep(name="agent", seconds=1, run=lambda: asyncio.to_thread(agent.stop)),
            ]
        )
        self.nonces.close()


async def main() -> None:
    await Bot().run()


asyncio.run(main())

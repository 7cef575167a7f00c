"""A NautilusTrader strategy with metrics, run in a backtest without a network."""

import random
import sys
import time
from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.events import OrderAccepted, OrderDenied, OrderFilled, OrderRejected
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from trading_ops.instrument import BotMetrics, Exposition
from trading_ops.instrument.serving import serve_metrics

port = int(sys.argv[1])
SECOND = 1_000_000_000


class Measured(Strategy):
    """Buys when it has nothing, and sells it a hundred quotes later."""

    def __init__(self, metrics: BotMetrics, instrument: Instrument) -> None:
        super().__init__()
        self.metrics, self.instrument = metrics, instrument
        self.symbol, self.quotes = str(instrument.id.symbol), 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.instrument.id)

    def on_stop(self) -> None:
        self.metrics.component_up("feed", up=False)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        late = (self.clock.timestamp_ns() - tick.ts_event) / SECOND
        price = float(tick.bid_price)
        self.metrics.tick(self.symbol, at=time.time(), latency_seconds=late, price=price)
        self.metrics.component_up("feed", up=True)
        self.quotes += 1
        if self.quotes % 100 == 0:
            held = self.portfolio.net_position(self.instrument.id)
            side = OrderSide.SELL if held > 0 else OrderSide.BUY
            quantity = self.instrument.make_qty(Decimal(1000))
            self.submit_order(self.order_factory.market(self.instrument.id, side, quantity))
        self.metrics.heartbeat()

    def on_order_accepted(self, event: OrderAccepted) -> None:
        order = self.cache.order(event.client_order_id)
        took = (event.ts_event - order.init_event.ts_event) / SECOND
        self.metrics.order_acknowledged(took, order_id=str(event.client_order_id))

    def on_order_filled(self, event: OrderFilled) -> None:
        if self.cache.order(event.client_order_id).is_closed:
            self.metrics.order_ended("filled", order_id=str(event.client_order_id))
        held = self.portfolio.net_position(self.instrument.id)
        self.metrics.position(self.symbol, float(held))

    def on_order_rejected(self, event: OrderRejected) -> None:
        self.metrics.order_ended("rejected", order_id=str(event.client_order_id))

    def on_order_denied(self, event: OrderDenied) -> None:
        self.metrics.order_ended("denied", order_id=str(event.client_order_id))


instrument = TestInstrumentProvider.default_fx_ccy("EUR/USD", venue=Venue("SIM"))
metrics = BotMetrics(
    version="1.0", mode="paper", symbols=[str(instrument.id.symbol)], components=["feed"]
)
serve_metrics(metrics, port)

engine = BacktestEngine()
engine.add_venue(Venue("SIM"), OmsType.NETTING, AccountType.MARGIN, [Money(100_000, USD)])
engine.add_instrument(instrument)
bid, ticks = 1.1, []
for number in range(10_000):
    bid *= random.gauss(1, 0.00001)
    ticks.append(
        QuoteTick(
            instrument.id,
            instrument.make_price(bid),
            instrument.make_price(bid + 0.0001),
            instrument.make_qty(1_000_000),
            instrument.make_qty(1_000_000),
            (1_700_000_000 + number) * SECOND,
            (1_700_000_000 + number) * SECOND,
        )
    )
engine.add_data(ticks)
engine.add_strategy(Measured(metrics, instrument))
engine.run()
engine.dispose()
print(Exposition(metrics.registry).vital()[0].decode())
if "--stay" in sys.argv:
    input("its metrics are served until Enter: ")

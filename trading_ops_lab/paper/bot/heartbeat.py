"""The heartbeat component: runs the trading passes, and records a heartbeat after each one."""

import asyncio
from collections.abc import Callable, Sequence

from trading_ops import clock, logs
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.venue.broker import Broker
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.feed import Feed
from trading_ops_lab.paper.bot.signals.component import Signals
from trading_ops_lab.paper.bot.trading.money import record_money
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)

STEP_SECONDS = 10.0
"""Time limit for one step of a pass, enough for several requests to the venue."""

RENEWALS_PER_TIMEOUT = 3
"""How often the dead man's switch is renewed within its timeout: two renewals may fail."""


class Heartbeat(Component):
    """A heartbeat means a complete pass: quotes, signals, orders and the dead man's switch.

    It is never a timer: an incomplete pass does not count and does not renew the venue's dead man's
    switch, which then cancels the unattended orders.

    While the feed is silent no pass is complete: old prices are not a signal, and orders at old
    prices are unattended. So passes stop counting once no symbol has had a ticker for the time
    after which orders are denied. The alert for stale data fires earlier (7 s, against 10 s by
    default), so a restart of the feed can fix it before a heartbeat is missed.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        symbols: Sequence[str],
        feed: Feed,
        broker: Broker,
        signals: Signals,
        orders: Orders,
        book: Book,
        interval_seconds: float,
        dead_man_seconds: int,
    ) -> None:
        """Set up the passes.

        Args:
            metrics: of the bot.
            symbols: the traded symbols.
            feed: the quotes.
            broker: renews the dead man's switch.
            signals: computes the targets.
            orders: submits and cancels orders.
            book: the positions, for the metrics.
            interval_seconds: between the starts of two passes.
            dead_man_seconds: timeout of the dead man's switch.
        """
        super().__init__("heartbeat", metrics)
        self.beat_at: float | None = None
        self.pause: Callable[[float], float] = float
        """Returns the interval to keep instead of the configured one."""

        self._symbols = symbols
        self._feed = feed
        self._broker = broker
        self._signals = signals
        self._orders = orders
        self._book = book
        self._interval = interval_seconds
        self._dead_man = dead_man_seconds
        self._renewal_due = 0.0
        self._armed_until = 0.0

    async def run(self) -> None:
        """Run passes until cancelled."""
        self.mark(up=True, detail="passing")
        number = 0
        while True:
            began = clock.monotonic()
            number += 1
            try:
                with logs.bound(pass_number=number):
                    await self._pass()
            except Unavailable as error:
                self._miss(str(error))
            except Exception as error:  # the next pass may succeed; the breaker counts failures
                log.exception("pass_crashed")
                self.fail(f"{type(error).__name__}: {error}")
            else:
                self._beat()
            self.mark(up=self.breaker.closed, detail=self.detail)
            spent = clock.monotonic() - began
            await asyncio.sleep(max(0.0, self.pause(self._interval) - spent))

    async def _pass(self) -> None:
        quotes = self._feed.quotes
        missing = [symbol for symbol in self._symbols if symbol not in quotes]
        if missing:
            raise Unavailable(f"feed: no quote of {missing[0]} yet")
        if self._feed.silent:
            # Without the age of the data: a reason that changes at each pass is logged at each.
            raise Unavailable("feed: no market data")
        targets = await self._signals.ask(quotes, within=STEP_SECONDS)
        if not self._broker.up:
            # Checked here, so that no step waits for a broker that is known to be down.
            raise Unavailable(f"broker: {self._broker.detail}")
        if clock.monotonic() >= self._armed_until:
            await self._renew_dead_man()  # before the first order, so that a later crash is covered
        await self._orders.ask(targets, within=STEP_SECONDS)
        if clock.monotonic() >= self._renewal_due:
            await self._renew_dead_man()
        record_money(
            self.metrics,
            balances=self._broker.balances,
            positions=self._book.positions,
            quotes=quotes,
        )

    async def _renew_dead_man(self) -> None:
        # The deadline counts from before the request, so the venue's is never earlier.
        now, elapsed = clock.timestamp(), clock.monotonic()
        reached(BotFailpoint.DEADMAN_RENEWING)
        await self._broker.call(
            "CancelAllOrdersAfter", lambda client: client.cancel_all_after(self._dead_man)
        )
        reached(BotFailpoint.DEADMAN_RENEWED)
        self.metrics.dead_man_switch(now + self._dead_man)
        self._renewal_due = elapsed + self._dead_man / RENEWALS_PER_TIMEOUT
        self._armed_until = elapsed + self._dead_man

    async def disarm(self) -> None:
        """Disarm the venue's dead man's switch, once no order is open that it would cancel.

        Raises:
            Unavailable: the broker is down; the switch will fire without an effect.
        """
        await self._broker.call("CancelAllOrdersAfter", lambda client: client.cancel_all_after(0))
        self._armed_until = 0.0
        self.metrics.dead_man_switch(0)

    def _beat(self) -> None:
        self.succeed()
        self.detail = "passing"
        self.beat_at = self.last_success_at
        self.metrics.heartbeat(self.beat_at)

    def _miss(self, reason: str) -> None:
        if reason != self.detail:
            log.warning("pass_missed", reason=reason)
        self.detail = reason

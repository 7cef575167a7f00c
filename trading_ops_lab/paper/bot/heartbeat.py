"""The heartbeat component: drives the trading passes, and beats after each whole one."""

import asyncio
from collections.abc import Callable, Sequence

from trading_ops import clock, logs
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import Failpoint, reached
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.venue.broker import Broker
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.feed import Feed
from trading_ops_lab.paper.bot.signals.component import Signals
from trading_ops_lab.paper.bot.trading.money import record_money
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)

STEP_SECONDS = 10.0
"""Longest time for one step of a pass; several requests to the venue fit into it."""

WINDS_PER_TIMEOUT = 3
"""How often the switch is wound within its own timeout: two may be lost."""


class Heartbeat(Component):
    """A beat means work done: quotes read, signals computed, orders looked after, switch wound.

    Never a timer: a pass that could not do its work does not count, and does not wind the venue's
    dead-man switch, which then cancels what nobody looks after.

    A silent feed makes no work: prices that no longer change are no signal, and an order that
    stays at them is one that nobody looks after. So passes stop counting once no symbol has had a
    ticker for the time after which orders are denied too. The alert for stale data is faster (7 s,
    against 10 s by default), so a feed that a restart mends does not cost a beat.
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
        """Take the steps of a pass, and the two intervals."""
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
        self._wind_due = 0.0
        self._armed_until = 0.0

    async def run(self) -> None:
        """Make passes until cancelled."""
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
            except Exception as error:  # the next pass may do better, and the breaker shows it
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
            # Without its age: a reason that changed at each pass would be logged at each.
            raise Unavailable("feed: no market data")
        targets = await self._signals.ask(quotes, within=STEP_SECONDS)
        if not self._broker.up:
            # Said here, so that no step has to wait for what is known.
            raise Unavailable(f"broker: {self._broker.detail}")
        if clock.monotonic() >= self._armed_until:
            await self._wind()  # before the first order: a bot that dies after it is covered
        await self._orders.ask(targets, within=STEP_SECONDS)
        if clock.monotonic() >= self._wind_due:
            await self._wind()
        record_money(
            self.metrics,
            balances=self._broker.balances,
            positions=self._book.positions,
            quotes=quotes,
        )

    async def _wind(self) -> None:
        # The deadline counts from before the request: the venue's is never earlier.
        now, elapsed = clock.timestamp(), clock.monotonic()
        reached(Failpoint.DEADMAN_RENEWING)
        await self._broker.call(
            "CancelAllOrdersAfter", lambda client: client.cancel_all_after(self._dead_man)
        )
        reached(Failpoint.DEADMAN_RENEWED)
        self.metrics.dead_man_switch(now + self._dead_man)
        self._wind_due = elapsed + self._dead_man / WINDS_PER_TIMEOUT
        self._armed_until = elapsed + self._dead_man

    async def disarm(self) -> None:
        """Switch the venue's dead-man switch off: nothing is open that it would guard.

        Raises:
            Unavailable: the broker is down; it will fire, and find nothing.
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

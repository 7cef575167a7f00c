"""Evaluates the loss limits, and takes into account what an operator accepted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from trading_ops import clock, logs
from trading_ops.botkit.orders.order import Position
from trading_ops.botkit.risk import losses
from trading_ops.botkit.risk.limits import ZERO, Holding
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)


class Breach(NamedTuple):
    """A limit that is reached, and the hold that follows."""

    limit: str
    hold: str
    """The hold's id."""

    currency: str
    used: Decimal
    allowed: Decimal
    state: str
    """The trading state of the hold."""


class LossWatch:
    """Computes losses from positions and prices, and keeps the state that survives a restart."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        limits: RiskLimits,
        positions: Callable[[], Mapping[str, Position]],
        hold_id: Callable[[str, str], str],
        released_at: Callable[[str], float | None],
        on_accepted: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Start without state; set `state` before the first evaluation.

        Args:
            metrics: of the bot.
            limits: the configured limits.
            positions: returns the current positions.
            hold_id: returns the id of a hold for a limit and a currency.
            released_at: returns when a hold was last released, in seconds since the epoch; None
                while it is in force, and if it never was.
            on_accepted: called with the details of a loss that an operator accepted.
        """
        self._metrics = metrics
        self._limits = limits
        self._positions = positions
        self._hold_id = hold_id
        self._released_at = released_at
        self._on_accepted = on_accepted
        self.state: losses.LossState | None = None
        """None until it was read from the records; nothing is evaluated before."""

        self.changed = False
        """Whether the state has changed since it was stored."""

    def evaluate(self, holdings: Sequence[Holding]) -> list[Breach]:
        """Return the loss limits that are reached now, and update the metrics."""
        if self.state is None:
            return []
        prices = {held.symbol: held.price for held in holdings if held.price is not None}
        self._export_positions(prices)
        fresh = all(held.valued for held in holdings)
        found: list[Breach] = []
        uses = {"daily_loss": ZERO, "total_drawdown": ZERO}
        for currency in dict.fromkeys(held.currency for held in holdings):
            result = losses.result_of(self._positions(), prices, currency)
            if result is None:
                continue
            if fresh:  # stale prices start no trading day and set no new highest result
                self._update(self.state, currency, result)
            for limit, lost, most, hold_state in self._losses(self.state, currency, result):
                uses[limit] = max(uses[limit], lost / most)
                hold = self._hold_id(limit, currency)
                allowed = self._allowed(self.state, limit, hold, currency, lost, most)
                if lost >= allowed:
                    found.append(Breach(limit, hold, currency, lost, allowed, hold_state))
        for limit, use in uses.items():
            self._metrics.risk_limit_used(limit, float(use))
        return found

    def _export_positions(self, prices: Mapping[str, Decimal]) -> None:
        for symbol, held in self._positions().items():
            if not held.quantity:
                self._metrics.position_profit(symbol, 0.0)
            elif symbol in prices:
                self._metrics.position_profit(symbol, float(held.unrealized(prices[symbol])))

    def _losses(
        self, state: losses.LossState, currency: str, result: Decimal
    ) -> Iterator[tuple[str, Decimal, Decimal, str]]:
        """Yield each loss limit's name, the current loss, the limit, and the hold's state."""
        limits = self._limits
        lost = losses.daily_loss(state, currency, result)
        self._metrics.daily_loss(currency, float(lost))
        yield "daily_loss", lost, limits.daily_loss, limits.daily_loss_state
        fallen = losses.drawdown(state, currency, result)
        self._metrics.drawdown(currency, float(fallen))
        yield "total_drawdown", fallen, limits.total_drawdown, limits.total_drawdown_state

    def _update(self, state: losses.LossState, currency: str, result: Decimal) -> None:
        limits = self._limits
        day = losses.trading_day(clock.timestamp(), zone=limits.day_zone, start=limits.day_start)
        begun = losses.begin_day(state, currency, day, result)
        risen = losses.update_highest(state, currency, result, limits.total_drawdown)
        self.changed = self.changed or begun or risen
        if begun:
            log.info("trading_day_began", day=day, currency=currency, result=str(result))

    def _allowed(
        self,
        state: losses.LossState,
        limit: str,
        hold: str,
        currency: str,
        lost: Decimal,
        most: Decimal,
    ) -> Decimal:
        """Return the loss from which to hold the bot; a release accepts the loss at that time."""
        today = state.days[currency].name if currency in state.days else ""
        released_at = self._released_at(hold)
        if released_at is not None and released_at > state.released.get(hold, 0.0):
            state.released[hold] = released_at
            state.accepted.pop(hold, None)
            self.changed = True
            if lost >= most:
                state.accepted[hold] = losses.AcceptedLoss(amount=lost, day=today)
                self._on_accepted({"limit": limit, "hold": hold, "lost": f"{lost} {currency}"})
        accepted = state.accepted.get(hold)
        if accepted is None or (limit == "daily_loss" and accepted.day != today):
            return most
        return losses.threshold(most, accepted.amount, self._limits.again_percent)

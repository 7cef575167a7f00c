"""Which loss limits are reached, with what a person has accepted by lifting a hold."""

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
    """A limit that is reached, and what the bot is held in for it."""

    limit: str
    hold: str
    """The hold's id."""

    currency: str
    used: Decimal
    allowed: Decimal
    state: str


class LossWatch:
    """Computes losses from positions and prices, and remembers what a restart must not reset."""

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        limits: RiskLimits,
        positions: Callable[[], Mapping[str, Position]],
        hold_id: Callable[[str, str], str],
        lifted: Callable[[str], float | None],
        on_accepted: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Begin without memory; see `memory`.

        Args:
            metrics: of the bot.
            limits: of the settings.
            positions: returns those of the book.
            hold_id: returns the id of a hold, for a limit and a currency.
            lifted: returns when a hold was last lifted, None while it stands or if it never was.
            on_accepted: is told of a loss that a person accepted.
        """
        self._metrics = metrics
        self._limits = limits
        self._positions = positions
        self._hold_id = hold_id
        self._lifted = lifted
        self._on_accepted = on_accepted
        self.memory: losses.Remembered | None = None
        """None until it was read: nothing can be judged before."""

        self.changed = False
        """Whether the memory is newer than what is kept in the records."""

    def look(self, holdings: Sequence[Holding]) -> list[Breach]:
        """Return the loss limits that are reached now."""
        if self.memory is None:
            return []
        prices = {held.symbol: held.price for held in holdings if held.price is not None}
        fresh = all(held.valued for held in holdings)
        found: list[Breach] = []
        uses = {"daily_loss": ZERO, "total_drawdown": ZERO}
        for currency in dict.fromkeys(held.currency for held in holdings):
            result = losses.result_of(self._positions(), prices, currency)
            if result is None:
                continue
            if fresh:  # on old prices no day begins, and no height is reached
                self._note(self.memory, currency, result)
            for limit, lost, most, state in self._lost(self.memory, currency, result):
                uses[limit] = max(uses[limit], lost / most)
                hold = self._hold_id(limit, currency)
                allowed = self._allowed(self.memory, limit, hold, currency, lost, most)
                if lost >= allowed:
                    found.append(Breach(limit, hold, currency, lost, allowed, state))
        for limit, use in uses.items():
            self._metrics.risk_limit_used(limit, float(use))
        return found

    def _lost(
        self, memory: losses.Remembered, currency: str, result: Decimal
    ) -> Iterator[tuple[str, Decimal, Decimal, str]]:
        """Yield each loss limit, what is lost of it, the most that may be, and what follows."""
        limits = self._limits
        lost = losses.daily_loss(memory, currency, result)
        self._metrics.daily_loss(currency, float(lost))
        yield "daily_loss", lost, limits.daily_loss, limits.daily_loss_state
        fallen = losses.drawdown(memory, currency, result)
        self._metrics.drawdown(currency, float(fallen))
        yield "total_drawdown", fallen, limits.total_drawdown, limits.total_drawdown_state

    def _note(self, memory: losses.Remembered, currency: str, result: Decimal) -> None:
        limits = self._limits
        day = losses.trading_day(clock.timestamp(), zone=limits.day_zone, start=limits.day_start)
        begun = losses.begin_day(memory, currency, day, result)
        risen = losses.raise_highest(memory, currency, result, limits.total_drawdown)
        self.changed = self.changed or begun or risen
        if begun:
            log.info("trading_day_began", day=day, currency=currency, result=str(result))

    def _allowed(
        self,
        memory: losses.Remembered,
        limit: str,
        hold: str,
        currency: str,
        lost: Decimal,
        most: Decimal,
    ) -> Decimal:
        """Return the loss at which to hold the bot; a lift accepts what was lost by then."""
        today = memory.days[currency].name if currency in memory.days else ""
        lifted = self._lifted(hold)
        if lifted is not None and lifted > memory.lifts.get(hold, 0.0):
            memory.lifts[hold] = lifted
            memory.accepted.pop(hold, None)
            self.changed = True
            if lost >= most:
                memory.accepted[hold] = losses.Accepted(amount=lost, day=today)
                self._on_accepted({"limit": limit, "hold": hold, "lost": f"{lost} {currency}"})
        accepted = memory.accepted.get(hold)
        if accepted is None or (limit == "daily_loss" and accepted.day != today):
            return most
        return losses.threshold(most, accepted.amount, self._limits.again_percent)

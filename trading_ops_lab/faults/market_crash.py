"""A price drop on an oversized position: it exceeds the fleet's daily loss limit.

A bot's own limits allow half of that loss. So the drill uses what no limit of a bot prevents: a
filled order of its own that its records do not have, as after a lost answer.
"""

import math
from decimal import Decimal

import msgspec

from trading_ops import clock
from trading_ops.botkit.orders.order import new_client_id
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER
from trading_ops_lab.faults.account import look, until
from trading_ops_lab.faults.base import Fault

ALERT = "TradingFleetDailyLossBreached"
PAIR, BASE = "ETH/USD", "XETH"
"""The asset to buy, and its name in the venue's accounts."""

SMALLEST = Decimal("0.001")
"""The venue's minimum order size."""

FALL_PERCENT = 30
MARGIN = 3.0
"""Loss beyond the limit, in quote currency: a price move may recover some of it."""

OTHERS = 2.0
"""Margin for losses on the bot's own position."""

OURS = frozenset({"reconciler", "risk"})
"""Owners of the holds that the drill causes: the fleet's, and those of the bot's own limits."""

SIGNS = 2
"""Heartbeats after the halt: a halted bot also renews its dead man's switch every few seconds."""

LIMIT_LEFT = "fleet:trading_daily_loss:limit - on (currency) fleet:trading_daily_loss:sum"


class _Ticker(msgspec.Struct):
    b: list[Decimal]


class _Tickers(msgspec.Struct):
    result: dict[str, _Ticker]


class MarketCrash(Fault):
    """Buys with an id of the bot, then drops the price; the evidence is the venue's journal."""

    describe = (
        "an order with one of the bot's ids that is not in its records is filled far above its "
        "limits, and the price falls by {FALL_PERCENT} %"
    )

    def __init__(self) -> None:
        self._since = 0.0
        self._bought = Decimal(0)
        self._balance = Decimal(0)
        self._price = Decimal(0)

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Buy, drop the price, and make the bot compare its records with its venue.

        Raises:
            StackError: the bot would halt itself before the fleet is stopped, or did not compare.
        """
        worth = await worth_to_lose(scene, bot)
        self._since = clock.timestamp()
        self._price = await _bid(scene, bot)
        order = await _trade(scene, bot, "buy", str(worth), oflags="viqc")
        self._bought = Decimal(order["vol_exec"])
        self._balance = await _balance(scene, bot)
        key = await scene.faults(bot).inject("price_jump", pair=PAIR, percent=-FALL_PERCENT)
        try:
            await look(scene, bot)
        except BaseException:
            await self.clean_up(scene, bot, key)
            raise
        return key

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Trade the loss back, and release the holds that the drill caused, like an operator.

        The sold amount is bought back at the crash price, so that only fees are lost when the price
        is restored: the day's loss still counts, and the fleet would be stopped again.
        """
        sold = self._balance - await _balance(scene, bot)
        if sold >= SMALLEST:
            await _trade(scene, bot, "buy", format(sold, "f"))
        await scene.faults(bot).clear(key)
        half_way = self._price * (100 - FALL_PERCENT // 2) / 100
        await until(lambda: _above(scene, bot, half_way), "the price was not restored")
        await _trade(scene, bot, "sell", format(self._bought, "f"))
        await look(scene, bot)
        await until(lambda: _under_the_limit(scene), "the fleet's loss is still over its limit")
        for target in await scene.reconciler.targets():
            ours = [hold for hold in target.holds if hold.owner in OURS]
            placed = [hold.id for hold in ours if hold.at.timestamp() >= self._since]
            if placed:
                await scene.reconciler.release(
                    target.name, holds=placed, owner=OWNER, reason="seen"
                )

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Search the journal for heartbeats of the bot after its halt, and for orders."""
        halted = await _halted_at(scene, bot, since)
        if halted is None:
            return None
        alive = await until(lambda: _alive(scene, bot, halted), f"{bot.name} is silent")
        journal = await scene.faults(bot).journal(since=halted)
        if any(event.event == "order_added" and event.account == bot.name for event in journal):
            return None
        return f"the venue's journal has {alive} requests of the halted bot, and no order"


async def worth_to_lose(scene: Scene, bot: Target) -> int:
    """Return how much must be bought, in quote currency, for the drop to reach the fleet's limit.

    Raises:
        StackError: the bot's own limit would halt it first, or Prometheus has no limit.
    """
    left, drawdown = await until(
        lambda: _limits(scene, bot), "Prometheus has no samples of the daily loss"
    )
    more = left + MARGIN
    most = float(RiskLimits().total_drawdown) - drawdown - OTHERS
    if more > most:
        raise StackError(
            f"the fleet's limit needs a further loss of {more:.2f}, but {bot.name} halts itself "
            f"at {most:.2f}: use a new var folder, or wait until tomorrow"
        )
    return math.ceil(more * 100 / FALL_PERCENT)


async def _limits(scene: Scene, bot: Target) -> tuple[float, float] | None:
    """Return the rest of the fleet's limit and the bot's drawdown; None until both exist.

    Both come from rules, whose first evaluation is later than the first sample of `up`.
    """
    left = [sample.value for sample in await scene.prometheus.query(LIMIT_LEFT)]
    drawdown = await scene.prometheus.query(f'max(trading_drawdown{{bot="{bot.name}"}})')
    return (min(left), drawdown[0].value) if left and drawdown else None


async def _trade(scene: Scene, bot: Target, side: str, volume: str, **more: str) -> dict[str, str]:
    """Send a market order with an id that the bot recognizes as its own."""
    mine = new_client_id(bot.name)
    order = await scene.faults(bot).trade(
        bot.name, pair=PAIR, type=side, ordertype="market", volume=volume, cl_ord_id=mine, **more
    )
    return dict(order)


async def _balance(scene: Scene, bot: Target) -> Decimal:
    account = await scene.faults(bot).account(bot.name)
    return Decimal(account["balances"][BASE])


async def _bid(scene: Scene, bot: Target) -> Decimal:
    venue = scene.registry.find(bot.venue or "")
    if venue is None:
        raise StackError(f"{bot.name} has no venue")
    url = f"http://{venue.address}/0/public/Ticker"
    async with scene.session.get(url, params={"pair": PAIR}) as response:
        tickers = msgspec.json.decode(await response.read(), type=_Tickers)
    return next(iter(tickers.result.values())).b[0]


async def _above(scene: Scene, bot: Target, price: Decimal) -> bool | None:
    return await _bid(scene, bot) > price or None


async def _under_the_limit(scene: Scene) -> bool | None:
    return all(sample.value > 0 for sample in await scene.prometheus.query(LIMIT_LEFT)) or None


async def _halted_at(scene: Scene, bot: Target, since: float) -> float | None:
    """Return when the reconciler had halted the bot for the fleet's loss; None: it has not."""
    found = await scene.reconciler.incidents(alertname=ALERT, target=bot.name, since=str(since))
    timeline = await scene.reconciler.timeline(found[0].id) if found else None
    ended = (
        [attempt.ended_at for attempt in timeline.attempts if attempt.ended_at] if timeline else []
    )
    return min(ended).timestamp() if ended else None


async def _alive(scene: Scene, bot: Target, since: float) -> int | None:
    journal = await scene.faults(bot).journal(since=since)
    signs = [
        event for event in journal if event.event == "dead_man_armed" and event.account == bot.name
    ]
    return len(signs) if len(signs) >= SIGNS else None

"""Financial metrics from Prometheus: a few bounded queries for all bots, shared by all viewers."""

import asyncio
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from trading_ops import clock, logs
from trading_ops.backoff import Seldom
from trading_ops.clients.prometheus import Prometheus, Sample, Series
from trading_ops.errors import ClientError

log = logs.get(__name__)

KEPT_SECONDS = 1.5
"""How long a result is shared by all viewers."""

LINES_KEPT_SECONDS = 15.0
LINE_SECONDS, LINE_STEP_SECONDS = 3600.0, 60.0
LINES_KEPT = 64
"""Number of pages of bots whose graphs are cached."""

LAST_KNOWN = "1h"
"""How far back to look for the exposure of a bot that does not answer."""

MISSING = 50
"""Maximum number of such bots per query."""

QUERIES: Mapping[str, str] = {
    "loss": 'max by (bot, currency) (trading_daily_loss{job="trading-bot"})',
    "exposure": (
        'max by (bot, currency) (trading_exposure{job="trading-bot"}'
        ' or trading_freqtrade_exposure{job="trading-bot-detail"})'
    ),
    "used": (
        "max by (bot, limit) (trading_risk_limit_used_ratio"
        '{job="trading-bot",limit=~"daily_loss|exposure"})'
    ),
    "drift": 'max by (bot, symbol) (abs(trading_position_drift{job="trading-bot"})) > 0',
}
WITHOUT_AGENT: Mapping[str, str] = {
    "heartbeat": 'max by (bot) (trading_bot_heartbeat_timestamp_seconds{job="trading-bot"})',
    "broker": 'min by (bot) (trading_component_up{job="trading-bot",component="broker"})',
    "state": 'max by (bot, state) (trading_state{job="trading-bot"}) == 1',
}
"""Values that the agents of all other bots report earlier."""


@dataclass(kw_only=True, slots=True)
class Money:
    """Financial state of one bot; amounts by currency."""

    loss: dict[str, float] = field(default_factory=dict)
    exposure: dict[str, float] = field(default_factory=dict)
    loss_used: float | None = None
    """Share of the limit; 1 is the limit. None: no such limit, or unknown."""

    exposure_used: float | None = None
    drift: dict[str, float] = field(default_factory=dict)
    """By symbol; without symbols that agree."""

    heartbeat: float | None = None
    """Seconds since the epoch."""

    broker: bool | None = None
    state: str | None = None
    is_old: bool = False
    """The bot's metrics are missing; these are the last ones of the past hour."""


@dataclass(frozen=True, kw_only=True)
class FleetMoney:
    """Financial state of all bots at one moment."""

    of: Mapping[str, Money]
    at: float
    """When Prometheus answered, seconds since the epoch."""

    problem: str = ""
    """Why there is no data; empty: Prometheus answered."""


class FigureReader:
    """Queries Prometheus once for all simultaneous viewers."""

    def __init__(
        self, prometheus: Prometheus, bots: Collection[str], *, all_have_agents: bool
    ) -> None:
        """Set up the queries; `bots` are the names of the registered bots, the only ones shown."""
        self._prometheus = prometheus
        self._bots = frozenset(bots)
        self._queries = {**QUERIES, **({} if all_have_agents else WITHOUT_AGENT)}
        self._logged = Seldom()
        self._last: FleetMoney | None = None
        self._read_at = -math.inf
        self._reading: asyncio.Task[FleetMoney] | None = None
        self._lines: dict[tuple[str, ...], tuple[float, Mapping[str, Series]]] = {}

    async def read(self) -> FleetMoney:
        """Return the figures, at most `KEPT_SECONDS` old."""
        if self._last is not None and clock.monotonic() - self._read_at < KEPT_SECONDS:
            return self._last
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._ask())
        return await asyncio.shield(self._reading)

    async def lines(self, bots: Sequence[str]) -> Mapping[str, Series]:
        """Return the equity of some bots in the last hour; bots without equity are left out."""
        wanted = tuple(sorted(self._bots.intersection(bots)))
        kept = self._lines.get(wanted)
        if not wanted or (kept and clock.monotonic() - kept[0] < LINES_KEPT_SECONDS):
            return kept[1] if kept else {}
        end = clock.timestamp()
        equity = f'trading_equity{{job="trading-bot-detail",bot=~{_any_of(wanted)}}}'
        query = f"max by (bot, currency) ({equity})"
        try:
            found = await self._prometheus.query_range(
                query, start=end - LINE_SECONDS, end=end, step=LINE_STEP_SECONDS
            )
        except ClientError:
            found = []
        first: dict[str, Series] = {}
        for line in sorted(found, key=lambda series: series.labels.get("currency", "")):
            first.setdefault(line.labels.get("bot", ""), line)
        while len(self._lines) >= LINES_KEPT:
            del self._lines[next(iter(self._lines))]
        self._lines[wanted] = clock.monotonic(), first
        return first

    async def _ask(self) -> FleetMoney:
        try:
            answers = await asyncio.gather(*map(self._prometheus.query, self._queries.values()))
            of = _money(dict(zip(self._queries, answers, strict=True)), self._bots)
            missing = sorted(self._bots - of.keys())[:MISSING]
            of.update(await self._last_known(missing))
            figures = FleetMoney(of=of, at=clock.timestamp())
        except ClientError as error:
            if self._logged.is_due("figures"):
                log.warning("figures_not_read", error=str(error))
            figures = FleetMoney(of={}, at=clock.timestamp(), problem=str(error))
        self._last, self._read_at = figures, clock.monotonic()
        return figures

    async def _last_known(self, bots: Sequence[str]) -> Mapping[str, Money]:
        if not bots:
            return {}
        names = _any_of(bots)
        last = f'last_over_time(trading_exposure{{job="trading-bot",bot=~{names}}}[{LAST_KNOWN}])'
        found = {"exposure": await self._prometheus.query(f"max by (bot, currency) ({last})")}
        of = _money(found, frozenset(bots))
        for money in of.values():
            money.is_old = True
        return of


def _any_of(names: Sequence[str]) -> str:
    """Return a PromQL regular expression that matches exactly these names."""
    return json.dumps("|".join(name.replace(".", r"\.") for name in names))


def _money(found: Mapping[str, list[Sample]], bots: Collection[str]) -> dict[str, Money]:
    """Return the financial state of the bots that have one."""
    of: dict[str, Money] = {}
    for kind, samples in found.items():
        fill = _FILL[kind]
        for sample in samples:
            bot = sample.labels.get("bot", "")
            if bot in bots and math.isfinite(sample.value):
                money = of.get(bot)
                if money is None:
                    money = of[bot] = Money()
                fill(money, sample.labels, sample.value)
    return of


def _fill_used(money: Money, labels: Mapping[str, str], value: float) -> None:
    if labels.get("limit") == "daily_loss":
        money.loss_used = value
    else:
        money.exposure_used = value


def _fill_heartbeat(money: Money, _labels: Mapping[str, str], value: float) -> None:
    money.heartbeat = value


def _fill_broker(money: Money, _labels: Mapping[str, str], value: float) -> None:
    money.broker = value > 0


def _fill_state(money: Money, labels: Mapping[str, str], _value: float) -> None:
    money.state = labels.get("state")


_FILL: Mapping[str, Callable[[Money, Mapping[str, str], float], None]] = {
    "loss": lambda money, labels, value: money.loss.update({labels.get("currency", ""): value}),
    "exposure": lambda money, labels, value: money.exposure.update(
        {labels.get("currency", ""): value}
    ),
    "used": _fill_used,
    "drift": lambda money, labels, value: money.drift.update({labels.get("symbol", ""): value}),
    "heartbeat": _fill_heartbeat,
    "broker": _fill_broker,
    "state": _fill_state,
}

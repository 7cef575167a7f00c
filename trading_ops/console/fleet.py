"""The fleet page: bots at risk first, then one row for each bot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from trading_ops.api.targets import TargetView
from trading_ops.console.figures import FleetMoney, Money
from trading_ops.domain.alert import SEVERE
from trading_ops.domain.hold import HeldState
from trading_ops.domain.incident import Incident
from trading_ops.domain.target import NAMED_BOTS, Kind

PAGE = 50
UNRESPONSIVE_SECONDS = 3.0
"""After this time without an answer of its agent, a bot is unresponsive, as in the API."""

SLOW_SECONDS, STUCK_SECONDS = 5.0, 30.0
"""Thresholds for the age of a heartbeat, as on the boards."""

EVERYWHERE = "everywhere"
"""The note on a target's automation if the setting applies to all targets."""

NEAR = 0.8
"""Share of a limit from which it is shown as near."""

BREACHED = 1.001
"""For exposure: a bot may use the whole limit."""

UNKNOWN, UNRESPONSIVE, HALTED, REDUCING, ACTIVE = (
    "unknown",
    "unresponsive",
    "halted",
    "reducing",
    "active",
)
_ORDER = (UNRESPONSIVE, UNKNOWN, HALTED, REDUCING, ACTIVE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One bot."""

    target: TargetView
    state: str
    money: Money
    heartbeat_age: float | None
    """In seconds; None: not reported."""

    broker: bool | None
    incidents: Sequence[Incident] = ()
    """Open incidents, most severe first."""

    @property
    def name(self) -> str:
        """Return the bot's name."""
        return self.target.name

    @property
    def has_agent(self) -> bool:
        """Return whether it has an agent that accepts commands."""
        return self.target.kind is not Kind.BARE_BOT

    @property
    def not_in_force(self) -> int:
        """Return the number of holds that the bot has not acknowledged."""
        return sum(hold.id not in self.target.in_force for hold in self.target.holds)

    @cached_property
    def severity(self) -> int:
        """Return 0: healthy, 1: needs attention, 2: money is at risk."""
        return 2 if self.risks else 1 if self._needs_attention else 0

    @cached_property
    def risks(self) -> tuple[str, ...]:
        """Return why money is at risk; empty: it is not."""
        money, found = self.money, []
        exposed = any(amount > 0 for amount in money.exposure.values())
        if self.state == UNRESPONSIVE:
            found.append("does not answer" + (" with open positions" if exposed else ""))
        if self.not_in_force:
            found.append("has not acknowledged a hold")
        if (money.loss_used or 0) >= 1:
            found.append("has reached its daily loss limit")
        if (money.exposure_used or 0) > BREACHED:
            found.append("is above its exposure limit")
        if money.drift:
            found.append(f"disagrees with the venue on {', '.join(sorted(money.drift))}")
        if any(incident.labels.get("severity") in SEVERE for incident in self.incidents):
            found.append(f"has {self.incidents[0].alert}")
        return tuple(found)

    @property
    def _needs_attention(self) -> bool:
        money = self.money
        near = max(money.loss_used or 0, (money.exposure_used or 0) - 1 + NEAR) >= NEAR
        slow = self.heartbeat_age is not None and self.heartbeat_age > SLOW_SECONDS
        return (
            self.state != ACTIVE
            or near
            or slow
            or self.broker is False
            or bool(self.incidents or self.target.holds)
        )


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All bots, unhealthy ones first."""

    rows: tuple[Row, ...]
    problem: str
    """Why metrics from Prometheus are missing; empty: they are not."""

    others: Sequence[Incident] = ()
    """Open incidents without a bot."""

    loss: Mapping[str, float] = field(default_factory=dict)
    """Total of all bots, by currency."""

    exposure: Mapping[str, float] = field(default_factory=dict)

    def count(self, state: str) -> int:
        """Return how many bots are in a state."""
        return sum(row.state == state for row in self.rows)

    @property
    def risky(self) -> tuple[Row, ...]:
        """Return the bots where money is at risk."""
        return tuple(row for row in self.rows if row.risks)

    @property
    def only_observes(self) -> bool:
        """Return whether automation is observe-only on all targets."""
        return any(row.target.automation_note == EVERYWHERE for row in self.rows)

    @property
    def worst_loss(self) -> Row | None:
        """Return the bot with the highest use of its daily loss limit."""
        return _most(self.rows, lambda row: row.money.loss_used)

    @property
    def worst_exposure(self) -> Row | None:
        """Return the bot with the highest use of its exposure limit."""
        return _most(self.rows, lambda row: row.money.exposure_used)

    @property
    def open_incidents(self) -> int:
        """Return the number of open incidents."""
        return sum(len(row.incidents) for row in self.rows) + len(self.others)

    def found(self, text: str, state: str) -> tuple[Row, ...]:
        """Return the bots whose name or venue contains a text, optionally only those in a state."""
        text = text.lower()
        return tuple(
            row
            for row in self.rows
            if text in row.name.lower() or text in (row.target.venue or "").lower()
            if not state or row.state == state or (state == "trouble" and row.severity)
        )


def gather(
    targets: Iterable[TargetView], incidents: Iterable[Incident], figures: FleetMoney, now: datetime
) -> Fleet:
    """Return the current fleet."""
    bots = [target for target in targets if target.kind in NAMED_BOTS]
    named = {bot.name for bot in bots}
    of: dict[str, list[Incident]] = {}
    others: list[Incident] = []
    for incident in incidents:
        bot = incident.target if incident.target in named else incident.labels.get("bot")
        (of.setdefault(bot, []) if bot in named else others).append(incident)
    rows = [_row(bot, sorted(of.get(bot.name, ()), key=_rank), figures, now) for bot in bots]
    rows.sort(key=lambda row: (-row.severity, _ORDER.index(row.state), row.name))
    return Fleet(
        rows=tuple(rows),
        problem=figures.problem,
        others=sorted(others, key=_rank),
        loss=_total(row.money.loss for row in rows),
        exposure=_total(row.money.exposure for row in rows),
    )


def _row(
    target: TargetView, incidents: Sequence[Incident], figures: FleetMoney, now: datetime
) -> Row:
    money = figures.of.get(target.name, Money())
    agent = target.agent
    beat = money.heartbeat
    if agent is not None and agent.heartbeat_at is not None:
        beat = max(agent.heartbeat_at.timestamp(), beat or 0.0)
    broker = money.broker
    if agent is not None and "broker" in agent.components:
        broker = agent.components["broker"]
    return Row(
        target=target,
        state=_state(target, money, now),
        money=money,
        heartbeat_age=None if not beat else max(0.0, now.timestamp() - beat),
        broker=broker,
        incidents=incidents,
    )


def _state(target: TargetView, money: Money, now: datetime) -> str:
    agent = target.agent
    if target.kind is Kind.BARE_BOT:
        return money.state if money.state in _ORDER else UNKNOWN
    if agent is None:
        return UNKNOWN
    if (now - agent.answered_at).total_seconds() > UNRESPONSIVE_SECONDS:
        return UNRESPONSIVE
    reported = agent.state if agent.state in _ORDER else UNKNOWN
    # Our holds count as in force until the agent's next answer.
    held = [hold.state for hold in target.holds if hold.id in target.in_force]
    if HeldState.HALTED in held:
        return HALTED
    return REDUCING if HeldState.REDUCING in held and reported == ACTIVE else reported


def _rank(incident: Incident) -> tuple[int, datetime]:
    order = {"emergency": 0, "critical": 1, "warning": 2}
    return order.get(incident.labels.get("severity", ""), 3), incident.opened_at


def _total(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for by_currency in amounts:
        for currency, amount in by_currency.items():
            total[currency] = total.get(currency, 0.0) + amount
    return dict(sorted(total.items()))


def _most(rows: Iterable[Row], share: Callable[[Row], float | None]) -> Row | None:
    known = [(value, row) for row in rows if (value := share(row)) is not None]
    return max(known, key=lambda ranked: ranked[0])[1] if known else None

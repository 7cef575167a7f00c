"""An event reported by a bot, as stored: all fields are untrusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from trading_ops.domain.message import Message, MessageKind, Severity


class BotEventKind(StrEnum):
    """Kind of event; same values as the agent's."""

    TRADE = "trade"
    ORDER = "order"
    SIGNAL = "signal"
    RISK = "risk"
    SYSTEM = "system"


AWAY = "away_seconds"
"""In the data of a system event that reports a restart."""


@dataclass(frozen=True, kw_only=True)
class BotEvent:
    """One event of one bot."""

    bot: str
    event: str
    """Its id, unique in the bot."""

    kind: BotEventKind
    severity: Severity
    at: datetime
    received_at: datetime
    strategy: str
    symbol: str
    order_id: str
    correlation: str
    summary: str
    data: Mapping[str, Any]


def message_of(one: BotEvent) -> Message | None:
    """Return the message about an event; None for orders, signals and routine events."""
    match one.kind:
        case BotEventKind.TRADE:
            kind = MessageKind.TRADE
        case BotEventKind.RISK:
            kind = MessageKind.RISK
        case BotEventKind.SYSTEM if AWAY in one.data:
            kind = MessageKind.RESTART
        case _ if one.severity is not Severity.INFO:
            kind = MessageKind.ERROR
        case _:
            return None
    facts = {
        "Bot": one.bot,
        "Strategy": one.strategy,
        "Symbol": one.symbol,
        "Order": one.order_id,
        **dict(_fact(name, value) for name, value in one.data.items()),
    }
    return Message(
        key=f"bot-event:{one.bot}:{one.event}",
        kind=kind,
        severity=one.severity,
        bot=one.bot,
        at=one.at,
        subject=f"{one.bot}: {one.summary}",
        facts={name: value for name, value in facts.items() if value not in ("", None)},
    )


def _fact(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_seconds"):
        name, value = name.removesuffix("_seconds"), f"{value} s"
    return name.replace("_", " ").capitalize(), value


def amount(one: BotEvent, name: str) -> Decimal | None:
    """Return an amount of a trade, such as `fee`; None: no finite number was reported."""
    try:
        value = Decimal(str(one.data[name]))
    except (KeyError, InvalidOperation):
        return None
    return value if value.is_finite() else None

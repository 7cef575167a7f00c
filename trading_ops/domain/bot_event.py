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


def message_of(event: BotEvent) -> Message | None:
    """Return the message about an event; None for orders, signals and routine events."""
    match event.kind:
        case BotEventKind.TRADE:
            kind = MessageKind.TRADE
        case BotEventKind.RISK:
            kind = MessageKind.RISK
        case BotEventKind.SYSTEM if AWAY in event.data:
            kind = MessageKind.RESTART
        case _ if event.severity is not Severity.INFO:
            kind = MessageKind.ERROR
        case _:
            return None
    facts = {
        "Bot": event.bot,
        "Strategy": event.strategy,
        "Symbol": event.symbol,
        "Order": event.order_id,
        **dict(_fact(name, value) for name, value in event.data.items()),
    }
    return Message(
        key=f"bot-event:{event.bot}:{event.event}",
        kind=kind,
        severity=event.severity,
        bot=event.bot,
        at=event.at,
        subject=f"{event.bot}: {event.summary}",
        facts={name: value for name, value in facts.items() if value not in ("", None)},
    )


def _fact(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_seconds"):
        name, value = name.removesuffix("_seconds"), f"{value} s"
    return name.replace("_", " ").capitalize(), value


def amount(event: BotEvent, name: str) -> Decimal | None:
    """Return an amount of a trade, such as `fee`; None: no finite number was reported."""
    try:
        value = Decimal(str(event.data[name]))
    except (KeyError, InvalidOperation):
        return None
    return value if value.is_finite() else None

"""One message of every kind, and reports with all their parts, as recipients see them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from trading_ops.domain.bot_event import BotEvent, BotEventKind
from trading_ops.domain.bot_event import message_of as event_message
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.domain.report import (
    BackupFigures,
    BotFigures,
    Finding,
    IncidentLine,
    LimitUse,
    Period,
    Ratio,
    Report,
    ReportedPosition,
    ResponseFigures,
    ServiceLevel,
    TradeFigures,
    TradeLine,
    WatchedSymbol,
)
from trading_ops.notify.alerts import alerts_message
from trading_ops.notify.outbox import make_test_message
from trading_ops.notify.rendering import Line, Rendered, Renderer
from trading_ops.reports.sending import message_of

HOSTILE = "<script>alert(1)</script>"
AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
LINK = "https://ops.example.com"
RENDERER = Renderer(zone=ZoneInfo("America/New_York"), link=LINK)

REPORT = Report(
    period=Period.DAILY,
    since=datetime(2026, 3, 2, 5, 0, tzinfo=UTC),
    until=datetime(2026, 3, 2, 21, 30, tzinfo=UTC),
    bots=(
        BotFigures(
            bot="alpha",
            currency="USD",
            result=1234.5,
            unrealized=-20.25,
            equity=51234.0,
            exposure=4000.0,
            open_positions=2,
            worst_daily_loss=310.0,
            orders_filled=17,
            trades_closed=None,
            win_ratio=None,
        ),
        BotFigures(
            bot="freq",
            currency="USD",
            result=-34.5,
            unrealized=None,
            equity=None,
            exposure=None,
            open_positions=0,
            worst_daily_loss=None,
            orders_filled=None,
            trades_closed=8,
            win_ratio=0.625,
        ),
    ),
    trades=(
        TradeFigures(
            bot="alpha",
            currency="USD",
            trades=17,
            closed=8,
            win_ratio=0.625,
            profit=1234.5,
            profit_factor=2.5,
            fees=4.1,
            slippage=None,
        ),
    ),
    closed_trades=(
        TradeLine(at=AT, bot="alpha", symbol="ETH/USD", currency="USD", profit=410.25, fee=1.2),
        TradeLine(
            at=AT + timedelta(hours=4),
            bot="freq",
            symbol="BTC/USD",
            currency="USD",
            profit=-34.5,
            fee=None,
        ),
    ),
    positions=(
        ReportedPosition(
            bot="alpha", symbol="BTC/USD", quantity=-0.0125, unrealized=-4.25, currency="USD"
        ),
        ReportedPosition(
            bot="alpha", symbol="ETH/USD", quantity=1.5, unrealized=None, currency="USD"
        ),
    ),
    watch_list=(
        WatchedSymbol(bot="alpha", symbol="ETH/USD", strategy="sma", signal="long ETH/USD", at=AT),
    ),
    results=(("USD", 1200.0),),
    limits=(LimitUse(bot="alpha", limit="daily_loss", ratio=0.31),),
    response=ResponseFigures(
        incidents=2, remediated=1, escalated=1, mtta_seconds=1.5, mttr_seconds=16.5
    ),
    previous=None,
    by_alert=(("TradingBotDown", 2),),
    incidents=(
        IncidentLine(
            id="1a2b3c4d",
            alert="TradingBotDown",
            target="alpha",
            opened_at=AT,
            seconds=16.5,
            escalated=False,
            actions=("restart_bot verified",),
        ),
        IncidentLine(
            id="5e6f7a8b",
            alert="TradingVenueDown",
            target=HOSTILE,
            opened_at=AT - timedelta(hours=1),
            seconds=None,
            escalated=True,
            actions=(),
        ),
    ),
    open=(f"alpha is halted by ann: {HOSTILE}",),
    budgets=(Ratio(name="availability", ratio=0.87),),
    levels=(),
    level_queries={},
    disks=(Ratio(name="e:1 /", ratio=0.42),),
    backups=BackupFigures(
        kept=12,
        damaged=1,
        bytes=48_200_000,
        recoverable_to=datetime(2026, 3, 2, 21, 25, tzinfo=UTC),
        restore_tested_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        restore_seconds=2.4,
    ),
    missing=("fees per trade",),
)

LEVEL = ServiceLevel(
    bot="alpha",
    slo="availability",
    objective=0.999,
    ratio=0.999996,
    budget=0.001,
    spent=0.004,
    left=0.996,
    measured=0.98,
)

QUARTER = replace(
    REPORT,
    period=Period.QUARTERLY,
    since=datetime(2026, 1, 1, 5, 0, tzinfo=UTC),
    until=datetime(2026, 4, 1, 4, 0, tzinfo=UTC),
    closed_trades=(),
    watch_list=(),
    previous=ResponseFigures(
        incidents=5, remediated=3, escalated=2, mtta_seconds=1.0, mttr_seconds=40.0
    ),
    previous_results=(("USD", -310.0),),
    levels=(
        LEVEL,
        replace(LEVEL, slo="nonces", ratio=None, spent=None, left=None, measured=0.0),
    ),
    findings=(Finding(topic="index", subject="i", text="The index orders_at is never used."),),
    suggestions=(
        (
            "TradingBotSignalsStale: all 7 incidents ended without an action or an acknowledgement,"
            " after a median of 45.0 s. Raise the rule's `for`."
        ),
    ),
    capacity=("disk e:1 / is full in 23 days at 1.2 GB a day: add 20 GB of disk space.",),
)


WEEK = replace(
    QUARTER,
    period=Period.WEEKLY,
    since=datetime(2026, 3, 2, 5, 0, tzinfo=UTC),
    until=datetime(2026, 3, 9, 4, 0, tzinfo=UTC),
    levels=(),
    capacity=(),
)
MONTH = replace(
    QUARTER,
    period=Period.MONTHLY,
    since=datetime(2026, 3, 1, 5, 0, tzinfo=UTC),
    capacity=(),
)


def _event(
    kind: BotEventKind, summary: str, severity: Severity = Severity.INFO, **data: str
) -> Message:
    made = event_message(
        BotEvent(
            bot="alpha",
            event="e1",
            kind=kind,
            severity=severity,
            at=AT,
            received_at=AT,
            strategy="sma" if kind is BotEventKind.TRADE else "",
            symbol="ETH/USD" if kind is BotEventKind.TRADE else "",
            order_id="o-17" if kind is BotEventKind.TRADE else "",
            correlation="s-1",
            summary=summary,
            data=data,
        )
    )
    assert made is not None
    return made


def _message(kind: MessageKind, severity: Severity, subject: str, **facts: object) -> Message:
    return Message(
        key="k", kind=kind, severity=severity, bot="alpha", at=AT, subject=subject, facts=facts
    )


NOTIFICATION = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "TradingBotDown", "bot": "alpha", "severity": "critical"},
            "annotations": {"summary": f"Bot alpha is down {HOSTILE}"},
            "startsAt": "2026-03-02T14:59:00Z",
        },
        {
            "status": "firing",
            "labels": {"alertname": "TradingVenueSlow", "venue": "paper", "severity": "warning"},
            "annotations": {"summary": "The venue answers slowly."},
            "startsAt": "2026-03-02T14:59:30Z",
        },
    ],
}

MESSAGES: Mapping[str, Message] = {
    "alert": alerts_message(json.dumps(NOTIFICATION).encode(), now=AT),
    "trade": _event(
        BotEventKind.TRADE,
        "sell 0.5 ETH/USD for 1005",
        side="sell",
        quantity="0.5",
        cost="1005",
        fee="0.40",
        currency="USD",
        profit="12.50",
    ),
    "risk": _event(
        BotEventKind.RISK, "daily loss at 80 % of its limit", Severity.WARNING, limit="daily_loss"
    ),
    "error": _event(BotEventKind.SYSTEM, f"the model file is damaged {HOSTILE}", Severity.CRITICAL),
    "restart": _event(
        BotEventKind.SYSTEM,
        "back after 12 s; 2 differences with the venue, 1 still open",
        Severity.WARNING,
        away_seconds="12.3",
        reconciled_in_seconds="0.4",
        corrected="order o-17: filled at the venue while away",
        still_open="position ETH/USD: the venue has 0.5 more",
    ),
    "recovery": _message(
        MessageKind.RECOVERY,
        Severity.CRITICAL,
        "alpha: TradingBotBrokerDisconnected ended after 12.7 s",
        alert="TradingBotBrokerDisconnected",
        target="alpha",
        summary="Bot alpha has no connection to its broker.",
        began=AT,
        ended=AT + timedelta(seconds=12.7),
        seconds=12.7,
        reason="recovered",
        steps=["reconnect_broker on alpha: verified after 0.3 s: a new session was opened"],
        open=[f"alpha is halted by ann: {HOSTILE}"],
        incident="1a2b3c4d",
    ),
    "approval": _message(
        MessageKind.APPROVAL,
        Severity.CRITICAL,
        "Approval waiting: resume_trading on alpha",
        id="9f8e7d6c",
        action="resume_trading",
        target="alpha",
        params="none",
        requested_by="ann",
        expires=AT + timedelta(minutes=15),
    ),
    "hold": _message(
        MessageKind.HOLD,
        Severity.WARNING,
        "Hold placed: alpha is halted: unusual fills",
        Target="alpha",
        By="ann",
        Hold="alpha is halted: unusual fills",
    ),
    "pause": _message(
        MessageKind.PAUSE,
        Severity.WARNING,
        "Automation paused by ann",
        By="ann",
        Reason="deploy",
        Until=AT + timedelta(hours=1),
    ),
    "maintenance": _message(
        MessageKind.MAINTENANCE,
        Severity.INFO,
        "Maintenance begins: alpha",
        Target="alpha",
        Reason="kernel update",
        Owner="ann",
        From=AT,
        Until=AT + timedelta(hours=1),
    ),
    "readiness": _message(
        MessageKind.READINESS,
        Severity.WARNING,
        "Readiness hours start again: alpha: paper/72h: orders: 0.93",
        **{
            "Target": "alpha",
            "Stage and evidence": "alpha: paper/72h: orders: 0.93",
            "State": "running",
            "Hours": 0.0,
        },
    ),
    "report-daily": message_of(REPORT),
    "report-monthly": message_of(MONTH),
    "report-quarterly": message_of(QUARTER),
    "report-weekly": message_of(WEEK),
    "test": make_test_message(owner="ann", key="1", now=AT),
}

LINES = tuple(
    Line(at=AT + timedelta(seconds=31 * n), subject=f"alpha: sell 0.{n} ETH/USD for {n}00", text="")
    for n in range(1, 18)
)


def rendered() -> dict[str, Rendered]:
    """Return every sample as it is sent, and a digest."""
    found = {name: RENDERER.message(message) for name, message in MESSAGES.items()}
    return found | {"digest": RENDERER.digest(LINES, kind="trade", total=len(LINES))}

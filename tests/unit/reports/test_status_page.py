"""The status page: states only, and never operational without proof."""

import re
from pathlib import Path
from typing import cast

import pytest

from tests.builders import NOW
from trading_ops.clients.prometheus import Prometheus, Sample
from trading_ops.errors import ClientError
from trading_ops.reports.status_page import (
    ALERTS,
    PARTS,
    PartState,
    StatusPage,
    as_html,
    make_status_page,
)

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
WATCHDOG = ("Watchdog", "none")


class Answers:
    """A Prometheus with these firing alerts; None: it does not answer."""

    def __init__(self, firing: list[tuple[str, str]] | None, *, maintenance: bool = False) -> None:
        self.firing = firing
        self.maintenance = maintenance

    async def query(self, expression: str) -> list[Sample]:
        if self.firing is None:
            raise ClientError("no answer")
        if expression != ALERTS:
            return [Sample(labels={}, value=1.0)] if self.maintenance else []
        return [
            Sample(labels={"alertname": name, "severity": severity}, value=1.0)
            for name, severity in self.firing
        ]


async def shown(firing: list[tuple[str, str]] | None, *, maintenance: bool = False) -> StatusPage:
    prometheus = cast(Prometheus, Answers(firing, maintenance=maintenance))
    return await make_status_page(prometheus, now=NOW)


@pytest.mark.parametrize(
    ("firing", "trading"),
    [
        ([WATCHDOG], PartState.OPERATIONAL),
        ([WATCHDOG, ("TradingBotMemoryHigh", "info")], PartState.OPERATIONAL),
        ([WATCHDOG, ("TradingBotMemoryHigh", "warning")], PartState.DEGRADED),
        ([WATCHDOG, ("TradingBotMemoryHigh", "warning"), ("TradingBotDown", "critical")],
         PartState.OUTAGE),
        ([WATCHDOG, ("CheckoutTradingBotDown", "critical")], PartState.OPERATIONAL),
        ([("TradingBotMemoryHigh", "warning")], PartState.UNKNOWN),
        ([], PartState.UNKNOWN),
        (None, PartState.UNKNOWN),
    ],
)  # fmt: skip
async def test_the_worst_alert_decides(
    firing: list[tuple[str, str]] | None, trading: PartState
) -> None:
    """Without Watchdog nothing is known; other teams' alerts do not count."""
    assert dict((await shown(firing)).parts)["Trading"] == trading


async def test_nothing_private_is_on_it() -> None:
    page = await shown([WATCHDOG, ("TradingBotDown", "critical")], maintenance=True)
    text = as_html(page)
    assert "outage" in text
    assert "maintenance" in text
    for private in ("TradingBot", "alpha", "paper", "<script", "http"):
        assert private not in text


def test_every_alert_concerns_a_part_or_another_alert() -> None:
    """A new group of alerts must be given a part."""
    names = {
        name
        for file in RULES.glob("*.yml")
        for name in re.findall(r"alert: (Trading\w+)", file.read_text(encoding="utf-8"))
    }
    about_alerts = {
        "TradingAlertPersists",
        "TradingAlertUnacknowledged",
        "TradingRecoveryFailed",
        "TradingSnoozeExpired",
    }
    without = {
        name for name in names if not any(re.fullmatch(pattern, name) for pattern in PARTS.values())
    }
    assert without == about_alerts

"""The committed routes on a real Alertmanager: what heals in time never pages, the rest does.

Only the two addresses and the people's wait (5 minutes → 3 seconds) are replaced. “No mail” is
never a guess: a later mail that must come is awaited, and is the next one.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.rules.receivers import Mail, Receivers, Told, run_receivers
from tests.rules.running_alertmanager import WEBHOOK_TOKEN, RunningAlertmanager, run_alertmanager
from trading_ops import clock

WAIT = 3.0
AT_ONCE = 2.5
"""Seconds; generous, and still less than the wait. The interval of a group is 30 s or 1 s."""
DEADLINE = 15.0


class Loop(NamedTuple):
    """Alertmanager and what it tells."""

    alertmanager: RunningAlertmanager
    receivers: Receivers


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[Loop]:
    """Run all three."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers, {"5m": f"{WAIT:.0f}s"}) as running,
    ):
        yield Loop(running, receivers)


async def next_told(receivers: Receivers) -> Told:
    return await asyncio.wait_for(receivers.told.get(), DEADLINE)


async def next_mail(receivers: Receivers) -> Mail:
    return await asyncio.wait_for(receivers.mails.get(), DEADLINE)


def bot_alert(name: str, bot: str = "alpha", **labels: str) -> dict[str, str]:
    return {"alertname": name, "bot": bot, "venue": "paper", "severity": "critical", **labels}


async def test_what_heals_in_time_reaches_the_reconciler_at_once_and_people_never(
    loop: Loop,
) -> None:
    """The reconciler hears of both ends; the next mail is another alert's, after its own wait."""
    posted = clock.monotonic()
    healed = bot_alert("TradingBotDown", escalate="5m")
    await loop.alertmanager.post(healed)
    told = await next_told(loop.receivers)
    assert told.at - posted < AT_ONCE
    assert (told.body["status"], told.names) == ("firing", ["TradingBotDown"])
    assert told.path == "/api/v1/webhook/alertmanager"
    assert told.authorization == f"Bearer {WEBHOOK_TOKEN}"
    await loop.alertmanager.post(healed, resolved=True)
    told = await next_told(loop.receivers)
    assert (told.body["status"], told.names) == ("resolved", ["TradingBotDown"])

    await loop.alertmanager.post(bot_alert("TradingBotDown", bot="beta", escalate="5m"))
    mail = await next_mail(loop.receivers)
    assert mail.subject == "[FIRING] TradingBotDown bot=beta venue=paper"
    assert loop.receivers.mails.empty()


async def test_what_does_not_heal_is_exactly_one_mail_at_the_end_of_its_wait(loop: Loop) -> None:
    """Not before, not twice, and with all that a person needs."""
    posted = clock.monotonic()
    await loop.alertmanager.post(bot_alert("TradingBotDown", escalate="5m"))
    mail = await next_mail(loop.receivers)
    assert WAIT - 0.2 <= mail.at - posted < WAIT + AT_ONCE
    assert "https://runbooks.example/TradingBotDown.md" in mail.body("plain")
    assert 'href="https://boards.example/d/overview"' in mail.body("html")
    assert "What &lt;b&gt;happened&lt;/b&gt;." in mail.body("html")

    await loop.alertmanager.post(bot_alert("TradingRecoveryFailed", escalate="0s"))
    assert "TradingRecoveryFailed" in (await next_mail(loop.receivers)).subject


@pytest.mark.parametrize("labels", [{"escalate": "0s"}, {}, {"escalate": "soon"}])
async def test_what_must_not_wait_does_not(loop: Loop, labels: dict[str, str]) -> None:
    """Nor does an alert that forgot to say, while another one is waiting."""
    await loop.alertmanager.post(bot_alert("TradingBotDown", escalate="5m"))
    posted = clock.monotonic()
    await loop.alertmanager.post(bot_alert("Another", origin="TradingBotDown", **labels))
    mail = await next_mail(loop.receivers)
    assert mail.subject == "[FIRING] Another after TradingBotDown bot=alpha venue=paper"
    assert mail.at - posted < AT_ONCE


async def test_nobody_is_told_of_watchdog_but_the_reconciler_is(loop: Loop) -> None:
    """`never` is a receiver that tells nobody, beside the one that is always told."""
    await loop.alertmanager.post({"alertname": "Watchdog", "severity": "none", "escalate": "never"})
    assert (await next_told(loop.receivers)).names == ["Watchdog"]
    await loop.alertmanager.post(bot_alert("Another", escalate="0s"))
    assert "Another" in (await next_mail(loop.receivers)).subject


async def test_a_second_alert_and_a_re_fire_are_told_within_seconds(loop: Loop) -> None:
    """The interval of the reconciler's groups bounds both."""
    await loop.alertmanager.post(bot_alert("TradingBotDown", escalate="5m"))
    await next_told(loop.receivers)
    for resolved in (True, False):
        posted = clock.monotonic()
        alert = bot_alert("TradingBotDown", escalate="5m")
        await loop.alertmanager.post(alert, resolved=resolved)
        told = await next_told(loop.receivers)
        assert told.body["status"] == ("resolved" if resolved else "firing")
        assert told.at - posted < 1.0 + AT_ONCE
    posted = clock.monotonic()
    await loop.alertmanager.post(bot_alert("TradingBotBrokerDisconnected", escalate="5m"))
    told = await next_told(loop.receivers)
    assert told.names == ["TradingBotBrokerDisconnected"]
    assert told.at - posted < AT_ONCE


async def test_a_venue_that_says_that_it_is_in_maintenance_is_not_called_dead(loop: Loop) -> None:
    """Nor are its bots; and the second line is not called for what was muted."""
    venue = {"venue": "paper", "escalate": "0s"}
    await loop.alertmanager.post(venue | {"alertname": "TradingVenueMaintenance"})
    assert (await next_mail(loop.receivers)).subject.startswith("[FIRING] TradingVenueMaintenance")
    await loop.alertmanager.post(venue | {"alertname": "TradingVenueDown"})
    await loop.alertmanager.post(bot_alert("TradingBotBrokerDisconnected", escalate="0s"))
    unacknowledged = {"alertname": "TradingAlertUnacknowledged", "tier": "l2"}
    await loop.alertmanager.post(venue | unacknowledged | {"origin": "TradingVenueDown"})
    await loop.alertmanager.post(venue | {"alertname": "TradingVenueDown", "venue": "other"})
    assert (await next_mail(loop.receivers)).subject == "[FIRING] TradingVenueDown venue=other"
    states = await loop.alertmanager.states()
    assert states["TradingBotBrokerDisconnected"] == "suppressed"
    assert states["TradingAlertUnacknowledged"] == "suppressed"


async def test_a_closed_market_mutes_its_silence_and_not_a_dead_bot(loop: Loop) -> None:
    """For the reconciler too, which would restart a feed that has nothing to say."""
    closed = {"alertname": "TradingMarketClosed", "venue": "paper", "escalate": "never"}
    await loop.alertmanager.post(closed)
    assert (await next_told(loop.receivers)).names == ["TradingMarketClosed"]
    for name in ("TradingBotMarketDataStale", "TradingBotOrdersRejected", "TradingBotDown"):
        await loop.alertmanager.post(bot_alert(name, escalate="0s"))
    assert (await next_told(loop.receivers)).names == ["TradingBotDown"]
    assert (await next_mail(loop.receivers)).subject.startswith("[FIRING] TradingBotDown")
    elsewhere = bot_alert("TradingBotMarketDataStale", escalate="0s") | {"venue": "other"}
    await loop.alertmanager.post(elsewhere)
    assert (await next_mail(loop.receivers)).subject.endswith("venue=other")


async def test_a_dead_venue_mutes_what_follows_from_it_on_that_venue_alone(loop: Loop) -> None:
    """Its bots' broker and market data; not their death, not another venue's bots."""
    await loop.alertmanager.post(
        {"alertname": "TradingVenueDown", "venue": "paper", "escalate": "5m"}
    )
    assert (await next_told(loop.receivers)).names == ["TradingVenueDown"]
    muted = {"TradingBotBrokerDisconnected", "TradingBotMarketDataStale"}
    for name in sorted(muted):
        await loop.alertmanager.post(bot_alert(name, escalate="0s"))
    late = bot_alert("TradingRecoveryOverdue", origin="TradingBotMarketDataStale", escalate="0s")
    await loop.alertmanager.post(late)
    await loop.alertmanager.post(bot_alert("TradingBotDown", escalate="0s"))
    assert (await next_told(loop.receivers)).names == ["TradingBotDown"]
    assert "TradingBotDown" in (await next_mail(loop.receivers)).subject
    elsewhere = bot_alert("TradingBotBrokerDisconnected", escalate="0s") | {"venue": "other"}
    await loop.alertmanager.post(elsewhere)
    assert (await next_mail(loop.receivers)).subject.endswith("venue=other")
    states = await loop.alertmanager.states()
    assert states["TradingBotMarketDataStale"] == "suppressed"
    assert states["TradingRecoveryOverdue"] == "suppressed"
    assert states["TradingBotDown"] == "active"

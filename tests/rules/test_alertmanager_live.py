"""The committed routes on a real Alertmanager.

Only the two addresses are replaced. The delay before paging: `test_delay_live`. “No mail” is
never a guess: a later mail that must come is awaited, and is the next one.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.rules.receivers import Mail, Notification, Receivers, run_receivers
from tests.rules.running_alertmanager import WEBHOOK_TOKEN, RunningAlertmanager, run_alertmanager
from trading_ops import clock
from trading_ops.domain.acknowledgement import PAGE

AT_ONCE = 2.5
"""Seconds; generous. The interval of the reconciler's groups is 1 s."""
DEADLINE = 30.0


class Loop(NamedTuple):
    """Alertmanager and what it tells."""

    alertmanager: RunningAlertmanager
    receivers: Receivers


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[Loop]:
    """Run all three."""
    async with (
        run_receivers() as receivers,
        run_alertmanager(tmp_path / "alertmanager", receivers) as running,
    ):
        yield Loop(running, receivers)


async def next_notification(receivers: Receivers) -> Notification:
    return await asyncio.wait_for(receivers.notifications.get(), DEADLINE)


async def next_mail(receivers: Receivers) -> Mail:
    return await asyncio.wait_for(receivers.mails.get(), DEADLINE)


def bot_alert(name: str, bot: str = "alpha", **labels: str) -> dict[str, str]:
    return {"alertname": name, "bot": bot, "venue": "paper", "severity": "critical", **labels}


def page_of(name: str, **labels: str) -> dict[str, str]:
    return bot_alert(PAGE, origin=name, page_after="0s", after="5m") | labels


async def test_an_alert_with_a_delay_reaches_the_reconciler_and_not_on_call(loop: Loop) -> None:
    """The reconciler is notified of start and end immediately; a rule pages for it."""
    posted = clock.monotonic()
    remediated = bot_alert("TradingBotDown", page_after="5m")
    await loop.alertmanager.post(remediated)
    notification = await next_notification(loop.receivers)
    assert notification.at - posted < AT_ONCE
    assert (notification.body["status"], notification.names) == ("firing", ["TradingBotDown"])
    assert notification.path == "/api/v1/webhook/alertmanager"
    assert notification.authorization == f"Bearer {WEBHOOK_TOKEN}"
    await loop.alertmanager.post(remediated, resolved=True)
    notification = await next_notification(loop.receivers)
    assert (notification.body["status"], notification.names) == ("resolved", ["TradingBotDown"])

    await loop.alertmanager.post(bot_alert("TradingBotSlow", page_after="15m"))
    assert (await next_notification(loop.receivers)).names == ["TradingBotSlow"]
    await loop.alertmanager.post(page_of("TradingBotDown", bot="beta"))
    mail = await next_mail(loop.receivers)
    assert mail.subject == "[FIRING] TradingBotDown bot=beta venue=paper"
    assert loop.receivers.mails.empty()
    assert loop.receivers.notifications.empty()


async def test_a_page_has_all_that_a_person_needs(loop: Loop) -> None:
    """Its links, its text, and nothing in it that is read as markup."""
    await loop.alertmanager.post(page_of("TradingBotDown"))
    mail = await next_mail(loop.receivers)
    assert f"https://runbooks.example/{PAGE}.md" in mail.body("plain")
    assert "runbooks/TradingBotDown.md" in mail.body("plain")
    assert 'href="https://boards.example/d/overview"' in mail.body("html")
    assert "What &lt;b&gt;happened&lt;/b&gt;." in mail.body("html")


async def test_one_cause_is_one_page(loop: Loop) -> None:
    """Many bots at once, of two venues: one mail has them all; another alert's is another."""
    bots = [f"bot-{number}" for number in range(150)]
    await loop.alertmanager.post_all(
        [
            page_of("TradingBotDown", bot=bot, venue=f"venue-{number % 2}")
            for number, bot in enumerate(bots)
        ]
    )
    mail = await next_mail(loop.receivers)
    assert mail.subject == "[FIRING] TradingBotDown (150 firing, 0 resolved)"
    tokens = mail.body("plain").replace(" = ", "=").split()
    assert {f"bot={bot}" for bot in bots} <= set(tokens)
    await loop.alertmanager.post(page_of("TradingBotDiskLow"))
    assert (await next_mail(loop.receivers)).subject.startswith("[FIRING] TradingBotDiskLow")


async def test_a_reconciler_that_is_down_is_one_page(loop: Loop) -> None:
    """What Alertmanager cannot deliver to it is no second one; what fails otherwise is."""
    failing = {"alertname": "TradingOpsNotificationsFailing", "severity": "critical"}
    down = {"alertname": "TradingOpsReconcilerDown", "severity": "critical", "page_after": "0s"}
    await loop.alertmanager.post(down)
    assert "TradingOpsReconcilerDown" in (await next_mail(loop.receivers)).subject
    await loop.alertmanager.post_all(
        [
            failing | {"integration": integration, "instance": integration, "page_after": "0s"}
            for integration in ("webhook", "email")
        ]
    )
    mail = await next_mail(loop.receivers)
    assert mail.subject.startswith("[FIRING] TradingOpsNotificationsFailing")
    assert "webhook" not in mail.body("plain")


def hostile(number: int) -> dict[str, str]:
    """Return the labels of an alert that no rule of ours raises, each time others."""
    own = f"{number}{'x' * 1_000}"
    return [
        {"alertname": f"Any{own}"},
        {"alertname": f"Trading{own}", "page_after": "0s"},
        {"alertname": PAGE, "origin": f"TradingBot{own}", "page_after": "0s"},
        {"alertname": "TradingBotDown", "venue": own, "page_after": own},
    ][number % 4]


async def test_three_hundred_alerts_of_a_stranger_are_one_small_page(loop: Loop) -> None:
    """Whatever names, origins, venues and delays they have, and however large they are."""
    await loop.alertmanager.post_all([hostile(number) for number in range(300)])
    last = await next_mail(loop.receivers)
    mails = [last]
    # One mail, or two where the machine takes longer to read the alerts than a group waits.
    while "(300 firing" not in last.subject:
        last = await next_mail(loop.receivers)
        mails.append(last)
    assert len(mails) <= 2
    assert last.subject == "[FIRING] multiple alerts (300 firing, 0 resolved)"
    assert len(last.message.as_bytes()) < 200_000
    # A page of our own is not lost among them.
    await loop.alertmanager.post(page_of("TradingBotDiskLow"))
    mail = await next_mail(loop.receivers)
    assert mail.subject.startswith("[FIRING] TradingBotDiskLow bot=")


@pytest.mark.parametrize("labels", [{"page_after": "0s"}, {}, {"page_after": "soon"}])
async def test_what_must_not_wait_does_not(loop: Loop, labels: dict[str, str]) -> None:
    """Nor does an alert without the label."""
    await loop.alertmanager.post(bot_alert("TradingBotDown", page_after="5m"))
    await loop.alertmanager.post(bot_alert("Another", origin="TradingBotDown", **labels))
    mail = await next_mail(loop.receivers)
    assert mail.subject == "[FIRING] Another after TradingBotDown bot=alpha venue=paper"


async def test_watchdog_notifies_the_reconciler_and_no_person(loop: Loop) -> None:
    """`never` notifies no one but the reconciler."""
    watchdog = {"alertname": "Watchdog", "severity": "none", "page_after": "never"}
    await loop.alertmanager.post(watchdog)
    assert (await next_notification(loop.receivers)).names == ["Watchdog"]
    await loop.alertmanager.post(bot_alert("Another", page_after="0s"))
    assert "Another" in (await next_mail(loop.receivers)).subject


async def test_a_second_alert_and_a_re_fire_are_notified_within_seconds(loop: Loop) -> None:
    """The interval of the reconciler's groups bounds both."""
    await loop.alertmanager.post(bot_alert("TradingBotDown", page_after="5m"))
    await next_notification(loop.receivers)
    for resolved in (True, False):
        posted = clock.monotonic()
        alert = bot_alert("TradingBotDown", page_after="5m")
        await loop.alertmanager.post(alert, resolved=resolved)
        notification = await next_notification(loop.receivers)
        assert notification.body["status"] == ("resolved" if resolved else "firing")
        assert notification.at - posted < 1.0 + AT_ONCE
    posted = clock.monotonic()
    await loop.alertmanager.post(bot_alert("TradingBotBrokerDisconnected", page_after="5m"))
    notification = await next_notification(loop.receivers)
    assert notification.names == ["TradingBotBrokerDisconnected"]
    assert notification.at - posted < AT_ONCE


async def test_a_venue_that_says_that_it_is_in_maintenance_is_not_called_dead(loop: Loop) -> None:
    """Nor are its bots; and the secondary on-call is not paged for what was muted."""
    venue = {"venue": "paper", "page_after": "0s"}
    await loop.alertmanager.post(venue | {"alertname": "TradingVenueMaintenance"})
    assert (await next_mail(loop.receivers)).subject.startswith("[FIRING] TradingVenueMaintenance")
    await loop.alertmanager.post(venue | {"alertname": "TradingVenueDown"})
    await loop.alertmanager.post(bot_alert("TradingBotBrokerDisconnected", page_after="0s"))
    unacknowledged = {"alertname": "TradingAlertUnacknowledged", "tier": "l2"}
    await loop.alertmanager.post(venue | unacknowledged | {"origin": "TradingVenueDown"})
    await loop.alertmanager.post(page_of("TradingVenueDown", venue="other"))
    subject = (await next_mail(loop.receivers)).subject
    assert subject == "[FIRING] TradingVenueDown bot=alpha venue=other"
    states = await loop.alertmanager.states()
    assert states["TradingBotBrokerDisconnected"] == "suppressed"
    assert states["TradingAlertUnacknowledged"] == "suppressed"


async def test_a_closed_market_mutes_its_silence_and_not_a_dead_bot(loop: Loop) -> None:
    """For the reconciler too, which would restart a feed that has nothing to say."""
    closed = {"alertname": "TradingMarketClosed", "venue": "paper", "page_after": "never"}
    await loop.alertmanager.post(closed)
    assert (await next_notification(loop.receivers)).names == ["TradingMarketClosed"]
    for name in ("TradingBotMarketDataStale", "TradingBotOrdersRejected", "TradingBotDown"):
        await loop.alertmanager.post(bot_alert(name, page_after="0s"))
    assert (await next_notification(loop.receivers)).names == ["TradingBotDown"]
    assert (await next_mail(loop.receivers)).subject.startswith("[FIRING] TradingBotDown")
    await loop.alertmanager.post(page_of("TradingBotMarketDataStale", venue="other"))
    assert (await next_mail(loop.receivers)).subject.endswith("venue=other")


async def test_a_dead_venue_mutes_what_follows_from_it_on_that_venue_alone(loop: Loop) -> None:
    """Its bots' broker and market data; not their death, not another venue's bots."""
    await loop.alertmanager.post(
        {"alertname": "TradingVenueDown", "venue": "paper", "page_after": "5m"}
    )
    assert (await next_notification(loop.receivers)).names == ["TradingVenueDown"]
    muted = {"TradingBotBrokerDisconnected", "TradingBotMarketDataStale"}
    for name in sorted(muted):
        await loop.alertmanager.post(bot_alert(name, page_after="0s"))
    await loop.alertmanager.post(page_of("TradingBotMarketDataStale"))
    await loop.alertmanager.post(bot_alert("TradingBotDown", page_after="0s"))
    assert (await next_notification(loop.receivers)).names == ["TradingBotDown"]
    assert "TradingBotDown" in (await next_mail(loop.receivers)).subject
    elsewhere = bot_alert("TradingBotBrokerDisconnected", page_after="0s") | {"venue": "other"}
    await loop.alertmanager.post(elsewhere)
    assert "venue = other" in (await next_mail(loop.receivers)).body("plain")
    states = await loop.alertmanager.states()
    assert states["TradingBotMarketDataStale"] == "suppressed"
    assert states[PAGE] == "suppressed"
    assert states["TradingBotDown"] == "active"

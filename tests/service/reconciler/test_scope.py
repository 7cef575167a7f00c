"""Only our alerts become incidents, whatever else the shared Prometheus and Alertmanager have."""

from typing import Any

from tests.builders import LABELS
from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops.store import events

FOREIGN = {"alertname": "CheckoutDown", "severity": "critical"}
ELSEWHERE = FOREIGN | {"alertname": "CheckoutSlow", "page_after": "5m", "bot": "alpha"}
OFTEN = 0.2


async def test_alerts_of_other_teams_open_no_incident(start: Start, world: FakeWorld) -> None:
    """One without our page label, and one that Alertmanager routes to another receiver."""
    world.foreign = [FOREIGN, ELSEWHERE]
    async with start(poll_interval_seconds=OFTEN) as running:
        world.firing = True  # no webhook: it is found by a poll, which sees the others as well
        await eventually(running.closed)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
    assert {incident["alert"] for incident in found} == {LABELS["alertname"]}
    assert world.receivers == {"reconciler|trading\\-ops"}


async def test_an_alert_without_the_page_label_at_the_webhook_is_ignored(start: Start) -> None:
    """Someone routes it to us, firing and then resolved; the alert of ours beside it is kept."""
    foreign = {key: value for key, value in LABELS.items() if key != "page_after"}
    ignored = 'trading_ops_alerts_ignored_total{reason="no_page_label"}'
    async with start(poll_interval_seconds=600) as running:
        world = running.world
        world.firing = True
        posted = world.alert()
        stranger = posted | {"labels": foreign | {"alertname": "CheckoutDown"}}
        stranger["fingerprint"] = "0123456789abcdef"
        assert await running.notify(stranger) == 200
        assert await running.notify(stranger | {"status": "resolved"}) == 200
        assert await running.notify(posted) == 200

        async def all_taken() -> bool:
            return await running.metric(ignored) == 2.0 and await running.incident() is not None

        await eventually(all_taken)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
    assert [incident["alert"] for incident in found] == [LABELS["alertname"]]


async def test_a_thousand_forged_alerts_open_few_incidents_and_hide_no_real_one(
    start: Start, world: FakeWorld
) -> None:
    """Prometheus has none of them. The real alert comes last, when no more are opened."""
    world.labels["team"] = "ours"
    count = 'trading_ops_alerts_ignored_total{reason="unconfirmed"}'
    async with start(poll_interval_seconds=600, unconfirmed_incidents=10) as running:
        await running.has_polled()
        for first in range(0, 1000, 250):
            forged = [
                world.alert() | {"labels": LABELS | {"bot": f"b{number}"}, "fingerprint": ""}
                for number in range(first, first + 250)
            ]
            assert await running.notify(*forged) == 200

        async def all_counted() -> bool:
            return await running.metric(count) == 990

        await eventually(all_counted)
        await running.break_it()
        await eventually(lambda: world.commands == ["reconnect_broker"])
        opened = await running.api_reader.read(
            lambda connection: [
                event for event in events.since(connection, 0) if event.kind == "opened"
            ]
        )
    assert len(opened) == 11


async def test_another_teams_watchdog_is_no_sign_of_life(start: Start, world: FakeWorld) -> None:
    """It says that their rules are evaluated, not ours."""
    world.watchdog = False
    world.foreign = [{"alertname": "Watchdog", "severity": "none"}]
    async with start(poll_interval_seconds=OFTEN) as running:
        await running.break_it()
        await eventually(lambda: running.has_event("decided_wait", "source_unknown"))
    assert world.commands == []


async def test_external_labels_are_no_part_of_an_alert(start: Start, world: FakeWorld) -> None:
    """Prometheus adds them to what it sends only: still one alert, and one incident."""
    world.external = {"cluster": "prod", "bot": "all"}
    async with start(poll_interval_seconds=OFTEN) as running:
        await running.break_it()
        closed: dict[str, Any] = await eventually(running.closed)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
    assert world.commands == ["reconnect_broker"]
    assert closed["labels"] == LABELS
    assert len(found) == 1

"""Only our alerts become incidents, whatever else the shared Prometheus and Alertmanager have."""

from typing import Any

from tests.builders import LABELS
from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually

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
    assert {one["alert"] for one in found} == {LABELS["alertname"]}
    assert world.receivers == {"reconciler|trading\\-ops"}


async def test_another_teams_watchdog_is_no_sign_of_life(start: Start, world: FakeWorld) -> None:
    """It says that their rules are evaluated, not ours."""
    world.watchdog = False
    world.foreign = [{"alertname": "Watchdog", "severity": "none"}]
    async with start(poll_interval_seconds=OFTEN) as running:
        await running.break_it()
        await eventually(lambda: running.said("decided_wait", "source_unknown"))
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

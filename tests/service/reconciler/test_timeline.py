"""The timeline that a real run of the reconciler leaves: complete and anchored."""

import asyncio

import msgspec

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops.audit.report import ChainVerdict, read_anchors, verify
from trading_ops.cli.timeline import WIDTH, tell
from trading_ops.clients.reconciler_views import TimelineView
from trading_ops.config.settings import Settings
from trading_ops.reconciler.timeline import read_timeline
from trading_ops.reports.recovery_times import recovery_times
from trading_ops.store import Connection, audit_chain, events, incidents
from trading_ops.store.reader import open_reader


async def verified(settings: Settings) -> ChainVerdict:
    keys = [key.encode() for key in settings.accepted_secrets("audit_key")]
    anchors = await asyncio.to_thread(read_anchors, [settings.anchors], keys)
    with open_reader(settings.database_url) as reader:
        return await verify(reader, keys, anchors)


def newest_timeline(connection: Connection) -> TimelineView:
    newest = incidents.search(connection, limit=1)[0]
    timeline = read_timeline(connection, key=newest.id)
    return msgspec.json.decode(msgspec.json.encode(timeline), type=TimelineView)


async def test_an_incident_has_a_complete_timeline(
    start: Start, settings: Settings, world: FakeWorld
) -> None:
    """Remediated, stopped cleanly, started with a new key, killed: every event is proven."""
    async with start() as running:
        await running.break_it()
        await eventually(running.closed)
    first = await verified(settings)
    assert first.problem is None
    assert first.verified > 5
    assert first.unanchored == 0, "a clean stop anchors the last event"

    key = settings.secrets / "audit_key"
    key.write_text(f"newer\n{key.read_text()}\n")
    async with start(killed=True) as running:
        await running.break_it()
        await eventually(lambda: world.commands.count("reconnect_broker") == 2)
        await eventually(running.closed)
    second = await verified(settings)
    assert second.problem is None
    assert second.verified > first.verified
    assert [section.seq for section in second.keys] == [1, first.last + 1]

    with open_reader(settings.database_url) as reader:
        timeline = await reader.read(newest_timeline)
        newest = await reader.read(events.latest)
        opened = timeline.incident.opened_at
        times = await reader.read(
            lambda connection: recovery_times(
                connection, since=opened, until=opened.replace(year=opened.year + 1)
            )
        )
    lines = list(tell(timeline))
    assert all(len(line) <= WIDTH for line in lines)
    text = "\n".join(lines)
    fence = f"fence {timeline.attempts[-1].fence}"
    for part in ("received", "opened", "decided_run", "started", "verified", "closed", fence):
        assert part in " ".join(text.split()), text
    assert {"notified", audit_chain.KEY_CHANGED} <= {event.kind for event in newest}
    assert times.total.remediated == 1
    assert times.total.first_response.count == 1

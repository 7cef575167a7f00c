"""A notification that a database may choke on holds up none behind it, on either database."""

import secrets
from functools import partial
from typing import Any

import pytest

from tests.fakes import FakeWorld
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops.store import notifications

pytestmark = pytest.mark.usefixtures("database_url")

# So much chance that no database can press it into a page of an index.
LONG = secrets.token_hex(50_000)

OURS = {"page_after": "5m"}

HOSTILE: dict[str, dict[str, Any]] = {
    "NUL in a label": {"labels": {"alertname": "a\0b", "bot": "\0", "\0": "x"} | OURS},
    "NUL in a fingerprint": {"fingerprint": "\0"},
    "a long fingerprint": {"fingerprint": LONG},
    "long labels": {"labels": {"alertname": LONG, "bot": LONG, LONG: LONG} | OURS},
    "the first year": {"startsAt": "0001-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"},
    "the last year": {"startsAt": "9999-12-31T23:59:59.999999Z"},
    "it ended in the last year": {"status": "resolved", "endsAt": "9999-12-31T23:59:59.999999Z"},
    "no label at all": {"labels": {}},
}


@pytest.mark.parametrize("over", HOSTILE.values(), ids=HOSTILE)
async def test_it_holds_up_none_behind_it(
    start: Start, world: FakeWorld, over: dict[str, Any]
) -> None:
    """It is acknowledged, and the one behind it opens its incident."""
    world.firing = True
    good = world.alert()

    async with start() as running:
        assert await running.notify(good | over) == 200
        assert await running.notify(good) == 200

        async def nothing_waits() -> bool:
            waiting = partial(notifications.count, state=notifications.NotificationState.PENDING)
            return await running.loop.reader.read(waiting) == 0

        await eventually(nothing_waits)
        found = (await running.call("GET", "/api/v1/incidents"))["incidents"]
        assert good["fingerprint"] in {incident["fingerprint"] for incident in found}

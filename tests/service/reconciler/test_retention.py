"""A running reconciler removes what is older than its settings say."""

from datetime import timedelta

from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.config.settings import Settings
from trading_ops.store import Connection, notifications
from trading_ops.store.engine import writing_engine
from trading_ops.store.notifications import NotificationState
from trading_ops.store.writer import transaction

PARSED = NotificationState.PARSED


async def test_old_rows_are_removed_at_the_start(settings: Settings, start: Start) -> None:
    """The defaults hold: a body of eight days goes, one of six stays."""
    engine = writing_engine(settings.database_url)
    with transaction(engine, b"audit") as connection:
        for days in (8, 6):
            received_at = clock.now() - timedelta(days=days)
            key = notifications.add(connection, received_at=received_at, body=b"x")
            notifications.finish(connection, key, PARSED)
    engine.dispose()
    async with start() as running:

        def is_removed(connection: Connection) -> bool:
            return notifications.count(connection, PARSED) == 1

        async def removed() -> bool:
            return await running.api_reader.read(is_removed)

        await eventually(removed, what="the old body to be removed")

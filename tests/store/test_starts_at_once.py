"""Two replicas start at once, on different targets: the budget of all together still holds."""

import threading

import pytest
from sqlalchemy import Engine

from tests.builders import NOW, make_alert, make_wanted
from tests.databases import postgresql_only
from tests.open_incidents import open_incidents
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.decision import GlobalLimits
from trading_ops.store import attempts, incidents
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction

pytestmark = [postgresql_only, pytest.mark.usefixtures("database_url")]


def test_the_last_start_is_given_once(url: str, engine: Engine) -> None:
    """The second waits for the first, and then sees it."""
    alerts = {name: make_alert(fingerprint=name) for name in ("alpha", "beta")}
    sightings = [incidents.FiringAlert(alert=alert, target=name) for name, alert in alerts.items()]
    with transaction(engine) as connection:
        incidents.open_all(connection, sightings, received_at=NOW, now=NOW, source="test")
        plans = [
            attempts.StartRequest(gate_input=make_wanted(incident, limits=GlobalLimits(attempts=1)))
            for incident in open_incidents(connection)
        ]
    second: list[Attempt | None] = []
    other = writing_engine(url)

    def start_too() -> None:
        with transaction(other) as connection:
            second.append(attempts.start(connection, plans[1], now=NOW))

    thread = threading.Thread(target=start_too)
    with transaction(engine) as connection:
        assert attempts.start(connection, plans[0], now=NOW)
        thread.start()
        thread.join(0.3)
    thread.join()
    other.dispose()
    assert second == [None]

"""The checks of the sweeps, each on a history that breaks one promise."""

from typing import Any

import pytest
from sqlalchemy import create_engine, insert

from tests.builders import NOW
from tests.crash.checks import check_effects, check_integrity, check_lost, unsettled
from tests.crash.kill_points import OF_A_RECOVERY, Chooser
from tests.crash.load import Promised
from trading_ops.store import audit_chain, events
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.tables import metadata, notifications

KEY = b"key"


def row(**over: Any) -> dict[str, Any]:
    """Return an attempt as the database has it."""
    return {"id": "a", "delivery": "one_shot", "state": "verified", "fence": 2} | over


def line(kind: str = "done", **over: Any) -> dict[str, Any]:
    """Return a line of the witness."""
    about = {"bot": "bot1", "attempt": "a", "fence": 2, "one_shot": True, "episode": 7}
    return {"kind": kind, **about} | over


def test_one_effect_of_one_attempt_is_well() -> None:
    """Asked once, done once."""
    assert check_effects([row()], [line("asked"), line()]) == []


@pytest.mark.parametrize(
    ("rows", "seen", "says"),
    [
        ([], [line("asked")], "is in no database"),
        ([row()], [line("asked"), line("asked")], "was sent 2 times"),
        ([row()], [line(), line()], "took effect 2 times"),
        ([row(), row(id="b")], [line(), line(attempt="b")], "had 2 one-shots"),
        ([row(state="abandoned")], [line()], "is called abandoned"),
        ([row(fence=3)], [line()], "has fence 3, sent 2"),
        ([row()], [line(behind=True)], "behind a higher fence"),
        (
            [row(), row(id="b", fence=1)],
            [line(), line(attempt="b", fence=1, episode=8)],
            "behind a higher fence",
        ),
    ],
)
def test_each_broken_promise_is_reported(
    rows: list[dict[str, Any]], seen: list[dict[str, Any]], says: str
) -> None:
    """A sentence for each."""
    assert any(says in sentence for sentence in check_effects(rows, seen))


def test_what_is_lost_stuck_or_broken_is_reported() -> None:
    """Against a database in which nothing is as it was promised."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO chain (id, seq, mac) VALUES (1, 0, '')")
        assert check_integrity(connection, KEY) == []
        events.add(connection, at=NOW, kind="one")
        audit_chain.write(connection, KEY)
        assert check_integrity(connection, KEY) == []
        connection.exec_driver_sql("UPDATE events SET actor = 'mallory'")
        assert len(check_integrity(connection, KEY)) == 1
        promised = Promised(notifications={"n1"}, alerts={"1"})
        assert len(check_lost(connection, promised)) == 2
        connection.execute(
            insert(notifications).values(received_at=NOW, body=b"{}", state="pending")
        )
        assert unsettled(connection) == ["notification 1 was never taken apart"]
    engine.dispose()


def test_every_step_gets_its_turn() -> None:
    """When each run ends where it should, no place is left out for long."""
    chooser = Chooser(seed=1, syscalls=True)
    for _ in range(200):
        chooser.ended(chooser.next(), there=True)
    assert not [place for place in Failpoint if chooser.kills[place] < 3]
    assert chooser.kills["pwrite64"]


def test_a_recovery_is_only_chosen_when_there_is_something_to_recover() -> None:
    """Its steps are passed only behind an attempt without an outcome."""
    chooser = Chooser(seed=1, syscalls=False)
    for _ in range(100):
        choice = chooser.next()
        assert choice.place not in OF_A_RECOVERY
        chooser.ended(choice, there=False)

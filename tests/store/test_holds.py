"""Holds in the store: merged by id, the stricter wins, and a copy does not undo a release."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from tests.builders import NOW
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.store import audit_chain, events, holds


def make_hold(**over: object) -> Hold:
    values = {
        "id": "h1",
        "target": "alpha",
        "state": HeldState.HALTED,
        "owner": "ada",
        "reason": "odd fills",
        "at": NOW,
    }
    return Hold(**(values | over))  # type: ignore[arg-type]


def kinds(connection: Connection) -> list[str]:
    audit_chain.write(connection, b"")
    return [event.kind for event in events.since(connection, 0)]


def test_a_hold_stands_until_it_is_released(connection: Connection) -> None:
    """Placed twice it is one hold; released it is gone; both are recorded with who and why."""
    assert holds.place(connection, make_hold(), now=NOW)
    assert not holds.place(connection, make_hold(), now=NOW)
    assert holds.active(connection) == [make_hold()]
    assert holds.active(connection, "alpha") == [make_hold()]
    assert holds.active(connection, "beta") == []
    released = holds.release(connection, ids=["h1", "h9"], owner="bert", reason="fixed", now=NOW)
    assert released == {"h1"}
    assert holds.active(connection) == []
    assert not holds.release(connection, ids=["h1"], owner="bert", reason="fixed", now=NOW)
    assert kinds(connection) == ["hold_placed", "hold_released"]
    placed, gone = events.since(connection, 0)
    assert (placed.actor, placed.before) == ("ada", None)
    assert "odd fills" in placed.note
    assert '"halted"' in str(placed.after)
    assert gone.actor == "bert"
    assert '"ada"' in str(gone.before)
    assert '"fixed"' in str(gone.after)


def test_of_two_with_one_id_the_stricter_stands(connection: Connection) -> None:
    """In either order."""
    for first, second in ((HeldState.REDUCING, HeldState.HALTED), (HeldState.HALTED, "reducing")):
        key = f"from-{first}"
        holds.place(connection, make_hold(id=key, state=first), now=NOW)
        holds.place(connection, make_hold(id=key, state=HeldState(second)), now=NOW)
    assert {hold.state for hold in holds.active(connection)} == {HeldState.HALTED}


@pytest.mark.parametrize(("later", "stands"), [(-1, False), (0, False), (2, True)])
def test_a_late_copy_does_not_undo_a_release(
    connection: Connection, later: int, stands: bool
) -> None:
    """What was placed before the release stays released; what is placed after it is a new word."""
    holds.place(connection, make_hold(), now=NOW)
    holds.release(connection, ids=["h1"], owner="bert", reason="ok", now=NOW + timedelta(seconds=1))
    again = make_hold(at=NOW + timedelta(seconds=later))
    assert holds.place(connection, again, now=NOW) is stands
    assert holds.active(connection) == ([again] if stands else [])


def test_an_id_belongs_to_one_target(connection: Connection) -> None:
    """The hold of one bot cannot be replaced by another bot's of the same name."""
    holds.place(connection, make_hold(state=HeldState.REDUCING), now=NOW)
    with pytest.raises(holds.IdTaken, match="belongs to a hold on alpha"):
        holds.place(connection, make_hold(target="beta"), now=NOW)
    (active,) = holds.active(connection)
    assert (active.target, active.state) == ("alpha", HeldState.REDUCING)

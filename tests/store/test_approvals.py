"""Approvals as stored: by someone else, for exactly this, once, and not for long."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import NOW
from trading_ops.domain.approval import APPROVAL_LASTS, REQUEST_LASTS, Approval, ApprovalState
from trading_ops.errors import RequestRefused
from trading_ops.store import approvals, audit_chain, events

LATER = NOW + timedelta(minutes=1)


def ask(connection: Connection, **over: Any) -> Approval:
    values: dict[str, Any] = {
        "incident_id": None,
        "action": "restart_bot",
        "target": "alpha",
        "params": {},
        "step": None,
        "requested_by": "ada",
        "now": NOW,
    }
    return approvals.request(connection, **(values | over))


def kinds(connection: Connection) -> list[str]:
    audit_chain.write(connection, b"")
    return [event.kind for event in reversed(events.latest(connection))]


def test_asked_approved_used_once(connection: Connection) -> None:
    """Its whole life, and the timeline of it."""
    asked = ask(connection)
    assert asked.state is ApprovalState.PENDING
    assert asked.expires_at == NOW + REQUEST_LASTS
    given = approvals.approve(connection, asked.id, owner="bob", now=LATER)
    assert (given.state, given.decided_by) == (ApprovalState.APPROVED, "bob")
    assert given.expires_at == LATER + APPROVAL_LASTS
    assert approvals.usable(connection, asked.digest, now=LATER) == given
    assert approvals.use(connection, asked.digest, attempt_id="a", now=LATER)
    assert not approvals.use(connection, asked.digest, attempt_id="b", now=LATER)
    assert approvals.usable(connection, asked.digest, now=LATER) is None
    assert kinds(connection) == ["approval_requested", "approved", "approval_used"]


def test_asking_again_is_the_same_request(connection: Connection) -> None:
    """Also once it is approved; only what was used or denied is asked again."""
    asked = ask(connection)
    assert ask(connection, now=LATER) == asked
    given = approvals.approve(connection, asked.id, owner="bob", now=LATER)
    assert ask(connection, now=LATER) == given
    assert approvals.use(connection, asked.digest, attempt_id="a", now=LATER)
    again = ask(connection, now=LATER)
    assert again.id != asked.id
    assert again.state is ApprovalState.PENDING


@pytest.mark.parametrize("owner", ["ada", "Ada", " ADA "])
def test_no_one_approves_what_is_their_own(connection: Connection, owner: str) -> None:
    """Two persons, and not two spellings."""
    asked = ask(connection)
    with pytest.raises(RequestRefused, match="another operator"):
        approvals.approve(connection, asked.id, owner=owner, now=NOW)
    assert approvals.find(connection, asked.id) == asked


def test_what_was_answered_is_not_answered_again(connection: Connection) -> None:
    """The first word counts, and no one turns a no into a yes."""
    asked = ask(connection)
    approvals.deny(connection, asked.id, owner="ada", now=NOW)
    for answer in (approvals.approve, approvals.deny):
        with pytest.raises(RequestRefused, match="it is denied"):
            answer(connection, asked.id, owner="bob", now=NOW)
    with pytest.raises(RequestRefused, match="unknown request"):
        approvals.approve(connection, "nothing", owner="bob", now=NOW)
    assert approvals.usable(connection, asked.digest, now=NOW) is None
    assert kinds(connection) == ["approval_requested", "denied"]


def test_an_approval_is_not_good_for_long(connection: Connection) -> None:
    """Ten minutes; then it must be asked again."""
    asked = ask(connection)
    approvals.approve(connection, asked.id, owner="bob", now=NOW)
    over = NOW + APPROVAL_LASTS
    assert approvals.usable(connection, asked.digest, now=over - timedelta(microseconds=1))
    assert approvals.usable(connection, asked.digest, now=over) is None
    assert not approvals.use(connection, asked.digest, attempt_id="a", now=over)
    again = ask(connection, now=over)
    assert again.id != asked.id
    stored = approvals.find(connection, asked.id)
    assert stored is not None
    assert stored.state is ApprovalState.EXPIRED
    assert kinds(connection)[-2:] == ["approval_expired", "approval_requested"]


def test_a_request_that_has_run_out_cannot_be_approved(connection: Connection) -> None:
    """Who comes too late approves what no one wants any more."""
    asked = ask(connection)
    with pytest.raises(RequestRefused, match="it is expired"):
        approvals.approve(connection, asked.id, owner="bob", now=NOW + REQUEST_LASTS)


def test_other_parameters_are_another_request(connection: Connection) -> None:
    """What was approved is good for nothing else."""
    asked = ask(connection, action="restart_component", params={"component": "broker"})
    approvals.approve(connection, asked.id, owner="bob", now=NOW)
    other = ask(connection, action="restart_component", params={"component": "feed"})
    assert other.digest != asked.digest
    assert not approvals.use(connection, other.digest, attempt_id="a", now=NOW)


def test_what_stands_is_the_latest_for_each(connection: Connection) -> None:
    """In the order that deciding needs, and newest first for display."""
    asked = ask(connection)
    denied = approvals.deny(connection, asked.id, owner="bob", now=NOW)
    assert approvals.active(connection, now=NOW) == {asked.digest: denied}
    again = ask(connection, now=LATER)
    assert approvals.active(connection, now=LATER) == {asked.digest: again}
    assert approvals.active(connection, now=LATER + REQUEST_LASTS) == {}
    assert approvals.search(connection) == [again, denied]
    assert approvals.search(connection, state=ApprovalState.DENIED) == [denied]
    assert approvals.search(connection, incident_id="x") == []
    assert approvals.search(connection, limit=1) == [again]

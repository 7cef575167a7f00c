"""The outbox: stored once, delivered at least once, and a bounded number of mails."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from tests.builders import NOW
from tests.databases import postgresql_only, sqlite_only
from trading_ops.domain.message import GIVE_UP, MessageKind, MessageState, Severity
from trading_ops.errors import RequestRefused
from trading_ops.store import events, messages
from trading_ops.store.engine import writing_engine
from trading_ops.store.messages import LEASE, SHOWN, Batch, Draft
from trading_ops.store.search import PagePosition, TimeRange
from trading_ops.store.writer import transaction

MINUTE = timedelta(minutes=1)
DIGEST = timedelta(minutes=10)


def draft(number: int = 0, **over: Any) -> Draft:
    values: dict[str, Any] = {
        "key": f"k{number}",
        "kind": MessageKind.TRADE,
        "severity": Severity.INFO,
        "bot": "alpha",
        "route": "trades",
        "channel": "mail",
        "subject": f"bought {number}",
        "text": "t",
        "html": "<p>t</p>",
        "digest": False,
        "due_at": NOW,
    }
    return Draft(**(values | over))


def store(connection: Connection, *drafts: Draft, now: datetime = NOW) -> None:
    assert messages.store(connection, drafts, now=now)


def claim(connection: Connection, now: datetime = NOW, hourly: int = 60) -> Batch | None:
    return messages.claim(connection, "mail", hourly=hourly, now=now)


def states(connection: Connection) -> list[str]:
    found = messages.search(connection, span=TimeRange(), limit=1000)
    return sorted(message.state.value for message in found)


def test_one_fact_is_one_message_for_each_channel(connection: Connection) -> None:
    store(connection, draft(1), draft(1), draft(1, channel="chat"))
    store(connection, draft(1, subject="another replica's words"))
    assert states(connection) == ["waiting", "waiting"]
    assert messages.due_channels(connection, NOW) == ["chat", "mail"]


def test_a_source_is_read_by_one_of_several(engine: Engine) -> None:
    """What was read twice is stored once, also when the messages' keys differ."""
    with transaction(engine) as connection:
        args: dict[str, Any] = {"now": NOW, "source": "events"}
        assert messages.cursor(connection, "events") is None
        assert messages.store(connection, [], **args, read=(None, 7))
        assert not messages.store(connection, [draft(1)], **args, read=(None, 9))
        assert messages.store(connection, [draft(2)], **args, read=(7, 9))
        assert not messages.store(connection, [draft(3)], **args, read=(7, 9))
        assert messages.cursor(connection, "events") == 9
        assert states(connection) == ["waiting"]


def test_single_messages_go_out_one_by_one_in_their_order(connection: Connection) -> None:
    store(connection, draft(2, due_at=NOW - MINUTE), draft(1), draft(3, due_at=NOW + MINUTE))
    first, second = claim(connection), claim(connection)
    assert first is not None
    assert second is not None
    assert [batch.messages[0].key for batch in (first, second)] == ["k2", "k1"]
    assert claim(connection) is None
    messages.sent(connection, first, now=NOW)
    assert states(connection) == ["sending", "sent", "waiting"]


def test_a_mail_whose_sender_died_goes_out_again_with_the_same_id(connection: Connection) -> None:
    """After the claim ended, and with exactly the same messages."""
    store(connection, draft(1, digest=True), draft(2, digest=True))
    first = claim(connection)
    assert first is not None
    store(connection, draft(3, digest=True))
    fresh = claim(connection, NOW + MINUTE)
    assert fresh is not None
    assert fresh.id != first.id
    assert claim(connection, NOW + LEASE - MINUTE) is None
    again = claim(connection, NOW + LEASE)
    assert again is not None
    assert (again.id, again.attempts, again.total) == (first.id, 2, 2)
    messages.sent(connection, again, now=NOW + LEASE)
    late = claim(connection, NOW + LEASE + MINUTE)
    assert late is not None
    assert late.id == fresh.id


def test_a_failed_delivery_is_tried_again_and_given_up_at_last(connection: Connection) -> None:
    store(connection, draft(1))
    now, tries = NOW, 0
    dead = False
    while not dead:
        batch = claim(connection, now)
        assert batch is not None
        tries += 1
        dead = messages.failed(connection, batch, error="451 later", now=now)
        found = messages.search(connection, span=TimeRange())[0]
        assert found.error == "451 later"
        assert dead or found.next_try_at > now
        now = found.next_try_at
    assert states(connection) == ["dead"]
    assert 20 < tries < 60
    assert now <= NOW + GIVE_UP
    later = NOW + 2 * GIVE_UP
    assert claim(connection, later) is None
    backlog = messages.backlog(connection, now=later)
    assert (backlog.waiting, backlog.dead, backlog.oldest_due) == (0, 1, NOW)


def test_a_person_retries_all_that_is_dead(engine: Engine) -> None:
    """Not what was delivered or discarded; the audit log has one entry."""
    with transaction(engine) as connection:
        store(connection, *(draft(number) for number in range(4)))
        while (batch := claim(connection)) is not None:
            messages.failed(connection, batch, error="x", now=NOW + GIVE_UP)
        messages.discard(connection, messages.id_of("k1", "mail"), owner="ann", now=NOW)
        assert sorted(states(connection)) == ["dead", "dead", "dead", "discarded"]
        assert messages.retry_dead(connection, owner="ann", now=NOW + GIVE_UP) == 3
        assert sorted(states(connection)) == ["discarded", "waiting", "waiting", "waiting"]
        again = claim(connection, NOW + GIVE_UP)
        assert again is not None
        assert again.attempts == 1
        assert messages.retry_dead(connection, owner="ann", now=NOW + GIVE_UP) == 0
    with engine.connect() as connection:
        kinds = [event.kind for event in events.latest(connection)]
    assert kinds.count("messages_retried") == 1


def test_a_person_retries_or_discards_what_is_dead(engine: Engine) -> None:
    """Both are in the audit log with who ordered it."""
    with transaction(engine) as connection:
        store(connection, draft(1))
        batch = claim(connection)
        assert batch is not None
        assert messages.failed(connection, batch, error="x", now=NOW + GIVE_UP)
        key = batch.messages[0].id
        messages.retry(connection, key[:8], owner="ann", now=NOW + GIVE_UP)
        again = claim(connection, NOW + GIVE_UP)
        assert again is not None
        assert (again.id, again.attempts) == (batch.id, 1)
        messages.sent(connection, again, now=NOW + GIVE_UP)
        with pytest.raises(RequestRefused, match="already"):
            messages.discard(connection, key, owner="ann", now=NOW)
        with pytest.raises(RequestRefused, match="no message"):
            messages.retry(connection, "zz", owner="ann", now=NOW)
        store(connection, draft(2))
        other = messages.id_of("k2", "mail")
        found = messages.discard(connection, other, owner="bob", now=NOW)
        assert found.state is MessageState.DISCARDED
        assert messages.backlog(connection, now=NOW + GIVE_UP).oldest_due is None
    with engine.connect() as connection:
        recorded = [(event.kind, event.actor) for event in events.latest(connection)]
    assert recorded == [
        ("message_discarded", "bob"),
        ("message_retried", "ann"),
        ("messages_dead", "reconciler"),
    ]


def mails_of_an_hour(connection: Connection, *, digest: timedelta, hourly: int) -> list[int]:
    """Store 10,000 trades in an hour, and deliver every ten seconds for two; return the sizes."""
    sizes = []
    for second in range(0, 7200, 10):
        now = NOW + timedelta(seconds=second)
        if second < 3600:
            count = 10_000 * (second + 10) // 3600 - 10_000 * second // 3600
            first = 10_000 * second // 3600
            due = {"digest": digest > timedelta(0), "due_at": now + digest}
            store(connection, *(draft(first + n, **due) for n in range(count)), now=now)
        while (batch := claim(connection, now, hourly)) is not None:
            sizes.append(batch.total)
            assert len(batch.messages) <= SHOWN
            messages.sent(connection, batch, now=now)
    return sizes


@sqlite_only
@pytest.mark.parametrize(("digest", "hourly", "most"), [(DIGEST, 60, 7), (timedelta(0), 12, 24)])
def test_ten_thousand_trades_in_an_hour_make_a_few_mails(
    connection: Connection, digest: timedelta, hourly: int, most: int
) -> None:
    """By a digest, or by the hourly limit of the channel alone; none of them is lost."""
    sizes = mails_of_an_hour(connection, digest=digest, hourly=hourly)
    assert sum(sizes) == 10_000
    assert len(sizes) <= most


def test_trades_do_not_delay_an_urgent_message(connection: Connection) -> None:
    """With the share of the hour spent, and before what was due earlier."""
    store(connection, draft(1), draft(2), draft(3))
    for _ in range(2):
        batch = claim(connection, hourly=2)
        assert batch is not None
        messages.sent(connection, batch, now=NOW)
    later = NOW + MINUTE
    store(connection, draft(4, severity=Severity.CRITICAL, due_at=later), now=later)
    urgent = claim(connection, later, hourly=2)
    assert urgent is not None
    assert [message.key for message in urgent.messages] == ["k4"]
    messages.sent(connection, urgent, now=later)
    assert claim(connection, later, hourly=2) is None


def test_urgent_messages_are_limited_by_themselves(connection: Connection) -> None:
    """Nine are two mails and, an hour later, one; meanwhile trades go out."""
    store(connection, *(draft(n, severity=Severity.EMERGENCY) for n in range(9)), draft(9))
    sizes = []
    while (batch := claim(connection, hourly=2)) is not None:
        sizes.append((batch.total, batch.messages[0].severity.value))
        messages.sent(connection, batch, now=NOW)
    assert sizes == [(1, "emergency"), (1, "emergency"), (1, "info")]
    rest = claim(connection, NOW + 61 * MINUTE, hourly=2)
    assert rest is not None
    assert rest.total == 7


def test_pages_are_newest_first(connection: Connection) -> None:
    for number in range(5):
        store(connection, draft(number), now=NOW + number * MINUTE)
    first = messages.search(connection, span=TimeRange(), limit=3)
    place = PagePosition(first[-1].created_at, first[-1].id)
    rest = messages.search(connection, span=TimeRange(), after=place, limit=3)
    assert [message.key for message in first + rest] == ["k4", "k3", "k2", "k1", "k0"]
    assert messages.search(connection, span=TimeRange(), kind=MessageKind.HOLD) == []


def test_only_what_is_over_is_pruned(connection: Connection) -> None:
    store(connection, draft(1), draft(2), draft(3))
    taken, sent = claim(connection), claim(connection)
    assert taken is not None
    assert sent is not None
    messages.sent(connection, sent, now=NOW)
    assert messages.prune(connection, before=NOW, now=NOW) == 0
    assert messages.prune(connection, before=NOW + MINUTE, now=NOW) == 1
    assert states(connection) == ["sending", "waiting"]


@postgresql_only
def test_two_replicas_share_out_the_batches(engine: Engine, url: str) -> None:
    """While one claims a digest the other waits, and then finds nothing left of it."""
    with transaction(engine) as connection:
        store(connection, draft(1, digest=True), draft(2, digest=True))
    other = writing_engine(url)

    def take() -> Batch | None:
        with transaction(other) as connection:
            return claim(connection)

    with ThreadPoolExecutor(1) as thread:
        with transaction(engine) as connection:
            mine = claim(connection)
            theirs = thread.submit(take)
        assert mine is not None
        assert mine.total == 2
        assert theirs.result(60) is None
    other.dispose()

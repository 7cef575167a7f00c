"""Which incidents a pass looks at: what changed, and what is due by its time."""

import math

from trading_ops.domain.decision import AlertState, Escalate, Reason, Wait
from trading_ops.reconciler.workqueue import REQUEUE_SECONDS, LastReconcile, WorkQueue, requeue_in

SIGHT = LastReconcile(view=AlertState.FIRING, blocking=(), decision=Wait(reason=Reason.COOLDOWN))


def test_what_changed_is_due_once() -> None:
    queue = WorkQueue()
    assert not queue.is_due(0)
    queue.add(["a", "b"])
    assert queue.is_due(0)
    assert queue.take(0) == {"a", "b"}
    assert queue.take(0) == set()


def test_a_time_makes_it_due() -> None:
    queue = WorkQueue()
    queue.done("a", SIGHT, requeue_in=5, now=10)
    assert queue.next_in(12) == 3
    assert queue.take(14.9) == set()
    assert queue.take(15) == {"a"}
    assert queue.next_in(15) == math.inf


def test_the_last_look_names_the_time() -> None:
    """Looked at earlier because something changed: the older time does not count any more."""
    queue = WorkQueue()
    for now in range(100):
        queue.done("a", SIGHT, requeue_in=5, now=now)
    assert queue.take(103.9) == set()
    assert queue.take(104) == {"a"}
    assert queue.next_in(104) == math.inf


def test_what_waits_for_an_answer_has_no_time() -> None:
    queue = WorkQueue()
    queue.done("a", SIGHT, requeue_in=math.inf, now=0)
    assert queue.next_in(0) == math.inf
    assert queue.last("a") == SIGHT


def test_forgotten_is_forgotten() -> None:
    """Closed, or with another replica: neither a change nor a time brings it back."""
    queue = WorkQueue()
    queue.done("a", SIGHT, requeue_in=5, now=0)
    queue.add(["a"])
    queue.forget("a")
    assert queue.take(10) == set()
    assert queue.last("a") is None


def test_a_look_that_failed_is_repeated_soon() -> None:
    queue = WorkQueue()
    queue.retry("a", 0)
    assert queue.take(REQUEUE_SECONDS) == {"a"}


def test_how_soon_a_decision_is_looked_at_again() -> None:
    """Each second while something may happen of itself; else when its time has come."""
    assert requeue_in(Escalate(reason=Reason.STORM), None) == REQUEUE_SECONDS
    assert requeue_in(Wait(reason=Reason.COOLDOWN), 20) == REQUEUE_SECONDS
    assert requeue_in(Wait(reason=Reason.COOLDOWN), 0.2) == 0.2
    assert requeue_in(Wait(reason=Reason.COOLDOWN), -3) == 0
    assert requeue_in(Wait(reason=Reason.ESCALATED), None) == math.inf
    assert requeue_in(Wait(reason=Reason.PAUSED), 20) == 20


def test_while_a_source_is_unknown_it_is_asked_less_and_less_often() -> None:
    """After 1, 2 and 4 s and then each 5 s; from the start again once it has answered."""
    queue = WorkQueue()
    unknown = LastReconcile(AlertState.UNKNOWN, (), Wait(reason=Reason.SOURCE_UNKNOWN))

    def waits(sight: LastReconcile) -> float:
        queue.done("a", sight, requeue_in=requeue_in(sight.decision, None), now=0)
        return queue.next_in(0)

    assert [waits(unknown) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert waits(SIGHT) == REQUEUE_SECONDS
    assert waits(unknown) == REQUEUE_SECONDS
    queue.forget("a")
    assert waits(unknown) == REQUEUE_SECONDS


def test_times_that_do_not_count_any_more_do_not_pile_up() -> None:
    """Paused for a day, and looked at again at every change meanwhile."""
    queue = WorkQueue()
    for now in range(10_000):
        queue.done("a", SIGHT, requeue_in=86_400, now=now)
        queue.done("b", SIGHT, requeue_in=86_400, now=now)
    assert len(queue._times) < 100
    assert queue.take(9_999 + 86_399) == set()
    assert queue.take(9_999 + 86_400) == {"a", "b"}

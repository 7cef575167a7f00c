"""How many events of a bot may be stored."""

from trading_ops.notify.bot_events import EventBudget


def test_a_burst_then_a_rate() -> None:
    """Full at the start; spent events come back by the minute, and never more than the burst."""
    seconds = [0.0]
    budget = EventBudget(per_minute=60.0, burst=100, now=lambda: seconds[0])
    assert budget.left() == 100
    budget.spend(100)
    assert budget.left() == 0
    seconds[0] = 30.0
    assert budget.left() == 30
    budget.spend(10)
    assert budget.left() == 20
    seconds[0] = 3_600.0
    assert budget.left() == 100

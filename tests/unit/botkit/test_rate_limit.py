"""What the bot counts of its calls is what the venue counts of them."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.botkit.venue.adapter import CALLS, COMMANDS, HISTORY
from trading_ops.botkit.venue.rate_limit import GROUP, LIMITS, RateLimitCounter, Tier
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import Caller, FaultBoard
from trading_ops_lab.paper.venue.limits import Limits

calls = st.tuples(st.sampled_from([*CALLS, *HISTORY, *COMMANDS]), st.floats(0.0, 4.0))


class Counted:
    """A bot's count of its calls, by a clock that is turned manually."""

    def __init__(self, tier: Tier) -> None:
        """Start at zero."""
        self.now = 1000.0
        self.metrics = BotMetrics(version="1", mode="paper")
        self.counter = RateLimitCounter(self.metrics, tier, now=lambda: self.now)

    @property
    def used(self) -> float:
        """What the metric says."""
        found = self.metrics.registry.get_sample_value(
            "trading_venue_rate_limit_used_ratio", {"group": GROUP}
        )
        assert found is not None
        return found


class Enforced:
    """The same tier at the venue, which also tells what it would say to one more call."""

    def __init__(self, tier: Tier) -> None:
        """Start at zero."""
        self._limits = Limits(FaultBoard(), tier.value)

    def refuses(self, endpoint: str, now: float) -> bool:
        """Make a call."""
        try:
            self._limits.call(Caller(method=endpoint, key="k", border="private"), now)
        except VenueRefusal:
            return True
        return False

    def would_refuse(self, endpoint: str, now: float) -> bool:
        """Return what would become of a call, and do not make it."""
        before = copy.deepcopy(self._limits)
        refused = self.refuses(endpoint, now)
        self._limits = before
        return refused


@pytest.mark.parametrize("tier", Tier)
@given(made=st.lists(calls, max_size=80))
def test_what_the_bot_counts_says_what_the_venue_would(
    tier: Tier, made: list[tuple[str, float]]
) -> None:
    """The venue enforces the same limit: until its first no, it says no to what is beyond it."""
    counted, enforced, most = Counted(tier), Enforced(tier), LIMITS[tier].maximum
    for endpoint, pause in made:
        counted.now += pause
        counted.counter.request_sent(endpoint)
        if enforced.refuses(endpoint, counted.now):
            assert counted.used == 1
            return
        left = most * (1 - counted.used)
        if abs(left - 1) > 1e-6:  # where a rounding decides, no one need agree
            assert enforced.would_refuse("BalanceEx", counted.now) == (left < 1)


def test_a_refusal_says_that_nothing_is_left() -> None:
    """Others may use the key too, and it never is more than full."""
    counted = Counted(Tier.PRO)
    counted.counter.request_sent("BalanceEx")
    counted.counter.limit_reached()
    assert counted.used == 1.0
    for _ in range(50):
        counted.counter.request_sent("TradesHistory")
    assert counted.used == 1.0
    counted.now += 10
    counted.counter.export()
    assert counted.used == 0.5


def test_it_sinks_while_nothing_is_asked() -> None:
    """An alert on it must end on its own."""
    counted = Counted(Tier.STARTER)
    for _ in range(15):
        counted.counter.request_sent("BalanceEx")
    assert counted.used == 1.0
    counted.now += 3600
    counted.counter.export()
    assert counted.used == 0.0

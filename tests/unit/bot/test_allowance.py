"""What the bot counts of its calls is what the venue counts of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.brokerage.allowance import GROUP, Allowance, Tier
from trading_ops.paper.bot.brokerage.kraken import CALLS, COMMANDS, HISTORY
from trading_ops.paper.venue.errors import VenueRefusal
from trading_ops.paper.venue.faults import Caller, FaultBoard
from trading_ops.paper.venue.limits import Limits

calls = st.tuples(st.sampled_from([*CALLS, *HISTORY, *COMMANDS]), st.floats(0.0, 4.0))


class Counted:
    """A bot's count of its calls, by a clock that is turned by hand."""

    def __init__(self, tier: Tier) -> None:
        """Begin at zero."""
        self.now = 1000.0
        self.metrics = BotMetrics(version="1", mode="paper")
        self.allowance = Allowance(self.metrics, tier, now=lambda: self.now)

    @property
    def used(self) -> float:
        """What the metric says."""
        found = self.metrics.registry.get_sample_value(
            "trading_venue_rate_limit_used_ratio", {"group": GROUP}
        )
        assert found is not None
        return found


@pytest.mark.parametrize("tier", Tier)
@given(made=st.lists(calls, max_size=80))
def test_the_venue_refuses_when_the_bot_says_so(tier: Tier, made: list[tuple[str, float]]) -> None:
    """The venue enforces the same limit: it says no where the ratio is over 1, and only there."""
    counted, limits = Counted(tier), Limits(FaultBoard(), tier.value)
    for endpoint, pause in made:
        counted.now += pause
        counted.allowance.called(endpoint)
        try:
            limits.call(Caller(method=endpoint, key="k", border="private"), counted.now)
        except VenueRefusal:
            assert counted.used > 1 - 1e-9
        else:
            assert counted.used <= 1 + 1e-9 or endpoint in ("AddOrder", "CancelOrder")


def test_it_sinks_while_nothing_is_asked() -> None:
    """An alert on it must end by itself."""
    counted = Counted(Tier.STARTER)
    for _ in range(15):
        counted.allowance.called("BalanceEx")
    assert counted.used == 1.0
    counted.now += 3600
    counted.allowance.show()
    assert counted.used == 0.0

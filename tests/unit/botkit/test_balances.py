"""Which balances count: the feed's, REST's or the last good ones, with a clock that is moved."""

from decimal import Decimal

import pytest

from trading_ops.botkit.venue.balances import (
    FEED_SILENCE_SECONDS,
    Balances,
    BalanceSource,
    LastGood,
)
from trading_ops.instrument import BotMetrics

REST_SECONDS = 3.0


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = BotMetrics(version="1", mode="paper", currencies=["USD", "BTC"])
        self.balances = Balances(
            self.metrics, currencies=["USD", "BTC"], rest_seconds=REST_SECONDS, now=lambda: self.now
        )
        self.contradictions = 0
        self.balances.on_mismatch = self._contradicted

    def _contradicted(self) -> None:
        self.contradictions += 1

    def rest(self, **amounts: int) -> None:
        """Ask, and be answered a tenth of a second later."""
        requested_at = self.now
        self.now += 0.1
        self.balances.rest_answered(_amounts(amounts), requested_at=requested_at)

    def feed(self, **amounts: int) -> None:
        self.balances.feed_started(_amounts(amounts))

    def shown(self) -> list[str]:
        """Return what the metric calls the source in use."""
        value = self.metrics.registry.get_sample_value
        return [
            s.value for s in BalanceSource if value("trading_balance_source", {"source": s.value})
        ]

    @property
    def state(self) -> tuple[str, int | None, float | None]:
        usd = self.balances.amounts.get("USD")
        age = None if self.balances.at is None else round(self.now - self.balances.at, 6)
        return self.balances.source.value, None if usd is None else int(usd), age


def _amounts(amounts: dict[str, int]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in amounts.items()}


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_known_before_anything_was_read(world: World) -> None:
    assert world.state == ("last_good", None, None)
    assert world.balances.last_good is None
    world.balances.export()
    assert world.metrics.registry.get_sample_value("trading_balance", {"currency": "USD"}) is None


def test_tiers_fall_back_and_return(world: World) -> None:
    world.rest(USD=10)
    assert world.state == ("rest", 10, 0.0)
    world.feed(USD=10)
    world.balances.feed_changed("USD", Decimal(9))
    assert world.state == ("websocket", 9, 0.0)
    assert world.shown() == ["websocket"]
    world.now += FEED_SILENCE_SECONDS + 0.1
    assert world.state == ("last_good", 9, FEED_SILENCE_SECONDS + 0.1), (
        "what the feed said last is newer"
    )
    world.rest(USD=9)
    assert world.state == ("rest", 9, 0.0)
    world.balances.feed_lost()
    world.now += REST_SECONDS + 1
    world.balances.export()
    assert world.state == ("last_good", 9, REST_SECONDS + 1)
    assert world.shown() == ["last_good"]
    world.feed(USD=8)
    assert world.state == ("websocket", 8, 0.0)


def test_a_quiet_feed_is_as_young_as_its_last_heartbeat(world: World) -> None:
    world.feed(USD=10)
    for _ in range(20):
        world.now += 1
        world.balances.feed_alive()
    assert world.state == ("websocket", 10, 0.0)


@pytest.mark.parametrize("quiet", [True, False], ids=["it missed a change", "it just moved"])
def test_rest_wins_when_it_says_the_same_twice(world: World, *, quiet: bool) -> None:
    world.feed(USD=10, BTC=1)
    world.now += 1
    world.rest(USD=7, BTC=1)
    assert world.state[:2] == ("websocket", 10), "one answer may have been overtaken"
    if not quiet:
        world.balances.feed_changed("USD", Decimal(10))
    world.now += 1
    world.balances.feed_alive()
    world.rest(USD=7, BTC=1)
    if not quiet:
        assert world.contradictions == 0
        assert world.state[:2] == ("websocket", 10)
        return
    assert world.contradictions == 1
    assert world.state == ("rest", 7, 0.0)
    world.balances.feed_changed("USD", Decimal(10))
    assert world.state[:2] == ("rest", 7), "the feed is heard again only from its snapshot on"
    world.feed(USD=7, BTC=1)
    assert world.state[:2] == ("websocket", 7)
    value = world.metrics.registry.get_sample_value("trading_balance_contradictions_total")
    assert value == 1


def test_a_currency_that_only_one_side_reports_is_zero_on_the_other(world: World) -> None:
    world.feed(USD=10, BTC=0)
    for _ in range(3):
        world.now += 1
        world.balances.feed_alive()
        world.rest(USD=10)
    assert world.contradictions == 0
    for _ in range(2):
        world.now += 1
        world.balances.feed_alive()
        world.rest(USD=10, ETH=4)
    assert world.contradictions == 1


def test_a_restarted_bot_knows_what_was_last_good(world: World) -> None:
    world.feed(USD=10)
    kept = world.balances.last_good
    assert kept == LastGood({"USD": "10"}, world.now)
    later = World()
    later.now = world.now + 60
    later.balances.restore(kept)
    assert later.state == ("last_good", 10, 60.0)
    assert later.shown() == ["last_good"]
    later.rest(USD=11)
    later.balances.restore(kept)
    assert later.state == ("rest", 11, 0.0)


def test_a_clock_that_is_set_back_makes_nothing_fresh(world: World) -> None:
    """What seems to come from the future may be of any age."""
    world.rest(USD=5)
    world.feed(USD=5)
    world.now -= 600.0
    assert world.balances.source is BalanceSource.LAST_GOOD

"""The seeded walk, the crowd around it, and the candles that come of it."""

from decimal import Decimal

import pytest

from trading_ops_lab.paper.venue import other_traders
from trading_ops_lab.paper.venue.candles import DAY_MINUTES, MINUTE, Candle, Candles
from trading_ops_lab.paper.venue.market import Market, invent_history
from trading_ops_lab.paper.venue.orders import Order, Side
from trading_ops_lab.paper.venue.pairs import ASSETS, BITCOIN, ETHER, PAIRS, USD, find_pair
from trading_ops_lab.paper.venue.prices import Walk, WalkState

NOW = 1_800_000_000.0
PAIR = PAIRS["XXBTZUSD"]


def walk(seed: int = 7, state: WalkState | None = None) -> Walk:
    return Walk(seed, ASSETS.values(), state or WalkState())


def decimals(*values: float | str) -> list[Decimal]:
    return [Decimal(str(value)) for value in values]


def path(prices: Walk, steps: int) -> list[float]:
    values = []
    for _ in range(steps):
        prices.advance(0.25)
        values.append(prices.value(BITCOIN))
    return values


def test_the_same_seed_gives_the_same_prices() -> None:
    """The same seed gives the same prices, and another seed gives others."""
    assert path(walk(), 50) == path(walk(), 50)
    assert path(walk(), 50) != path(walk(seed=8), 50)


def test_a_walk_goes_on_where_it_stopped() -> None:
    """A restart leaves no trace in the prices."""
    complete = path(walk(), 50)
    first = walk()
    path(first, 20)
    assert path(walk(state=first.state), 30) == complete[20:]


def test_prices_stay_in_reach_of_their_start() -> None:
    """Months of steps neither explode nor vanish; the dollar is always a dollar."""
    prices = walk()
    for _ in range(3000):
        prices.advance(3600)
    assert prices.value(USD) == 1.0
    assert 0.5 < prices.value(BITCOIN) / BITCOIN.start < 2


def test_pairs_do_not_contradict_each_other() -> None:
    """Ether in bitcoin is the quotient of both in dollars."""
    prices = walk()
    path(prices, 10)
    ratio = prices.middle(PAIRS["XETHZUSD"]) / prices.middle(PAIR)
    assert prices.middle(PAIRS["XETHXXBT"]) == pytest.approx(ratio)
    assert prices.value(ETHER) == prices.middle(PAIRS["XETHZUSD"])


@pytest.mark.parametrize("pair", PAIRS.values(), ids=lambda pair: pair.symbol)
def test_the_crowds_book_is_ordered_and_never_crossed(pair: object) -> None:
    """Levels get worse from the best on, in the pair's own price steps."""
    market = Market(find_pair(getattr(pair, "symbol", "")), walk(), [], NOW)
    bids = [level.price for level in market.book.bids]
    asks = [level.price for level in market.book.asks]
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert bids[0] < asks[0]
    assert all(-price.as_tuple().exponent <= market.pair.price_decimals for price in bids)  # type: ignore[operator]
    assert all(level.volume > 0 for level in market.book.bids + market.book.asks)


def test_the_crowd_trades_at_its_best_prices() -> None:
    """A taker of the crowd takes no more than the best level offers."""
    market = Market(PAIR, walk(), [], NOW)
    trade, _ = market.step(NOW)
    best = market.book.against(trade.side)[0]
    assert trade.price == best.price
    assert 0 < trade.volume <= best.volume
    assert other_traders.volume_for(0.0, 60_000.0) == Decimal("0.00000001")


@pytest.mark.parametrize(("side", "first"), [("buy", "100"), ("sell", "50")])
def test_the_public_book_shows_the_accounts_orders(side: Side, first: str) -> None:
    """A resting order is a level like any other, summed with what is there."""
    market = Market(PAIR, walk(), [], NOW)
    market.book.bids = [other_traders.Level(Decimal(100), Decimal(1))]
    market.book.asks = [other_traders.Level(Decimal(200), Decimal(1))]
    orders = [
        Order(
            id="O",
            account="a",
            pair=PAIR.id,
            side=side,
            kind="limit",
            volume=Decimal(2),
            price=Decimal(price),
            flags=(),
            client_order_id=None,
            user_reference=None,
            opened_at=NOW,
        )
        for price in (first, "100" if side == "buy" else "200")
    ]
    depth = market.depth(side, orders, 10)
    assert depth[0][0] == Decimal(first)
    assert sum(volume for _, volume in depth) == 5
    assert market.depth(side, orders, 1) == depth[:1]


def test_a_candle_counts_its_trades() -> None:
    """Open, high, low, close, volume and average are those of its trades."""
    candle = Candle.flat(0, Decimal(10))
    assert candle.average == 10
    for price, volume in ((12, 1), (8, 2), (9, 1)):
        candle.add(Decimal(price), Decimal(volume))
    assert [candle.open, candle.high, candle.low, candle.close] == decimals(10, 12, 8, 9)
    assert [candle.volume, candle.average] == decimals(4, "9.25")
    assert candle.count == 3


def test_a_minute_closes_when_its_time_is_over() -> None:
    """The open minute becomes history, and the day's figures contain both."""
    candles = Candles([], Decimal(10), NOW)
    candles.open.add(Decimal(12), Decimal(1))
    assert candles.roll(NOW + 1) is None
    closed = candles.roll(NOW + MINUTE)
    assert closed is not None
    assert closed.high == 12
    candles.open.add(Decimal(5), Decimal(3))
    day = candles.day()
    assert [day.high, day.low, day.volume, day.open] == decimals(12, 5, 4, 10)
    assert [c.volume for c in candles.every(1)] == decimals(1, 3)


def test_longer_candles_are_made_of_minutes() -> None:
    """Five minutes are one candle that starts at a multiple of five minutes."""
    minutes = [Candle.flat(n * MINUTE, Decimal(n + 1)) for n in range(12)]
    candles = Candles(minutes, Decimal(50), 12 * MINUTE)
    fives = candles.every(5)
    assert [c.start for c in fives] == [0, 300, 600]
    assert [c.open for c in fives] == decimals(1, 6, 11)
    assert [c.close for c in fives] == decimals(5, 10, 50)


def test_minutes_without_the_venue_are_flat() -> None:
    """The candles have no gap, whatever time the venue was down."""
    candles = Candles([Candle.flat(0, Decimal(7))], Decimal(9), 3 * MINUTE)
    assert [c.start for c in candles.closed] == [0, 60, 120]
    assert [c.close for c in candles.closed] == decimals(7, 7, 7)
    late = Candles([Candle.flat(0, Decimal(7))], Decimal(9), NOW)
    assert len(late.closed) == DAY_MINUTES


def test_a_new_venue_invents_one_day() -> None:
    """The invented day ends where the market starts, without a gap."""
    prices = walk()
    history = invent_history(prices, [PAIR], NOW)[PAIR.id]
    starts = [candle.start for candle in history]
    assert starts == list(range(int(NOW) - DAY_MINUTES * MINUTE, int(NOW), MINUTE))
    assert float(history[-1].close) == pytest.approx(prices.middle(PAIR), rel=1e-3)
    assert all(candle.low <= candle.average <= candle.high for candle in history)

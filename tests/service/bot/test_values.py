"""The bot's values and pure decisions, as tables."""

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from trading_ops.agent import Side
from trading_ops.errors import ConfigError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.breaker import Breaker, BreakerState
from trading_ops.paper.bot.config import load_config, read_secret
from trading_ops.paper.bot.market import Quote, Rules
from trading_ops.paper.bot.money import record_money
from trading_ops.paper.bot.nonce import BLOCK, JUMP, NonceExhausted, Nonces
from trading_ops.paper.bot.order import (
    Fill,
    Order,
    OrderStatus,
    Position,
    VenueOrder,
    new_client_id,
    own_prefix,
    progress,
)
from trading_ops.paper.bot.plan import Cancel, Submit, plan
from trading_ops.paper.bot.strategy import Cross, Target
from trading_ops.paper.bot.venue_errors import code_of

RULES = Rules(tick=Decimal("0.1"), lot=Decimal("0.00000001"), minimum=Decimal("0.0001"))
QUOTE = Quote(bid=Decimal(1000), ask=Decimal(1001), at=0.0)


def order(
    side: Side = Side.BUY, status: OrderStatus = OrderStatus.OPEN, created_at: float = 100.0
) -> Order:
    return Order(
        client_id="c",
        symbol="BTC/USD",
        side=side,
        price=Decimal(1000),
        quantity=Decimal("0.05"),
        created_at=created_at,
        venue_id="v",
        status=status,
    )


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# The breaker


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("f", "closed"),
        ("ff", "open"),
        ("fsf", "closed"),
        ("ff a", "open"),
        ("ff + a", "half_open"),
        ("ff + a s", "closed"),
        ("ff + a f", "open"),
        ("ff + a f a", "open"),
        ("ff r a", "half_open"),
        ("ff + a r a", "half_open"),
        ("f r", "closed"),
        ("ff + a s f", "closed"),
    ],
)
def test_breaker(steps: str, expected: str) -> None:
    """f fails, s succeeds, a asks, r resets, + lets the cool-off pass."""
    clock = Clock()
    seen: list[BreakerState] = []
    breaker = Breaker(threshold=2, cool_off_seconds=5, on_change=seen.append, monotonic=clock)
    for step in steps.replace(" ", ""):
        match step:
            case "f":
                breaker.fail()
            case "s":
                breaker.succeed()
            case "a":
                breaker.allow()
            case "r":
                breaker.reset()
            case _:
                clock.now += 5
    assert breaker.state.name.lower() == expected
    assert seen[-1:] == ([breaker.state] if seen else [])
    assert all(before is not after for before, after in itertools.pairwise(seen))


def test_breaker_lets_one_trial_through() -> None:
    """After the cool-off exactly one caller may try."""
    clock = Clock()
    breaker = Breaker(threshold=1, cool_off_seconds=5, monotonic=clock)
    breaker.fail()
    assert (breaker.allow(), breaker.cooling_seconds()) == (False, 5)
    clock.now += 5
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    assert breaker.cooling_seconds() == 0


# Nonces


class Disk:
    """Keeps the ceiling, or fails."""

    def __init__(self) -> None:
        self.ceilings = [0]
        self.full = False

    async def save(self, ceiling: int) -> None:
        if self.full:
            raise OSError("full")
        self.ceilings.append(ceiling)


async def test_nonces_increase_whatever_the_clock_does() -> None:
    """Nonces grow over clocks that stand, jump back and run, and over kills at any point."""
    disk, clock, issued = Disk(), Clock(), []
    metrics = BotMetrics(version="1", mode="paper")
    for micros in (10**12, 10**12, 5, 10**12 + 10**6, 10**12 + 3 * BLOCK, 7):
        clock.now = micros
        # A new process each time: it knows nothing but the stored ceiling.
        nonces = Nonces(disk.ceilings[-1], disk.save, metrics, microseconds=lambda: int(clock.now))
        for _ in range(20):
            await nonces.reserve()
            issued.append(nonces.issue())
    assert issued == sorted(set(issued))
    assert max(issued) <= disk.ceilings[-1]
    assert metrics.registry.get_sample_value("trading_nonces_issued_total") == len(issued)


async def test_nonces_are_stored_in_blocks() -> None:
    """There is a write for a block of time, not for each request."""
    disk, clock = Disk(), Clock()
    clock.now = 10**12
    metrics = BotMetrics(version="1", mode="paper")
    nonces = Nonces(0, disk.save, metrics, microseconds=lambda: int(clock.now))
    for _ in range(100):
        clock.now += BLOCK / 50
        await nonces.reserve()
        nonces.issue()
    assert len(disk.ceilings) == pytest.approx(1 + 2, abs=1)


async def test_unreserved_nonce_is_refused() -> None:
    """Without a durable ceiling no nonce is issued."""
    disk = Disk()
    nonces = Nonces(0, disk.save, BotMetrics(version="1", mode="paper"))
    with pytest.raises(NonceExhausted):
        nonces.issue()
    disk.full = True
    with pytest.raises(OSError, match="full"):
        await nonces.reserve()
    with pytest.raises(NonceExhausted):
        nonces.issue()


async def test_refused_nonce_jumps() -> None:
    """After a refusal the next nonce is far above, and covered by the ceiling."""
    disk = Disk()
    nonces = Nonces(
        0, disk.save, BotMetrics(version="1", mode="paper"), microseconds=lambda: 10**12
    )
    await nonces.reserve()
    first = nonces.issue()
    await nonces.refused()
    assert nonces.issue() >= first + JUMP


# The strategy and its plan


def test_cross_follows_the_trend() -> None:
    """Rising prices mean long, falling ones flat, too few nothing."""
    cross = Cross(2, 4)
    targets = [cross.see(Decimal(price)) for price in (1, 2, 3, 4, 5, 4, 3, 2)]
    assert targets == [Target.UNKNOWN] * 3 + [Target.LONG] * 3 + [Target.FLAT] * 2


@pytest.mark.parametrize(
    ("target", "held", "alive", "expected"),
    [
        (Target.UNKNOWN, "0", [], None),
        (Target.UNKNOWN, "1", [], None),
        (Target.LONG, "0", [], "buy 0.04999500 1000.1"),
        (Target.LONG, "0.05", [], None),
        (Target.FLAT, "0", [], None),
        (Target.FLAT, "0.00009", [], None),
        (Target.FLAT, "0.05", [], "sell 0.05000000 1000.9"),
        (Target.LONG, "0", [order()], None),
        (Target.LONG, "0", [order(created_at=90.0)], "cancel"),
        (Target.FLAT, "0", [order()], "cancel"),
        (Target.UNKNOWN, "0", [order()], "cancel"),
        (Target.LONG, "0", [order(side=Side.SELL)], "cancel"),
        (Target.FLAT, "0", [order(status=OrderStatus.SENT, created_at=0.0)], None),
    ],
)
def test_plan(target: Target, held: str, alive: list[Order], expected: str | None) -> None:
    """One step a pass: cancel what is old or contradicts, else enter or leave."""
    step = plan(
        target=target,
        held=Decimal(held),
        alive=alive,
        quote=QUOTE,
        rules=RULES,
        notional=Decimal(50),
        lifetime=5.0,
        now=100.0,
    )
    match step:
        case Cancel():
            assert expected == "cancel"
        case Submit():
            assert expected == f"{step.side} {step.quantity} {step.price}"
        case None:
            assert expected is None


@pytest.mark.parametrize(
    ("target", "held", "price"), [(Target.LONG, "0", "1000.0"), (Target.FLAT, "1", "1000.1")]
)
def test_plan_without_room_in_the_spread(target: Target, held: str, price: str) -> None:
    """Where nothing fits inside the spread, the order joins the best price."""
    step = plan(
        target=target,
        held=Decimal(held),
        alive=[],
        quote=Quote(bid=Decimal("1000.0"), ask=Decimal("1000.1"), at=0.0),
        rules=RULES,
        notional=Decimal(50),
        lifetime=5.0,
        now=0.0,
    )
    assert isinstance(step, Submit)
    assert step.price == Decimal(price)


# Orders and positions


def fill(quantity: str, cost: str, fee: str = "0") -> Fill:
    return Fill(client_id="c", quantity=Decimal(quantity), cost=Decimal(cost), fee=Decimal(fee))


def position(quantity: str, cost: str, realized: str = "0") -> Position:
    return Position(quantity=Decimal(quantity), cost=Decimal(cost), realized=Decimal(realized))


def test_position_through_a_round_trip() -> None:
    """Buying averages with fees, selling realizes its share, and all sold leaves nothing."""
    held = Position().after(Side.BUY, fill("1", "100", "1")).after(Side.BUY, fill("1", "102", "1"))
    assert held == position("2", "204")
    assert held.unrealized(Decimal(110)) == 16
    held = held.after(Side.SELL, fill("1", "110", "2"))
    assert held == position("1", "102", "6")
    held = held.after(Side.SELL, fill("1", "90", "0"))
    assert held == position("0", "0", "-6")


def test_selling_more_than_is_known_never_goes_short() -> None:
    """When records were lost, the position ends at zero and what was not paid cost nothing."""
    held = Position(quantity=Decimal(1), cost=Decimal(100)).after(Side.SELL, fill("2", "300"))
    assert held == position("0", "0", "200")
    assert Position().after(Side.SELL, fill("1", "50")).realized == 50


@pytest.mark.parametrize(
    ("filled", "new"), [("0", None), ("0.02", "0.02"), ("0.05", "0.05")], ids=str
)
def test_progress(filled: str, new: str | None) -> None:
    """The venue's word moves an order on, and yields what was newly filled."""
    word = VenueOrder(
        venue_id="v",
        client_id="c",
        status=OrderStatus.OPEN,
        filled=Decimal(filled),
        cost=Decimal(20),
        fee=Decimal(1),
    )
    after, found = progress(order(), word)
    assert after.filled == Decimal(filled)
    assert after.remaining == Decimal("0.05") - Decimal(filled)
    assert (found.quantity if found else None) == (Decimal(new) if new else None)
    assert progress(after, word) == (after, None)


def test_client_ids_show_whose_they_are() -> None:
    """Ids are UUIDs that begin with the bot's own prefix, and never repeat."""
    ids = {new_client_id("alpha") for _ in range(100)}
    assert len(ids) == 100
    assert all(len(name) == 36 and name.startswith(own_prefix("alpha")) for name in ids)
    assert own_prefix("alpha") != own_prefix("beta")


def test_money_counts_what_has_a_price() -> None:
    """Equity holds cash and traded coins; profit only positions with a price."""
    metrics = BotMetrics(version="1", mode="paper", currencies=["USD"])
    record_money(
        metrics,
        balances={"USD": Decimal(100), "BTC": Decimal(2), "XMR": Decimal(9)},
        positions={
            "BTC/USD": Position(quantity=Decimal(1), cost=Decimal(900), realized=Decimal(5))
        },
        quotes={"BTC/USD": QUOTE, "BTC/EUR": QUOTE},
    )

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"currency": "USD"})

    assert value("trading_equity") == 100 + 2 * 1000.5
    assert value("trading_realized_pnl") == 5
    assert value("trading_unrealized_pnl") == 100.5


# Errors of ccxt, known by name


class NetworkError(Exception):
    """As in ccxt."""


class OperationFailed(Exception):
    """As in ccxt."""


class ExchangeNotAvailable(OperationFailed):
    """As in ccxt."""


class ExchangeError(Exception):
    """As in ccxt."""


class InvalidOrder(ExchangeError):
    """As in ccxt."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExchangeNotAvailable(), "unavailable"),
        (caused(ExchangeNotAvailable(), aiohttp.ServerDisconnectedError()), "unreachable"),
        (caused(ExchangeError(), TimeoutError()), "timeout"),
        (InvalidOrder(), "refused"),
        (OperationFailed(), "unavailable"),
        (ValueError(), "other"),
    ],
    ids=str,
)
def test_error_codes(error: Exception, code: str) -> None:
    """What failed is told by the error's kind or its cause's."""
    assert code_of(error) == code


# The configuration

GOOD: dict[str, Any] = {
    "name": "alpha",
    "venue": "paper",
    "venue_address": "127.0.0.1:8401",
    "agent_address": "127.0.0.1:8411",
    "state_dir": "bot",
    "metrics_token_file": "m",
    "agent_token_file": "a",
    "key_file": "k",
    "secret_file": "s",
    "symbols": ["BTC/USD"],
}


def test_configuration_with_defaults(tmp_path: Path) -> None:
    """The documented keys are enough."""
    path = tmp_path / "bot.json"
    path.write_text(json.dumps(GOOD))
    config = load_config(path)
    assert config.state_dir == Path("bot")
    assert config.dead_man_seconds == 15


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": "Alpha!"}, "name"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["BTCUSD"]}, "symbols"),
        ({"pass_interval_seconds": 0}, "pass_interval_seconds"),
        ({"dead_man_seconds": 2}, "dead_man_seconds"),
        ({"unknown": 1}, "unknown"),
        ({"venue_address": "10.0.0.1:8401"}, "venue_address"),
        ({"agent_address": "nonsense"}, "agent_address"),
        ({"agent_address": "127.0.0.1:99999"}, "agent_address"),
        ({"fast_samples": 20}, "fast_samples"),
        ({"order_notional": "-1"}, "order_notional"),
        ({"state_dir": 3}, "state_dir"),
    ],
)
def test_wrong_configuration_names_the_key(
    tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    """Each mistake is named with its key."""
    path = tmp_path / "bot.json"
    path.write_text(json.dumps(GOOD | changes))
    with pytest.raises(ConfigError, match=word):
        load_config(path)


def test_configuration_must_be_json(tmp_path: Path) -> None:
    """A file that is no JSON is refused in a sentence."""
    path = tmp_path / "bot.json"
    path.write_text("name: alpha")
    with pytest.raises(ConfigError, match="JSON"):
        load_config(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_secret_must_hold_something(tmp_path: Path, content: bytes) -> None:
    """An empty or unreadable secret is refused."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="trading-ops up"):
        read_secret(path)

"""What unfolds over minutes is healed too: the whole way, as in `test_whole_way_live`.

The bot is a server that says what is wrong until the command that is its cure has come. Shipped
rules, routes and runbooks: what is tried first, what comes next, that the alert ends before the
reconciler takes it for broken again, and that nobody is told.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import FakeWorld
from tests.rules.test_whole_way_live import the_way
from tests.waiting import eventually

Says = Callable[[FakeWorld], str]
SLOWLY = 400.0


def shows(sick: str, well: str) -> Says:
    """Return what a bot shows that is sick or well."""
    return lambda bot: (sick if bot.firing else well) + "\n"


def memory(size: int) -> str:
    return f"trading_memory_uss_bytes {size}"


def queue(depth: int) -> str:
    return f'trading_queue_depth{{queue="orders"}} {depth}'


def pool(in_use: int) -> str:
    connections = f'trading_database_pool_connections{{pool="main",state="in_use"}} {in_use}'
    return f'{connections}\ntrading_database_pool_size{{pool="main"}} 5'


def limit(used: float) -> str:
    return f'trading_venue_rate_limit_used_ratio{{group="private"}} {used}'


def disk(free: int) -> str:
    size = 'trading_host_disk_size_bytes{path="/var"} 4000000000'
    return f'trading_host_disk_free_bytes{{path="/var"}} {free}\n{size}'


MEMORY = shows(memory(600_000_000), memory(100_000_000))
DISK = shows(disk(400_000_000), disk(900_000_000))


@pytest.mark.parametrize(
    ("alert", "says", "cure", "tried"),
    [
        ("TradingBotMemoryHigh", MEMORY, "relieve_memory", ["relieve_memory"]),
        ("TradingBotMemoryHigh", MEMORY, "restart_bot", ["relieve_memory", "restart_bot"]),
        (
            "TradingBotQueueBacklog",
            shows(queue(150), queue(3)),
            "throttle_load",
            ["clear_queue", "throttle_load"],
        ),
        (
            "TradingDatabasePoolExhausted",
            shows(pool(5), pool(1)),
            "recycle_pool",
            ["recycle_pool"],
        ),
        (
            "TradingBotRateLimitNear",
            shows(limit(0.9), limit(0.2)),
            "throttle_load",
            ["throttle_load"],
        ),
        ("TradingBotDiskLow", DISK, "free_disk", ["rotate_logs", "free_disk"]),
    ],
)
async def test_it_is_healed_by_its_first_steps_and_closed(
    tmp_path: Path, alert: str, says: Says, cure: str, tried: list[str]
) -> None:
    """Each step once, no more after the cure, and no page of it."""
    async with the_way(
        tmp_path, alive=True, alert=alert, says=says, cures=frozenset({cure})
    ) as way:
        way.bot.firing = True
        await eventually(way.is_closed, within=SLOWLY, what="the incident to be closed")
        await eventually(way.is_over, within=SLOWLY, what="the alert to be resolved")
        assert way.bot.commands == tried
        assert not way.bot.firing

"""What unfolds over minutes is remediated too: the whole way, as in `test_remediation_live`.

The bot is a server that says what is wrong until the command that is its fix has come. Shipped
rules, routes and runbooks: what is tried first, what comes next, that the alert ends before the
reconciler takes it for broken again, and that no one is notified.
"""

from pathlib import Path

import pytest

from tests.rules.test_remediation_live import Says, Shows, remediation_stack
from tests.waiting import eventually

pytestmark = pytest.mark.long

SLOWLY = 400.0


def says(sick: str, well: str) -> Says:
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


def lag(seconds: float) -> str:
    return f"trading_event_loop_lag_seconds {seconds}"


def disk(free: int) -> str:
    size = 'trading_host_disk_size_bytes{path="/var"} 4000000000'
    return f'trading_host_disk_free_bytes{{path="/var"}} {free}\n{size}'


MEMORY = Shows(detail=says(memory(600_000_000), memory(100_000_000)))
QUEUE = Shows(detail=says(queue(150), queue(3)))
POOL = Shows(detail=says(pool(5), pool(1)))
LIMIT = Shows(vital=says(limit(0.9), limit(0.2)))
LAG = Shows(vital=says(lag(0.5), lag(0.001)))
DISK = Shows(host=says(disk(400_000_000), disk(900_000_000)))


@pytest.mark.parametrize(
    ("alert", "shows", "action", "tried"),
    [
        ("TradingBotMemoryHigh", MEMORY, "relieve_memory", ["relieve_memory"]),
        ("TradingBotMemoryHigh", MEMORY, "restart_bot", ["relieve_memory", "restart_bot"]),
        ("TradingBotQueueBacklog", QUEUE, "throttle_load", ["clear_queue", "throttle_load"]),
        ("TradingDatabasePoolExhausted", POOL, "recycle_pool", ["recycle_pool"]),
        ("TradingBotRateLimitHigh", LIMIT, "throttle_load", ["throttle_load"]),
        ("TradingBotEventLoopLagging", LAG, "throttle_load", ["throttle_load"]),
        (
            "TradingBotEventLoopLagging",
            LAG,
            "scale_resources",
            ["throttle_load", "throttle_load", "scale_resources"],
        ),
        ("TradingBotDiskLow", DISK, "free_disk", ["rotate_logs", "free_disk"]),
    ],
)
async def test_it_is_remediated_by_its_first_steps_and_closed(
    tmp_path: Path, alert: str, shows: Shows, action: str, tried: list[str]
) -> None:
    """Each step once, undone if it did not help, no more after the fix; nothing was given up."""
    async with remediation_stack(
        tmp_path, alive=True, alert=alert, shows=shows, fixed_by=frozenset({action})
    ) as stack:
        stack.bot.firing = True
        await eventually(stack.is_closed, within=SLOWLY, what="the incident to be closed")
        await eventually(stack.is_over, within=SLOWLY, what="the alert to be resolved")
        assert stack.bot.commands == tried
        assert "TradingRecoveryFailed" not in await stack.alertmanager.states()

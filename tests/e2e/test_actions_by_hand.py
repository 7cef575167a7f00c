"""Actions ordered on the running stack: the bot does them, and Prometheus sees what they did."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.target import Kind
from trading_ops.logs.rotation import files_aside

pytestmark = pytest.mark.slow

SCRAPES_SECONDS = 60.0
"""For figures that are scraped every 15 s, some of them read only every 15 s themselves."""


@pytest.fixture
async def prometheus(stack: Stack) -> AsyncIterator[Prometheus]:
    async with aiohttp.ClientSession() as session:
        yield Prometheus(Http(session, f"http://{stack.registry.one(Kind.PROMETHEUS).address}"))


async def figure(prometheus: Prometheus, query: str) -> float:
    found = await prometheus.query(query)
    return found[0].value if found else 0.0


@pytest.mark.parametrize(
    ("action", "says", "query"),
    [
        (
            "rotate_logs",
            "bot-alpha.log: rotated to bot-alpha.log.",
            'sum(trading_log_file_rotations_total{log="stack"})',
        ),
        (
            "recycle_pool",
            "the records have a new connection",
            'sum(trading_database_pool_connections_made_total{bot="alpha", pool="records"})',
        ),
    ],
)
async def test_what_was_ordered_is_done_and_seen(
    stack: Stack, prometheus: Prometheus, action: str, says: str, query: str
) -> None:
    """The command line tells what the bot said; someone else's figure has moved."""
    aside = set(files_aside(stack.settings.logs))
    before = await figure(prometheus, query)
    done = stack.run("run", action, "alpha", "--reason", "to see it work")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{action} on alpha is completed" in done.stdout
    assert says in done.stdout

    async def moved() -> bool:
        return await figure(prometheus, query) > before

    await eventually(moved, within=SCRAPES_SECONDS, what=f"{action} in Prometheus")
    if action == "rotate_logs":
        (new,) = set(files_aside(stack.settings.logs)) - aside
        assert new.name in done.stdout
    stack.run("automation", "reset-budget", "alpha")

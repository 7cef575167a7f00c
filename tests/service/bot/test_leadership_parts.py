"""What stands around the lease: the last look at the wire, late nonces, shared holds, settings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.free_ports import free_port
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.agent.state import Holds, TradingHold, TradingState
from trading_ops.botkit.leadership.connection import BoundedConnection
from trading_ops.botkit.leadership.deferred_nonces import DeferredSource
from trading_ops.botkit.leadership.permit import NotLeader, before_sending, permit_while
from trading_ops.botkit.leadership.shared_holds import SharedHolds
from trading_ops.botkit.nonces.source import NonceExhausted
from trading_ops.botkit.records.postgresql import PostgresqlDriver
from trading_ops.errors import ConfigError, SetupError
from trading_ops_lab.paper.bot.config import load_config, lock_state_dir

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("endpoint", ["AddOrder", "AmendOrder", "EditOrder", "AddOrderBatch"])
def test_what_submits_needs_the_lease(endpoint: str) -> None:
    with pytest.raises(NotLeader, match="not sent"):
        permit_while(lambda: False)(endpoint)
    permit_while(lambda: True)(endpoint)


@pytest.mark.parametrize("endpoint", ["CancelOrder", "CancelAllOrdersAfter", "OpenOrders"])
def test_what_submits_nothing_passes(endpoint: str) -> None:
    permit_while(lambda: False)(endpoint)


@pytest.mark.parametrize("reused", [False, True])
async def test_a_lease_that_ends_while_a_connection_is_made(reused: bool) -> None:
    """It is asked again when the first byte is about to leave; nothing arrives."""
    arrived: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        arrived.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    leads = True
    trace = before_sending(permit_while(lambda: leads))
    url = f"http://127.0.0.1:{port}/0/private/"
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        if reused:
            async with session.post(url + "AddOrder") as response:
                await response.read()
        leads = False
        with pytest.raises(NotLeader):
            await session.post(url + "AddOrder")
        async with session.post(url + "CancelOrder") as response:
            assert response.status == 200
    await runner.cleanup()
    assert arrived.count("/0/private/AddOrder") == int(reused)


def test_key_is_not_used_before_its_time(tmp_path: Path) -> None:
    """A standby has no nonce, and no folder of any: opened, it is above what others reserved."""
    source = DeferredSource(tmp_path, "key")
    with pytest.raises(NonceExhausted, match="standby"):
        source.issue()
    with pytest.raises(NonceExhausted, match="standby"):
        source.raise_to(5)
    assert source.reserved == 0
    assert list(tmp_path.iterdir()) == []
    floor = int(clock.timestamp() * 1e6) + 10_000_000
    source.open(floor)
    assert source.issue() > floor
    source.open(0)
    assert source.issue() > floor
    source.close()


class Sharer:
    """One instance's holds, in the database that all share."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.connections = [
            BoundedConnection(PostgresqlDriver(url, "alpha"), name=name, timeout_seconds=3.0)
            for name in ("a", "b")
        ]
        self.holds = Holds(folder / "holds.json")
        self.shared = SharedHolds(
            self.holds, writer=self.connections[0], reader=self.connections[1]
        )

    @property
    def ids(self) -> list[str]:
        return sorted(hold.id for hold in self.holds.holds)


@pytest.fixture
def sharers(postgres: Cluster, tmp_path: Path) -> Iterator[tuple[Sharer, Sharer]]:
    url = postgres.new_database(migrated=False)
    driver = PostgresqlDriver(url, "alpha")
    driver.open()
    driver.close()
    made = Sharer(tmp_path / "a", url), Sharer(tmp_path / "b", url)
    yield made
    for instance in made:
        for connection in instance.connections:
            connection.close()


Both = tuple[Sharer, Sharer]


def hold(name: str, state: TradingState = TradingState.HALTED, **given: Any) -> TradingHold:
    fields: dict[str, Any] = {"owner": "anna", "reason": "a test", "at": clock.timestamp()}
    fields |= given
    return TradingHold(id=name, state=state, **fields)


async def test_what_one_lays_the_other_has(sharers: Both) -> None:
    here, there = sharers
    placed = here.holds.place(hold("one"))
    await there.shared.sync()
    assert there.holds.holds == (placed,)
    assert there.holds.state is TradingState.HALTED


async def test_what_one_releases_is_released_at_the_other(sharers: Both) -> None:
    """And it is known there who released it."""
    here, there = sharers
    here.holds.place(hold("one"))
    here.holds.place(hold("two"))
    await there.shared.sync()
    there.holds.release(owner="bert", reason="over", ids=frozenset({"one"}))
    await here.shared.sync()
    assert here.ids == ["two"]
    assert here.holds.released[-1]["released_by"] == "bert"


async def test_the_stricter_stands(sharers: Both) -> None:
    here, there = sharers
    here.holds.place(hold("one", TradingState.REDUCING))
    there.holds.place(hold("one", TradingState.HALTED))
    for instance in (here, there):
        await instance.shared.sync()
        assert instance.holds.state is TradingState.HALTED
    here.holds.place(hold("one", TradingState.REDUCING))
    await there.shared.sync()
    assert there.holds.state is TradingState.HALTED


async def test_what_was_there_before_is_reported(sharers: Both, tmp_path: Path) -> None:
    """Holds in the file of an instance that was alone until now."""
    here, there = sharers
    other = Holds(tmp_path / "a" / "holds.json")
    other.place(hold("old"))
    again = Holds(tmp_path / "a" / "holds.json")
    shared = SharedHolds(again, writer=here.connections[0], reader=here.connections[1])
    await shared.sync()
    await there.shared.sync()
    assert there.ids == ["old"]


async def test_one_that_was_released_while_an_instance_was_away(sharers: Both) -> None:
    """Its own file has it still; it does not come back with it, and the same id may come again."""
    here, there = sharers
    first = here.holds.place(hold("one"))
    await there.shared.sync()
    here.holds.release(owner="anna", reason="over", ids=None)
    assert there.ids == ["one"]
    await there.shared.sync()
    assert there.ids == []
    there.holds.place(hold("one", at=first.at + 60))
    await here.shared.sync()
    assert here.ids == ["one"]


async def test_one_that_cannot_be_reported_is_in_force(sharers: Both, postgres: Cluster) -> None:
    """And nothing is released that others would keep."""
    here, _ = sharers
    here.holds.place(hold("one"))
    for connection in here.connections:
        connection._timeout_seconds = 0.3
    with postgres.paused():
        with pytest.raises(OSError, match="not shared"):
            here.holds.place(hold("two"))
        with pytest.raises(OSError, match="not shared"):
            here.holds.release(owner="anna", reason="over", ids=frozenset({"one"}))
    assert here.ids == ["one", "two"]


async def test_older_news_changes_no_hold(sharers: Both) -> None:
    """What was read before a change here says nothing about it."""
    here, _ = sharers
    placed = here.holds.place(hold("one"))
    seen = here.holds.changes
    here.holds.release(owner="anna", reason="over", ids=None)
    assert here.holds.follow([placed], [], seen=seen) == ()
    assert here.ids == []


def changed(config_file: Path, **given: Any) -> Path:
    content = json.loads(config_file.read_text()) | given
    config_file.write_text(json.dumps(content))
    return config_file


@pytest.mark.parametrize(
    ("given", "key", "fix"),
    [
        ({"instance": "alpha-b"}, "instance", "records.url_file"),
        ({"records": {"url_file": "u", "lease_seconds": 5}}, "lease_seconds", "twice"),
        ({"records": {"url_file": "u", "margin_seconds": 0.5}}, "margin_seconds", "timeout"),
        ({"records": {"url_file": "u", "lease_seconds": 0}}, "lease_seconds", "config.py"),
        ({"records": {}}, "url_file", "config.py"),
    ],
)
def test_settings_that_cannot_be_meant(
    tmp_path: Path, given: dict[str, Any], key: str, fix: str
) -> None:
    """Each with the key and the fix."""
    path = tmp_path / "bot.json"
    names = ("metrics_token_file", "agent_token_file", "key_file", "secret_file", "state_dir")
    plain: dict[str, Any] = dict.fromkeys(names, "x")
    plain |= {"name": "alpha", "venue": "paper", "symbols": ["BTC/USD"]}
    plain |= {"venue_address": "127.0.0.1:1", "agent_address": "127.0.0.1:2"}
    path.write_text(json.dumps(plain))
    load_config(path)
    with pytest.raises(ConfigError) as error:
        load_config(changed(path, **given))
    assert key in str(error.value)
    assert fix in str(error.value)


def test_a_second_instance_without_a_database_gets_the_fix(tmp_path: Path) -> None:
    """Records in a file are for one process; the sentence says how to have a standby."""
    first = lock_state_dir(tmp_path / "lock")
    with pytest.raises(SetupError, match="a standby with records in PostgreSQL") as error:
        lock_state_dir(tmp_path / "lock")
    assert "docs/failover.md" in str(error.value)
    assert str(tmp_path) in str(error.value)
    first.close()
    lock_state_dir(tmp_path / "lock").close()

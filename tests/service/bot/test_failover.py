"""Two processes of one bot, a real venue and a real PostgreSQL: one leads, and never both.

The witness is the venue's journal: each order says in its client id which process placed it.
"""

import asyncio
import signal
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.bot_instances import Instance, Pair, begin, finish, returned, tag_of, until
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops_lab.paper.venue.signing import sign

pytestmark = pytest.mark.long

LEASE = {"lease_seconds": 8.0, "renew_seconds": 1.5, "margin_seconds": 3.0, "watch_seconds": 0.3}
START_SECONDS = 90.0
TAKEOVER_SECONDS = 90.0
"""Deadlines, not promises: how long it takes is what `tests.crash.bot_replicas` prints."""

REPLACED = 5


@pytest.fixture
async def pair(tmp_path: Path, postgres: Cluster) -> AsyncIterator[Pair]:
    pair, wires = await begin(tmp_path / "world", postgres, lease=LEASE)
    try:
        yield pair
    finally:
        for instance in pair.instances:  # shown when the test fails
            sys.stdout.write(f"--- {instance.name}\n{instance.log[-20000:]}\n")
        await finish(pair, wires)


def says(instance: Instance, role: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await instance.role() == role

    return ask


def ended(instance: Instance) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return instance.code is not None

    return ask


def frozen(instance: Instance) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return instance.stopped

    return ask


async def trades(pair: Pair, instance: Instance, *, within: float = START_SECONDS) -> None:
    """Wait for the first order of an instance's life."""
    what = f"{instance.name} trades"
    await until(lambda: pair.first_order_of(instance.tag), within=within, what=what)


async def trades_on(pair: Pair, instance: Instance, *, within: float = START_SECONDS) -> None:
    """Wait for another order of an instance's life."""
    after = len(await pair.orders())

    async def ask() -> bool:
        return any(tag_of(order) == instance.tag for order in (await pair.orders())[after:])

    await until(ask, within=within, what=f"{instance.name} trades on")


async def both(pair: Pair, **first: Any) -> tuple[Instance, Instance]:
    """Start one that leads and trades, and one that watches."""
    leader, standby = pair.instances
    leader.start(**first)
    await trades(pair, leader)
    standby.start()
    await until(says(standby, "standby"), within=START_SECONDS, what="a standby")
    await until(lambda: watched(standby), within=START_SECONDS, what="a look at the lease")
    return leader, standby


async def watched(standby: Instance) -> bool:
    return (await standby.health())["heartbeat_at"] is not None


async def stays(condition: Callable[[], Awaitable[object]], *, during: float) -> None:
    deadline = clock.monotonic() + during
    while clock.monotonic() < deadline:
        assert await condition()
        await asyncio.sleep(0.1)


async def agree(pair: Pair) -> None:
    """The records and the venue say the same of the money, to the last digit."""

    async def same() -> bool:
        rows = pair.rows("SELECT currency, amount FROM bot_alpha.expected_balances")
        there = await pair.world.balances()
        return {name: str(amount) for name, amount in there.items()} == {
            name: str(type(there[name])(amount)) for name, amount in rows if name in there
        }

    await until(same, within=60, what="records and venue agree")


async def test_killed_leader(pair: Pair) -> None:
    """kill -9: the standby recovers, then trades, and the old one comes back as the standby."""
    leader, standby = await both(pair)
    leader.end()
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    assert (await standby.health())["recovered"]
    leader.start()
    await until(says(leader, "standby"), within=START_SECONDS, what="it is the standby now")
    await trades_on(pair, standby)
    await agree(pair)
    assert returned(await pair.orders()) == []
    taken = pair.rows(
        "SELECT detail FROM bot_alpha.events WHERE code = 'lease_acquired' ORDER BY id"
    )
    assert len(taken) == 2
    assert pair.rows("SELECT token FROM bot_alpha.lease") == [(2,)]


async def test_ordered_end(pair: Pair) -> None:
    """SIGTERM gives the lease up: the standby does not wait for it to run out."""
    leader, standby = await both(pair)
    leader.send(signal.SIGTERM)
    await until(ended(leader), within=60, what="it ends")
    assert leader.code == 0
    (left,) = pair.rows("SELECT ends_at FROM bot_alpha.lease WHERE token = 1") or [(None,)]
    assert left[0] in {0.0, None}, "released, or the other one has it already"
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    assert returned(await pair.orders()) == []


async def test_failover_command_steps_down(pair: Pair) -> None:
    """The leader hands over and exits; a standby, and an unsupervised one, refuse and continue."""
    leader, standby = pair.instances
    leader.start()
    await trades(pair, leader)
    alone = await leader.command("failover_bot")
    assert (alone["outcome"], "no standby" in alone["detail"]) == ("failed", True)
    standby.start()
    await until(says(standby, "standby"), within=START_SECONDS, what="a standby")
    await until(lambda: watched(standby), within=START_SECONDS, what="a look at the lease")
    refused = await standby.command("failover_bot")
    assert (refused["outcome"], "does not lead" in refused["detail"]) == ("failed", True)
    reply = await leader.command("failover_bot")
    assert reply["outcome"] == "succeeded", reply
    assert f"; {standby.name}@" in reply["detail"]
    await until(ended(leader), within=60, what="it ends")
    assert leader.code == REPLACED
    assert '"missed": []' in leader.log
    assert "released the lease on request" in leader.log
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    assert pair.rows("SELECT token FROM bot_alpha.lease") == [(2,)]
    leader.start()
    await until(says(leader, "standby"), within=START_SECONDS, what="it is the standby now")
    await agree(pair)
    assert returned(await pair.orders()) == []


async def test_end_of_a_standby_is_clean(pair: Pair) -> None:
    """It has left nothing at the venue, and says no farewell to it."""
    leader, standby = await both(pair)
    standby.send(signal.SIGTERM)
    await until(ended(standby), within=60, what="it ends")
    assert standby.code == 0
    assert '"missed": []' in standby.log
    await trades_on(pair, leader)


async def test_frozen_leader(pair: Pair) -> None:
    """SIGSTOP: the standby takes over; thawed, the old one ends itself and submits nothing."""
    leader, standby = await both(pair)
    leader.send(signal.SIGSTOP)
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    leader.send(signal.SIGCONT)
    await until(ended(leader), within=60, what="it ends itself")
    assert leader.code == REPLACED
    assert "Start this one again as a standby" in leader.log
    assert not [line for line in leader.log.splitlines() if line.startswith("Traceback")]
    await trades_on(pair, standby)
    await agree(pair)
    assert returned(await pair.orders()) == []


async def test_frozen_right_before_a_submit(pair: Pair) -> None:
    """The order is written down, and the process stands still before it is sent."""
    leader, standby = await both(pair, freeze=BotFailpoint.INTENT_STORED)
    leader.freeze_file.touch()
    await until(frozen(leader), within=START_SECONDS, what="it stands still")
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    leader.send(signal.SIGCONT)
    await until(ended(leader), within=60, what="it ends itself")
    assert leader.code == REPLACED
    assert "not sent: this instance does not lead" in leader.log
    await trades_on(pair, standby)
    await agree(pair)
    assert returned(await pair.orders()) == []


async def test_what_the_old_leader_has_left_is_refused_by_the_venue(pair: Pair) -> None:
    """A request that was signed before the takeover and leaves after it: its nonce is too low."""
    leader, standby = await both(pair)
    (reserved,) = pair.rows("SELECT max(ceiling) FROM bot_alpha.nonces")[0]
    leader.send(signal.SIGSTOP)
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    assert await _error_of_a_request(pair, int(reserved)) == ["EAPI:Invalid nonce"]


async def _error_of_a_request(pair: Pair, nonce: int) -> list[str]:
    held = pair.world.folder / "secrets"
    path, body = "/0/private/Balance", f"nonce={nonce}".encode()
    headers = {
        "API-Key": (held / "venue_key").read_text(),
        "API-Sign": sign(b64decode((held / "venue_secret").read_text()), path, str(nonce), body),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    url = f"http://127.0.0.1:{pair.world.port}{path}"
    async with pair.world.http.post(url, data=body, headers=headers) as answer:
        return list((await answer.json())["error"])


async def test_leader_is_cut_off_from_the_database(pair: Pair) -> None:
    """It stops before its lease can end, another one leads, and it ends when it sees that."""
    leader, standby = await both(pair)
    leader.wire.stall()
    await until(says(leader, "standby"), within=TAKEOVER_SECONDS, what="it stops submitting")
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    leader.wire.restore()
    await until(ended(leader), within=60, what="it ends itself")
    assert leader.code == REPLACED
    await trades_on(pair, standby)
    await agree(pair)
    assert returned(await pair.orders()) == []


async def test_database_is_away(pair: Pair, postgres: Cluster) -> None:
    """No one leads without it for longer than a lease; when it is back, one does."""
    leader, standby = await both(pair)
    await asyncio.to_thread(postgres.stop, "immediate")
    try:
        await until(says(leader, "standby"), within=TAKEOVER_SECONDS, what="no instance leads")
        count = len(await pair.orders())

        async def none_trades() -> bool:
            return len(await pair.orders()) == count

        await stays(none_trades, during=4)
        assert await standby.role() == "standby"
    finally:
        await asyncio.to_thread(postgres.start)

    async def one_trades() -> bool:
        return len(await pair.orders()) > count

    await until(one_trades, within=START_SECONDS, what="one of them trades")
    assert returned(await pair.orders()) == []


async def test_halt_outlives_a_failover(pair: Pair) -> None:
    """Holds on the leader apply to the next one, and a release applies too."""
    leader, standby = await both(pair)
    answer = await leader.command("halt", owner="anna", reason="a test", id="anna-1")
    assert answer["outcome"] == "succeeded"
    leader.end()
    await until(says(standby, "leader"), within=TAKEOVER_SECONDS, what="a takeover")
    health = await standby.health()
    assert (health["state"], health["holds"][0]["owner"]) == ("halted", "anna")

    async def nothing_is_sent() -> bool:
        return await pair.first_order_of(standby.tag) is None

    await stays(nothing_is_sent, during=3)
    leader.start()
    await until(says(leader, "standby"), within=START_SECONDS, what="a standby")

    async def state() -> object:
        return (await leader.health())["state"] == "active"

    assert (await leader.health())["state"] == "halted", "its own file, too"
    resumed = await standby.command("resume", owner="anna", reason="over", holds="anna-1")
    assert resumed["outcome"] == "succeeded"
    await trades(pair, standby, within=TAKEOVER_SECONDS)
    await until(state, within=60, what="the standby hears of it")


@pytest.mark.parametrize("receiver", ["leader", "standby"])
async def test_paper_outlives_a_failover(pair: Pair, receiver: str) -> None:
    """Said to the leader it is in the records, said to the standby in its file: nothing is sent."""
    leader, standby = await both(pair)
    hearing = leader if receiver == "leader" else standby
    answer = await hearing.command("go_paper", owner="anna", reason="a test")
    assert answer["outcome"] == ("succeeded" if receiver == "leader" else "failed")
    assert ("other instances do not know it" in answer["detail"]) is (receiver == "standby")
    leader.end()
    await until(says(standby, "leader"), within=TAKEOVER_SECONDS, what="a takeover")

    async def denied() -> bool:
        page = await standby.metrics()
        return any(
            line.startswith("trading_order_denials_total{") and 'code="paper_mode"' in line
            for line in page.splitlines()
            if not line.endswith(" 0.0")
        )

    await until(denied, within=TAKEOVER_SECONDS, what="an order is denied in paper mode")
    assert await pair.first_order_of(standby.tag) is None
    rows = pair.rows("SELECT value FROM bot_alpha.facts WHERE name = 'mode'")
    assert '"mode":"paper"' in str(rows)


async def test_halt_at_the_standby_holds_the_leader(pair: Pair) -> None:
    """Anyone who hears it: the bot stops."""
    leader, standby = await both(pair)
    await standby.command("halt", owner="anna", reason="a test", id="anna-2")

    async def halted() -> object:
        return (await leader.health())["state"] == "halted"

    await until(halted, within=60, what="the leader is halted")


async def test_hold_that_cannot_be_shared_is_in_force_and_says_so(pair: Pair) -> None:
    """The answer does not promise what a failover would break; later it is shared automatically."""
    leader, _standby = await both(pair)
    leader.wire.stall()
    answer = await leader.command("halt", owner="anna", reason="a test", id="anna-3")
    assert answer["outcome"] == "succeeded"
    assert "not stored it yet" in answer["detail"]
    assert (await leader.health())["state"] == "halted"
    leader.wire.restore()

    async def shared() -> bool:
        return bool(pair.rows("SELECT id FROM bot_alpha.holds WHERE id = 'anna-3'"))

    await until(shared, within=60, what="it is shared")


async def test_what_a_standby_shows(pair: Pair) -> None:
    """Its work is to watch. What it does not run is not down, and the key is not used."""
    leader, standby = await both(pair)
    page = await standby.metrics()
    assert "trading_bot_leader 0" in page
    assert "trading_bot_leader 1" in await leader.metrics()
    assert 'trading_component_up{component="feed"} 1' in page
    assert 'trading_component_up{component="broker"}' not in page
    before = (await standby.health())["heartbeat_at"]

    async def beats() -> bool:
        health = await standby.health()
        return bool(health["heartbeat_at"] > before and health["status"] == "ok")

    await until(beats, within=60, what="its heart beats")
    answer = await standby.command("restart_component", component="broker")
    assert "this instance is a standby" in answer["detail"]
    assert not list((standby.folder / "state").rglob("ceiling"))


async def test_a_bot_that_ignores_its_lease_is_found(pair: Pair) -> None:
    """The check can fail: this one trades on after it was replaced."""
    await both(pair, plant="ignore-the-lease")

    async def seen() -> bool:
        return bool(returned(await pair.orders()))

    await until(seen, within=TAKEOVER_SECONDS, what="two that trade at once")

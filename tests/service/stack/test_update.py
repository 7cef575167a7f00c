"""Another release of a real bot on a real venue: put in place, or taken back when it is sick."""

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import TestServer

from tests.free_ports import free_port
from tests.service.bot.conftest import SYMBOLS, Venue, write_secrets
from tests.service.stack.small_processes import supervising
from tests.waiting import eventually
from trading_ops.agent.fence import FenceKeeper
from trading_ops.domain.target import Restarts
from trading_ops_lab.supervisor.control import build
from trading_ops_lab.supervisor.health_wait import ask, missing
from trading_ops_lab.supervisor.process import AskHttp, Process
from trading_ops_lab.supervisor.releases import Releases
from trading_ops_lab.supervisor.unit import State, Unit

pytestmark = pytest.mark.long

WITHIN_SECONDS = 15.0
ORDER = (
    "INSERT INTO orders (client_id, symbol, side, price, quantity, filled, cost, fee, status,"
    " created_at) VALUES ('x', 'BTC/USD', 'buy', '1', '1', '1', '1', '0', 'filled', 1)"
)
"""What a release leaves that traded."""


def release(folder: Path, name: str, text: str) -> Path:
    """Write a program that is started as a release's interpreter."""
    path = folder / "versions" / name / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def newer(folder: Path, name: str, *, statements: str = "", end: str = "") -> Path:
    """Return a release that changes the tables to a version that no other knows."""
    lines = [
        f"#!{sys.executable}",
        "import sqlite3, time",
        f"connection = sqlite3.connect({str(folder / 'bot' / 'bot.db')!r})",
        "connection.execute('INSERT INTO schema_version VALUES (99)')",
        f"connection.executescript({statements!r})",
        "connection.commit()",
        end or "time.sleep(600)",
    ]
    return release(folder, name, "\n".join(lines) + "\n")


@dataclass
class World:
    """A supervisor with one bot that trades on a venue."""

    folder: Path
    venue: Venue
    unit: Unit
    session: aiohttp.ClientSession
    releases: Releases
    asked: int = 0

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        async with self.session.post(f"/processes/bot/{path}", json=body) as answer:
            return answer.status, await answer.json()

    async def begin(self, python: Path, *, within: float = WITHIN_SECONDS) -> tuple[int, Any]:
        self.asked += 1
        body = {
            "attempt_id": f"update-{self.asked}",
            "incarnation": self.unit.incarnation,
            "python": str(python),
            "within_seconds": within,
        }
        return await self.post("update", body)

    async def update(self, python: Path, *, within: float = WITHIN_SECONDS) -> dict[str, Any]:
        """Update, and return the answer at its end."""
        status, answer = await self.begin(python, within=within)
        assert (status, answer["outcome"]) == (200, "running")

        async def ended() -> Any:
            async with self.session.get(f"/attempts/update-{self.asked}") as reply:
                answer = await reply.json()
                return answer if answer["outcome"] != "running" else None

        return dict(await eventually(ended, within=90))

    async def trades(self) -> None:
        """Wait for an order that was not there before."""
        seq = self.venue.last_seq()
        await eventually(lambda: self.venue.journal("order_added", after=seq), within=40)

    def none_doubled(self) -> bool:
        sent = [entry["client_order_id"] for entry in self.venue.journal("order_added")]
        return len(sent) == len(set(sent))


def bot_plan(folder: Path, venue: Venue) -> Process:
    held, address = folder / "secrets", f"127.0.0.1:{free_port()}"
    config = {
        "name": "alpha",
        "venue": "paper",
        "venue_address": venue.address,
        "agent_address": address,
        "state_dir": str(folder / "bot"),
        "metrics_token_file": str(held / "metrics_token"),
        "agent_token_file": str(held / "agent_token"),
        "key_file": str(held / "venue_key"),
        "secret_file": str(held / "venue_secret"),
        "symbols": SYMBOLS,
        "pass_interval_seconds": 0.2,
        "holds_wait_seconds": 0,
        "probe_interval_seconds": 0.3,
        "fast_samples": 2,
        "slow_samples": 5,
        "order_lifetime_seconds": 1,
    }
    path = folder / "bot.json"
    path.write_bytes(msgspec.json.encode(config))
    return Process(
        unit="bot",
        argv=(sys.executable, "-m", "trading_ops_lab.paper.bot", "--config", str(path)),
        address=address,
        ready=AskHttp(
            url=f"http://{address}/health",
            token_file=held / "agent_token",
            not_yet={"status": "failing"},
        ),
        restarts=Restarts.RECONCILER,
        records=folder / "bot" / "bot.db",
    )


@contextlib.asynccontextmanager
async def trading(folder: Path) -> AsyncIterator[World]:
    write_secrets(folder / "secrets")
    async with aiohttp.ClientSession() as http:
        venue = Venue(folder, http)
        venue.start()
        try:
            await venue.ready()
            async with supervising(folder, bot_plan(folder, venue)) as supervisor:
                await supervisor.start()
                releases = Releases(folder / "units")
                keeper = FenceKeeper(folder / "fence.json")
                application = build(supervisor, keeper, "a-token", releases=releases)
                (unit,) = supervisor
                async with (
                    TestServer(application) as server,
                    aiohttp.ClientSession(
                        server.make_url(""), headers={"Authorization": "Bearer a-token"}
                    ) as session,
                ):
                    world = World(folder, venue, unit, session, releases)
                    await eventually(lambda: venue.journal("order_added"), within=40)
                    yield world
        finally:
            venue.stop()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with trading(tmp_path) as made:
        yield made


async def test_a_release_that_is_well_stays(world: World) -> None:
    """It is drained, started and trades; the next stack starts with it; no order is doubled."""
    good = release(world.folder, "good", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    before, seq, installed = world.unit.incarnation, world.venue.last_seq(), world.unit.plan
    answer = await world.update(good)
    assert answer["outcome"] == "succeeded", answer
    assert world.unit.incarnation == answer["incarnation"] != before
    await world.trades()
    assert world.none_doubled()
    assert world.venue.journal("dead_man_disarmed", after=seq)
    assert not world.venue.journal("dead_man_fired", after=seq)
    plan = Releases(world.folder / "units").chosen(installed)
    assert plan.argv == (str(good), *installed.argv[1:])


@pytest.mark.parametrize("kind", ["exits", "hangs", "newer_exits", "newer_hangs"])
async def test_a_sick_release_is_taken_back(world: World, kind: str) -> None:
    """The one before runs again and trades, on the records from before."""
    script = 'echo \'{"error": "no such thing"}\' >&2'
    texts = {"exits": f"{script}; exit 3", "hangs": "exec sleep 600"}
    if kind in texts:
        sick = release(world.folder, kind, f"#!/bin/sh\n{texts[kind]}\n")
    else:
        end = "raise SystemExit(4)" if kind == "newer_exits" else ""
        sick = newer(world.folder, kind, end=end)
    seq = world.venue.last_seq()
    answer = await world.update(sick, within=6 if "hangs" in kind else WITHIN_SECONDS)
    assert (answer["outcome"], answer["rolled_back"]) == ("failed", True), answer
    if kind == "exits":
        assert "it ended with code 3: no such thing" in answer["detail"]
    assert ("its records are those from before" in answer["detail"]) is kind.startswith("newer")
    assert world.unit.plan.argv[0] == sys.executable
    await world.trades()
    assert world.none_doubled()
    assert not world.venue.journal("dead_man_fired", after=seq)
    assert world.releases.proven("bot") is None
    (copy,) = (world.folder / "units" / "bot").glob("before-*.db")
    assert copy.stat().st_mode & 0o077 == 0


async def test_records_that_were_traded_on_are_not_taken_back(world: World) -> None:
    """What the new release did would be forgotten: it stays down, and the sentence says where."""
    sick = newer(world.folder, "newer", statements=ORDER, end="raise SystemExit(4)")
    answer = await world.update(sick)
    assert (answer["outcome"], answer["rolled_back"]) == ("failed", False)
    (copy,) = (world.folder / "units" / "bot").glob("before-*.db")
    assert f"The copy before is {copy}" in answer["detail"]
    assert "NOT taken back" in answer["detail"]
    assert world.unit.state is State.STOPPED


async def test_an_update_that_no_one_ended_has_failed(world: World) -> None:
    """The supervisor died in its middle: the next one starts with the release before."""
    installed = world.unit.plan
    world.releases.begin_trial("bot", "/a/new/python")
    assert Releases(world.folder / "units").chosen(installed) == installed
    assert world.releases.proven("bot") is None


async def test_what_is_refused(world: World) -> None:
    """Another life, something that is no interpreter, and a bot that is not healthy."""
    status, reply = await world.begin(world.folder / "absent")
    assert (status, "is not an interpreter" in reply["detail"]) == (503, True)
    body = {"attempt_id": "z", "incarnation": "1:2", "python": sys.executable}
    status, reply = await world.post("update", body)
    assert (status, reply["error"]) == (409, "other_incarnation")
    hangs = release(world.folder, "hangs", "#!/bin/sh\nexec sleep 600\n")
    life = world.unit.incarnation
    await world.venue.break_("hang")
    await eventually(lambda: _failing(world), within=30)
    answer = await world.update(hangs)
    assert "nothing was done: bot must be well" in answer["detail"]
    assert world.unit.incarnation == life
    await world.venue.clear_faults()


async def _failing(world: World) -> bool:
    question = world.unit.plan.ready
    assert isinstance(question, AskHttp)
    async with aiohttp.ClientSession() as session:
        return missing(await ask(question, session), world.unit.incarnation) is not None


async def test_a_person_restarts_one_life(world: World) -> None:
    """Without a fence, but of exactly the life that is named, and once for each attempt."""
    before = world.unit.incarnation
    body = {"attempt_id": "hand:1", "fence": None, "incarnation": before}
    status, answer = await world.post("restart", body)
    assert (status, answer["outcome"]) == (200, "succeeded")
    status, again = await world.post("restart", body)
    assert (again["repeated"], again["incarnation"]) == (True, answer["incarnation"])
    status, reply = await world.post("restart", {**body, "attempt_id": "hand:2"})
    assert (status, reply["incarnation"]) == (409, answer["incarnation"])
    await world.trades()
    assert world.none_doubled()
    assert not world.venue.journal("dead_man_fired")

"""Changes of a unit's resources, on a real systemd: in force for a time, then as before."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.services.user_systemd import UserSystemd, user_systemd, why_not
from tests.waiting import eventually
from trading_ops.agent.fence import FenceKeeper
from trading_ops.domain.target import Kind, Manager, Service, Target
from trading_ops.errors import SetupError
from trading_ops.node.scaled import Scaled, ScaleRequest
from trading_ops.node.unit import NodeUnit
from trading_ops.services.executor import Executor
from trading_ops.services.systemd import NOT_SET, Systemd

LACKS = why_not()
pytestmark = pytest.mark.skipif(LACKS is not None, reason=str(LACKS))

UNIT = "sleeper.service"
SLEEPER = "[Service]\nExecStart=/bin/sleep 1000\nMemoryAccounting=yes\n"


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def running() -> Iterator[UserSystemd]:
    with tempfile.TemporaryDirectory() as folder, user_systemd(Path(folder)) as made:
        made.install(UNIT, SLEEPER)
        made.systemctl("start", UNIT)
        yield made


@pytest.fixture
async def systemd(running: UserSystemd) -> AsyncIterator[Systemd]:
    made = Systemd(running.bus)
    yield made
    await made.set_resource(UNIT, "cpu_weight", NOT_SET)
    await made.close()


def target(unit: str = UNIT) -> Target:
    service = Service(manager=Manager.SYSTEMD, unit=unit, node="host-1")
    return Target(
        name="alpha", kind=Kind.BOT, venue="paper", address="127.0.0.1:5", service=service
    )


class Node:
    """What a node process has of it; made again, it is the same node restarted."""

    def __init__(self, folder: Path, systemd: Systemd, clock: Clock) -> None:
        self.unit = NodeUnit(target(), systemd)
        self.scaled = Scaled(folder / "scaled.json", {"alpha": self.unit}, clock)
        self.executor = Executor(FenceKeeper(folder / "fence.json"))

    async def order(self, attempt: str, **wanted: Any) -> dict[str, Any]:
        given = {"resource": "cpu_weight", "value": 20, "seconds": 60} | wanted
        order = msgspec.convert({"attempt_id": attempt, "fence": 1} | given, ScaleRequest)
        return await self.executor.once(self.unit, order, lambda: self.scaled.scale("alpha", order))


def weight(running: UserSystemd) -> str:
    return running.systemctl("show", "--property=CPUWeight", "--value", UNIT).strip()


async def is_normal(running: UserSystemd) -> None:
    async def normal() -> bool:
        return weight(running) == "[not set]"

    await eventually(normal, what="the earlier CPU weight")


async def test_it_is_in_force_and_then_as_before(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """A second order extends the time; the value of the first one is not taken for normal."""
    clock = Clock()
    node = Node(tmp_path, systemd, clock)
    first = await node.order("a1")
    assert first["outcome"] == "succeeded", first
    assert weight(running) == "20"
    again = await node.order("a1", value=30)
    assert again["repeated"]
    assert weight(running) == "20"
    await node.order("a2", value=50, seconds=120)
    assert weight(running) == "50"
    clock.now += 119
    async with node.scaled.restoring():
        assert weight(running) == "50"
    clock.now += 1
    async with node.scaled.restoring():
        await is_normal(running)


async def test_a_node_that_was_restarted_restores_it(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """What was before is on the disk."""
    clock = Clock()
    await Node(tmp_path, systemd, clock).order("a1")
    assert weight(running) == "20"
    clock.now += 60
    async with Node(tmp_path, systemd, clock).scaled.restoring():
        await is_normal(running)


async def test_zero_seconds_restore_it_now(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    node = Node(tmp_path, systemd, Clock())
    await node.order("a1")
    assert (await node.order("a2", seconds=0))["outcome"] == "succeeded"
    assert weight(running) == "[not set]"
    assert (await node.order("a3", seconds=0))["outcome"] == "succeeded"


async def test_undoing_an_attempt_leaves_what_others_asked_for(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """Whichever came first, and after a restart of the node too."""
    node = Node(tmp_path, systemd, Clock())
    await node.order("by-operator", value=30)
    await node.order("by-runbook", value=500)
    assert weight(running) == "500"
    await Node(tmp_path, systemd, Clock()).order("u1", seconds=0, undoes="by-runbook")
    assert weight(running) == "30"
    node = Node(tmp_path, systemd, Clock())
    await node.order("by-runbook-2", value=500)
    await node.order("by-operator-2", value=40)
    await node.order("u2", seconds=0, undoes="by-runbook-2")
    assert weight(running) == "40"
    await node.order("u3", seconds=0, undoes="by-operator-2")
    assert weight(running) == "30"
    await node.order("u4", seconds=0)
    assert weight(running) == "[not set]"


async def test_a_change_that_ends_first_gives_way_to_the_one_before_it(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """A runbook's 15 minutes end inside an operator's hour."""
    clock = Clock()
    node = Node(tmp_path, systemd, clock)
    await node.order("by-operator", value=30, seconds=3600)
    await node.order("by-runbook", value=500, seconds=900)
    clock.now += 900

    async def restored() -> bool:
        return weight(running) == "30"

    async with node.scaled.restoring():
        await eventually(restored, what="the operator's weight")
    await node.order("u1", seconds=0)


async def test_changes_stored_by_an_earlier_release_are_restored(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """It stored neither the value nor the attempt."""
    clock = Clock()
    change = {"unit": "alpha", "resource": "cpu_weight", "before": NOT_SET, "until": clock.now}
    (tmp_path / "scaled.json").write_bytes(msgspec.json.encode({"changes": [change]}))
    await systemd.set_resource(UNIT, "cpu_weight", 20)
    async with Node(tmp_path, systemd, clock).scaled.restoring():
        await is_normal(running)


async def test_what_systemd_refuses_is_a_failure_and_leaves_nothing(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """A weight out of range, and a memory limit that would kill the unit."""
    node = Node(tmp_path, systemd, Clock())
    high = await node.order("a1", value=10_001)
    assert high["outcome"] == "failed"
    assert "10000" in high["detail"]
    await node.order("a2", value=40)
    assert (await node.order("a3", value=10_001))["outcome"] == "failed"
    assert weight(running) == "40"
    assert (await node.order("a4", seconds=0))["outcome"] == "succeeded"
    assert weight(running) == "[not set]"


async def test_a_memory_limit_below_what_is_used_is_refused(systemd: Systemd) -> None:
    """The kernel would kill the bot; one whose use is not known gets none at all."""
    with pytest.raises(SetupError, match="memory"):
        await systemd.set_resource(UNIT, "memory_max", 1)
    with pytest.raises(SetupError, match=r"gone\.service"):
        await systemd.set_resource("gone.service", "memory_max", 1)


class Other:
    """A service manager that cannot change resources."""


async def test_another_service_manager_is_named(tmp_path: Path) -> None:
    unit = NodeUnit(target(), Other())  # type: ignore[arg-type]
    scaled = Scaled(tmp_path / "scaled.json", {"alpha": unit}, Clock())
    order = ScaleRequest(attempt_id="a1", fence=1, resource="cpu_weight", value=20, seconds=60)
    answer = await scaled.scale("alpha", order)
    assert answer["outcome"] == "failed"
    assert "systemd" in answer["detail"]

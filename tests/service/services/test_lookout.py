"""The node looks at its units: that feeds its watchdog, and exports what is unhealthy."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.builders import make_target
from tests.waiting import eventually
from trading_ops.domain.target import Manager, Service
from trading_ops.errors import StackError
from trading_ops.node.lookout import STALE_SECONDS, Lookout
from trading_ops.node.unit import NodeUnit
from trading_ops.services.manager import UnitStatus


class Containers:
    """Service manager of containers with these states; `broken` has a defect."""

    def __init__(self, **states: UnitStatus | Exception) -> None:
        self.states = states
        self.looks = 0

    async def status(self, name: str) -> UnitStatus:
        self.looks += 1
        found = self.states[name]
        if isinstance(found, Exception):
            raise found
        return found

    async def start(self, name: str, within: timedelta) -> None: ...

    async def stop(self, name: str, grace: timedelta) -> None: ...

    async def restart(self, name: str, within: timedelta) -> None: ...

    async def close(self) -> None: ...


def units(containers: Containers) -> dict[str, NodeUnit]:
    made = {}
    for name in containers.states:
        service = Service(manager=Manager.DOCKER, unit=name, node="host-1")
        made[name] = NodeUnit(make_target(name=name, service=service), containers)
    return made


def exported(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


UP = UnitStatus(state="running", running=True)
SICK = UnitStatus(state="unhealthy", running=True, unhealthy=True)
STOPPED = UnitStatus(state="exited", running=False)


async def test_unhealthy_units_are_exported() -> None:
    """A stopped or unknown one is neither healthy nor unhealthy."""
    registry = CollectorRegistry()
    containers = Containers(a=UP, b=SICK, c=STOPPED, d=StackError("no answer"))
    lookout = Lookout(units(containers), registry)
    await lookout.look()
    metric = "trading_ops_node_unit_unhealthy"
    assert exported(registry) == [f'{metric}{{target="a"}} 0.0', f'{metric}{{target="b"}} 1.0']
    containers.states["b"] = StackError("no answer")
    await lookout.look()
    assert exported(registry) == [f'{metric}{{target="a"}} 0.0']


@pytest.mark.parametrize(
    ("state", "works"),
    [(UP, True), (StackError("no answer"), True), (ValueError("a defect"), False)],
)
async def test_only_completed_looks_count_as_work(
    state: UnitStatus | Exception, *, works: bool
) -> None:
    """A manager that does not answer is no reason to restart the node; a defect of its own is."""
    containers = Containers(a=state)
    times = [0.0]
    lookout = Lookout(units(containers), CollectorRegistry(), now=lambda: times[-1])
    assert lookout.works()
    times.append(STALE_SECONDS)
    assert not lookout.works()
    async with lookout.looking():
        await eventually(lookout.works if works else lambda: containers.looks > 0)
    assert lookout.works() is works

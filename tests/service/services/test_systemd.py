"""The service manager `systemd`, on a real one."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.service.services.user_systemd import UserSystemd, user_systemd, why_not
from tests.waiting import eventually
from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError
from trading_ops.services.manager import ManagerUnavailable, UnitStatus
from trading_ops.services.systemd import Systemd, polkit_rule

LACKS = why_not()
pytestmark = pytest.mark.skipif(LACKS is not None, reason=str(LACKS))

WITHIN = timedelta(seconds=60)
SLEEPER = "[Service]\nExecStart=/bin/sleep 1000\n"
WRAPPED = "[Service]\nExecStart=/bin/sh -c 'sleep 1000; true'\n"
SLOW = """[Service]
ExecStartPre=/bin/sh -c 'touch {flag}; while test -e {flag}; do sleep 0.1; done'
ExecStart=/bin/sleep 1000
"""
BROKEN = "[Service]\nType=notify\nExecStart=/bin/false\n"
STUBBORN = (
    "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'\n"
    "TimeoutStopSec=1000\n"
)
LIMITED = """[Unit]
StartLimitBurst=2
StartLimitIntervalSec=1000
[Service]
ExecStart=/bin/sh -c 'test -e {flag} && exec sleep 1000'
Restart=always
RestartSec=0
"""


@pytest.fixture(scope="module")
def running() -> Iterator[UserSystemd]:
    with tempfile.TemporaryDirectory() as folder, user_systemd(Path(folder)) as made:
        yield made


@pytest.fixture
async def systemd(running: UserSystemd) -> AsyncIterator[Systemd]:
    made = Systemd(running.bus)
    yield made
    await made.close()


async def started(running: UserSystemd, systemd: Systemd, name: str, text: str) -> UnitStatus:
    running.install(name, text)
    await systemd.start(name, WITHIN)
    return await systemd.status(name)


async def test_a_restart_makes_a_new_incarnation(running: UserSystemd, systemd: Systemd) -> None:
    """The InvocationID and the process change, and both are known when the call returns."""
    before = await started(running, systemd, "sleeper.service", SLEEPER)
    assert before.running
    assert before.pid is not None
    assert before.reported == incarnation(before.pid)

    await systemd.restart("sleeper.service", WITHIN)
    after = await systemd.status("sleeper.service")

    assert after.running
    assert after.pid != before.pid
    assert after.incarnation not in {None, before.incarnation}


async def test_a_lost_connection_does_not_lose_the_result(
    running: UserSystemd, systemd: Systemd
) -> None:
    """The job's signal goes to a connection that has closed; the job itself is asked then."""
    running.install("slow.service", SLOW.format(flag=running.folder / "waits"))
    starting = asyncio.create_task(systemd.start("slow.service", WITHIN))
    try:
        await eventually((running.folder / "waits").exists)
        await systemd.close()
        (running.folder / "waits").unlink()
        await starting
    finally:
        starting.cancel()
    assert (await systemd.status("slow.service")).running


def drop_connection(systemd: Systemd) -> None:
    """The bus drops its client."""
    bus = cast("Any", systemd._bus)
    bus._stream.close()
    bus._sock.close()


async def test_a_lost_connection_is_replaced(running: UserSystemd, systemd: Systemd) -> None:
    """The next call uses a new one: reading the state, changing a resource, stopping."""
    await started(running, systemd, "dropped.service", SLEEPER)
    drop_connection(systemd)
    assert (await systemd.status("dropped.service")).running
    drop_connection(systemd)
    await systemd.set_resource("dropped.service", "cpu_weight", 50)
    assert await systemd.resource("dropped.service", "cpu_weight") == 50
    drop_connection(systemd)
    await systemd.stop("dropped.service", WITHIN)
    assert not (await systemd.status("dropped.service")).running


async def test_a_wrapper_is_not_taken_for_the_bot(running: UserSystemd, systemd: Systemd) -> None:
    """A main process with children may be a shell: what its bot reports is not known."""
    await started(running, systemd, "wrapped.service", WRAPPED)

    async def forked() -> bool:
        found = await systemd.status("wrapped.service")
        return found.running and found.reported is None

    await eventually(forked)


async def test_a_killed_process_is_reported_with_its_end(
    running: UserSystemd, systemd: Systemd
) -> None:
    """It does not run, keeps the name of its last life, and the detail says how it ended."""
    before = await started(running, systemd, "killed.service", SLEEPER)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    async def ended() -> UnitStatus | None:
        now = await systemd.status("killed.service")
        return None if now.running else now

    now: UnitStatus = await eventually(ended)
    assert now.pid is None
    assert now.incarnation == before.incarnation
    assert "signal" in now.detail
    assert "9" in now.detail


async def test_a_start_limit_is_reset_once_for_each_order(
    running: UserSystemd, systemd: Systemd, tmp_path: Path
) -> None:
    """A unit that systemd refuses to start any more is started by the next order."""
    flag = tmp_path / "it-can-start"
    await started(running, systemd, "limited.service", LIMITED.format(flag=flag))

    async def given_up() -> bool:
        return (await systemd.status("limited.service")).state == "failed"

    await eventually(given_up)
    flag.touch()

    await systemd.restart("limited.service", WITHIN)

    assert (await systemd.status("limited.service")).running


async def test_a_job_that_fails_is_an_error_with_the_reason(
    running: UserSystemd, systemd: Systemd
) -> None:
    """The answer to the call is not the result: the job's is."""
    running.install("broken.service", BROKEN)
    with pytest.raises(SetupError, match=r"broken\.service.*exit status 1"):
        await systemd.restart("broken.service", WITHIN)


async def test_what_ignores_sigterm_is_killed_after_the_grace(
    running: UserSystemd, systemd: Systemd
) -> None:
    """A stop ends within its grace, whatever the unit's own timeout is."""
    before = await started(running, systemd, "stubborn.service", STUBBORN)
    assert before.running
    await systemd.stop("stubborn.service", timedelta(seconds=0.5))
    assert not (await systemd.status("stubborn.service")).running


async def test_an_unknown_unit_is_named(systemd: Systemd) -> None:
    """The error says which unit is missing and what to do."""
    with pytest.raises(SetupError, match=r"no unit nothing\.service.*Fix"):
        await systemd.status("nothing.service")


async def test_a_bus_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    """No answer is not the same as no process."""
    nowhere = Systemd(f"unix:path={tmp_path}/bus")
    with pytest.raises(ManagerUnavailable):
        await nowhere.status("sleeper.service")


def test_a_limit_is_allowed_by_the_polkit_rule() -> None:
    """`SetUnitProperties` asks polkit for its own verb."""
    assert '"set-property"' in polkit_rule("trading-ops", ["a.service"])


def test_the_polkit_rule_names_exactly_the_units() -> None:
    """Nothing else may be managed by the node's user."""
    rule = polkit_rule("trading-ops", ["b.service", "a.service"])
    assert '["a.service", "b.service"]' in rule
    assert 'subject.user == "trading-ops"' in rule

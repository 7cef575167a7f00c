"""systemd over D-Bus.

The incarnation of a unit is its InvocationID, which changes with each start. The result of a
request is the result of its systemd job, not the answer to the call.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from trading_ops.errors import SetupError
from trading_ops.services import last_lines
from trading_ops.services.manager import ManagerUnavailable, UnitStatus, reported_incarnation

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
CALL_SECONDS = 5.0
"""Timeout for systemd to accept a request; the job has its own deadline."""

KILLED_SECONDS = 5.0
"""Timeout for a unit to end after SIGKILL."""

PROPERTIES = {"cpu_weight": "CPUWeight", "memory_max": "MemoryMax"}
"""By our names of resources; CPUWeight is a share, MemoryMax is in bytes."""

HEADROOM = 1.25
"""A new MemoryMax must be this many times what the unit uses: the kernel kills what is above it."""

NOT_SET = 2**64 - 1
"""systemd's value of a property without one: no limit, or not measured."""

RUNNING = frozenset({"active", "activating", "reloading", "deactivating"})


REPEATABLE = frozenset({"LoadUnit", "GetAll", "SetUnitProperties", "StopUnit", "KillUnit"})
"""Methods whose second call changes nothing."""

CHECK_SECONDS = 2.0
"""After this long without a job's signal, the job itself is queried."""


class Systemd:
    """systemd of the system, or of a user if a bus address is given."""

    def __init__(self, bus_address: str | None = None) -> None:
        """Set the D-Bus address of systemd; None: the system bus."""
        self._address = bus_address
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._jobs: dict[str, str] = {}
        """Results by job path. A job may end before the call that created it returns."""

        self._ended = asyncio.Condition()
        self._waiting = 0

    async def status(self, name: str) -> UnitStatus:
        """Return the unit's state.

        Raises:
            SetupError: systemd has no such unit.
            ManagerUnavailable: systemd does not answer.
        """
        path = (await self._manager("LoadUnit", "s", name))[0]
        unit = await self._properties(path, f"{SYSTEMD}.Unit")
        if unit["LoadState"] == "not-found":
            raise SetupError(f"systemd has no unit {name}. Fix: install it, or correct targets.yml")
        service = await self._properties(path, f"{SYSTEMD}.Service")
        state = str(unit["ActiveState"])
        pid = int(service["MainPID"]) or None
        return UnitStatus(
            state=state,
            running=state in RUNNING,
            incarnation=bytes(unit["InvocationID"]).hex() or None,
            pid=pid,
            reported=reported_incarnation(pid, f"/{name}"),
            detail=_end_of(service) if state not in RUNNING else "",
        )

    async def last_lines(self, name: str, incarnation: str) -> list[str]:  # noqa: ARG002
        """Return the end of the journal of one run, by its InvocationID.

        Raises:
            SetupError: there is no journalctl.
            ManagerUnavailable: it does not answer.
        """
        return await last_lines.of_journal(incarnation)

    async def start(self, name: str, within: timedelta) -> None:
        """Start the unit, and wait for the job's result.

        Raises:
            SetupError: it could not be started.
            ManagerUnavailable: systemd does not answer.
        """
        await self._forget_start_limit(name)
        await self._job("StartUnit", name, within)

    async def stop(self, name: str, grace: timedelta) -> None:
        """Stop the unit; all its processes are killed after the grace period.

        Raises:
            SetupError: it could not be stopped.
            ManagerUnavailable: systemd does not answer.
        """
        try:
            await self._job("StopUnit", name, grace)
        except TimeoutError:
            await self._manager("KillUnit", "ssi", name, "all", 9)
            await self._job("StopUnit", name, timedelta(seconds=KILLED_SECONDS))

    async def restart(self, name: str, within: timedelta) -> None:
        """Restart the unit, and wait for the job's result.

        The start limit of the unit is reset once per request: the reconciler's attempt budget
        bounds the number of restarts.

        Raises:
            SetupError: it could not be restarted.
            ManagerUnavailable: systemd does not answer.
        """
        await self._forget_start_limit(name)
        await self._job("RestartUnit", name, within)

    async def resource(self, name: str, resource: str) -> int:
        """Return the unit's property; NOT_SET when it has none.

        Raises:
            SetupError: systemd has no such unit.
            ManagerUnavailable: systemd does not answer.
        """
        path = (await self._manager("LoadUnit", "s", name))[0]
        return int((await self._properties(path, f"{SYSTEMD}.Service"))[PROPERTIES[resource]])

    async def set_resource(self, name: str, resource: str, value: int) -> None:
        """Set the unit's property until the host reboots (`systemctl set-property --runtime`).

        Raises:
            SetupError: systemd refuses, or the unit uses nearly as much memory already.
            ManagerUnavailable: systemd does not answer.
        """
        if resource == "memory_max" and value != NOT_SET:
            await self._check_memory(name, value)
        runtime, properties = True, [[PROPERTIES[resource], Variant("t", value)]]
        await self._manager("SetUnitProperties", "sba(sv)", name, runtime, properties)

    async def _check_memory(self, name: str, value: int) -> None:
        path = (await self._manager("LoadUnit", "s", name))[0]
        used = int((await self._properties(path, f"{SYSTEMD}.Service"))["MemoryCurrent"])
        if used == NOT_SET:
            fix = f"set MemoryAccounting=yes in {name}"
            raise SetupError(f"systemd does not measure the memory of {name}. Fix: {fix}")
        if value < used * HEADROOM:
            fix = f"give it at least {math.ceil(used * HEADROOM / 1e6)} megabytes"
            raise SetupError(f"{name} uses {used / 1e6:.1f} MB of memory already. Fix: {fix}")

    async def close(self) -> None:
        """Disconnect from the bus."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def _forget_start_limit(self, name: str) -> None:
        """Reset a failed unit: systemd refuses to start one that hit its start limit.

        Its `Result` does not show this: it shows how the last process ended.
        """
        path = (await self._manager("LoadUnit", "s", name))[0]
        unit = await self._properties(path, f"{SYSTEMD}.Unit")
        if unit["ActiveState"] == "failed":
            await self._manager("ResetFailedUnit", "s", name)

    async def _job(self, method: str, name: str, within: timedelta) -> None:
        async with self._listening():
            path = (await self._manager(method, "ss", name, "replace"))[0]
            async with asyncio.timeout(within.total_seconds()):
                while path not in self._jobs:
                    await self._wait_for_signal(path)
                    if path not in self._jobs and await self._is_gone(path):
                        break
            result = self._jobs.pop(path, "") or await self._result_of(method, name)
        if result != "done":
            status = await self.status(name)
            reason = status.detail or f"it is {status.state}"
            raise SetupError(f"systemd's job for {name} ended with {result!r}: {reason}")

    async def _wait_for_signal(self, path: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS), self._ended:
                await self._ended.wait_for(lambda: path in self._jobs)

    async def _is_gone(self, path: str) -> bool:
        """Whether the job has ended: its signal may have gone to a connection that closed."""
        try:
            await self._properties(path, f"{SYSTEMD}.Job")
        except SetupError:
            return True
        except ManagerUnavailable:
            pass  # retried until the deadline
        return False

    async def _result_of(self, method: str, name: str) -> str:
        """Return the result of a job whose signal was lost, by what the unit does now."""
        state = (await self.status(name)).state
        return "done" if (state in RUNNING) is (method != "StopUnit") else "failed"

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Record the results of jobs during the block."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._jobs.clear()

    async def _properties(self, path: str, interface: str) -> Mapping[str, Any]:
        found = await self._call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface)
        return {key: variant.value for key, variant in found[0].items()}

    async def _manager(self, member: str, signature: str, *body: Any) -> list[Any]:
        return await self._call(MANAGER_PATH, MANAGER, member, signature, *body)

    async def _call(
        self, path: str, interface: str, member: str, signature: str, *body: Any
    ) -> list[Any]:
        message = partial(
            Message,
            destination=SYSTEMD,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            return await self._ask(message())
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            if member in REPEATABLE and not isinstance(error, TimeoutError):
                # The connection was lost: only the next call detects that.
                with contextlib.suppress(OSError, EOFError, TimeoutError):
                    return await self._ask(message())
                await self.close()
            reason = str(error) or "no answer"
            raise ManagerUnavailable(f"cannot query systemd: {reason}") from error

    async def _ask(self, message: Message) -> list[Any]:
        async with asyncio.timeout(CALL_SECONDS):
            bus = await self._connected()
            reply = await bus.call(message)
        if reply is None:
            raise ManagerUnavailable(f"systemd did not answer {message.member}")
        if reply.message_type is MessageType.ERROR:
            raise _error(str(message.member), reply)
        return list(reply.body)

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM)
                await bus.connect()
                bus.add_message_handler(self._receive)
                match = f"type='signal',interface='{MANAGER}',member='JobRemoved'"
                await bus.call(
                    Message(
                        destination="org.freedesktop.DBus",
                        path="/org/freedesktop/DBus",
                        interface="org.freedesktop.DBus",
                        member="AddMatch",
                        signature="s",
                        body=[match],
                    )
                )
                # systemd sends signals only to subscribers.
                await bus.call(
                    Message(
                        destination=SYSTEMD,
                        path=MANAGER_PATH,
                        interface=MANAGER,
                        member="Subscribe",
                    )
                )
                self._bus = bus
            return self._bus

    def _receive(self, message: Message) -> None:
        if message.member == "JobRemoved" and message.interface == MANAGER and self._waiting:
            _, path, _, result = message.body
            self._jobs[path] = result
            self._wake = asyncio.ensure_future(self._notify())

    async def _notify(self) -> None:
        async with self._ended:
            self._ended.notify_all()


def _end_of(service: Mapping[str, Any]) -> str:
    """Return how the last run of a service failed; empty if there is none or it succeeded."""
    result = str(service["Result"])
    if result == "success":
        return ""
    return f"{result}, exit status {service['ExecMainStatus']}"


def _error(member: str, reply: Message) -> Exception:
    text = str(reply.body[0]) if reply.body else str(reply.error_name)
    name = str(reply.error_name)
    if name.endswith((".AccessDenied", ".InteractiveAuthorizationRequired")):
        return SetupError(
            f"systemd refuses {member}: {text}. Fix: install the polkit rule that "
            "`trading-ops node --polkit` prints"
        )
    if name.endswith((".NoReply", ".Disconnected", ".ServiceUnknown")):
        return ManagerUnavailable(f"cannot query systemd: {text}")
    return SetupError(f"systemd refuses {member}: {text}")


def polkit_rule(user: str, units: list[str]) -> str:
    """Return the rule that lets a user start, stop, restart and scale these units, and no others.

    Args:
        user: name of the node process's user.
        units: names of systemd units, validated by the loader of `targets.yml`.
    """
    listed = ", ".join(f'"{unit}"' for unit in sorted(units))
    return f"""\
// /etc/polkit-1/rules.d/50-trading-ops-node.rules
polkit.addRule(function(action, subject) {{
    var units = [{listed}];
    var verbs = ["start", "stop", "restart", "kill", "reset-failed", "set-property"];
    if (action.id == "org.freedesktop.systemd1.manage-units" &&
        subject.user == "{user}" &&
        units.indexOf(action.lookup("unit")) >= 0 &&
        verbs.indexOf(action.lookup("verb")) >= 0) {{
        return polkit.Result.YES;
    }}
}});
"""

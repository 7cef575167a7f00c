"""All processes of the stack: started in order, kept running, and stopped in reverse order."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import aiohttp

from trading_ops import durable, logs
from trading_ops.errors import SetupError, StackError
from trading_ops_lab.supervisor.process import Process
from trading_ops_lab.supervisor.restart_backoff import DEFAULT_PAUSES, RestartPauses
from trading_ops_lab.supervisor.unit import Surroundings, Unit

_log = logs.get(__name__)


class Phase(StrEnum):
    """Phase of the whole stack."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Supervisor:
    """Starts, watches and stops the processes. Use it from one event loop only.

    If it dies, the processes keep running. The next one adopts those that match the configuration.
    """

    def __init__(
        self,
        plans: Sequence[Process],
        *,
        folder: Path,
        log_folder: Path,
        var: Path,
        record: Path,
        session: aiohttp.ClientSession,
        survivors: Mapping[str, str] | None = None,
        pauses: RestartPauses = DEFAULT_PAUSES,
    ) -> None:
        """Set the plans in start order.

        Args:
            plans: what to run; `after` names only units that come earlier.
            folder: working directory of the processes.
            log_folder: folder of their logs.
            var: absolute path of the stack's folder, by which its processes are recognized.
            record: the file that lists the running processes for others.
            session: for readiness checks.
            survivors: incarnations to adopt instead of starting the unit, by unit.
            pauses: before automatic restarts.
        """
        self.phase = Phase.STOPPED
        self.listeners: list[Callable[[], None]] = []
        """Called after every state change; must not block. A callback that raises is dropped."""

        self.asked_to_stop = asyncio.Event()
        """Set by the API and by signals; the owner of the supervisor waits for it and drains."""

        self.session = session
        """For health requests."""

        self._record = record
        self._survivors = dict(survivors or {})
        shared = Surroundings(
            folder=folder,
            logs=log_folder,
            session=session,
            on_change=self._changed,
            var=var,
            pauses=pauses,
        )
        self._units = {plan.unit: Unit(plan, shared) for plan in plans}

    def __iter__(self) -> Iterator[Unit]:
        """Iterate over the units in the order of their start."""
        return iter(self._units.values())

    def find(self, unit: str) -> Unit | None:
        """Return the unit of this name, or None."""
        return self._units.get(unit)

    async def start(self) -> None:
        """Start every process once its dependencies are ready; return when all are ready.

        Raises:
            StackError: one exited or was late; the others keep running until `drain`.
            SetupError: a program cannot be started.
        """
        for name, life in self._survivors.items():
            with contextlib.suppress(SetupError):  # it has exited since, so it is started
                self._units[name].adopt(life)
        self._survivors.clear()
        self._enter(Phase.STARTING)
        tasks = [asyncio.create_task(self._bring_up(unit)) for unit in self]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self._enter(Phase.READY)
        _log.info("stack_became_ready", processes=len(self._units))

    async def drain(self) -> None:
        """Stop everything in reverse order, each with its own deadline.

        A process is stopped once all its dependents have exited; independent processes stop in
        parallel.
        """
        self._enter(Phase.STOPPING)
        gone = {unit.plan.unit: asyncio.Event() for unit in self}
        await asyncio.gather(*(self._take_down(unit, gone) for unit in self))
        self._enter(Phase.STOPPED)
        _log.info("stack_stopped")

    def check_open(self) -> None:
        """Refuse to start anything while the stack is stopping.

        Raises:
            StackError: it is stopping.
        """
        if self.phase in {Phase.STOPPING, Phase.STOPPED}:
            raise StackError("the stack is stopping: no new process is started")

    def kill(self) -> None:
        """Kill everything at once, after a second signal."""
        _log.warning("stack_killed")
        for unit in self:
            unit.kill()

    async def _bring_up(self, unit: Unit) -> None:
        for name in unit.plan.after:
            await self._units[name].ready.wait()
        async with unit.lock:
            await unit.start()
        await unit.until_up()

    async def _take_down(self, unit: Unit, gone: dict[str, asyncio.Event]) -> None:
        for other in self:
            if unit.plan.unit in other.plan.after:
                await gone[other.plan.unit].wait()
        async with unit.lock:
            await unit.stop()
        gone[unit.plan.unit].set()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._changed()

    def _changed(self) -> None:
        lives = {unit.plan.unit: unit.incarnation for unit in self if unit.running}
        # A full disk or a closed terminal must not stop the supervisor.
        try:
            durable.write_if_changed(self._record, json.dumps({"incarnations": lives}))
        except OSError as error:
            _log.error("record_not_written", path=str(self._record), reason=str(error))
        for listener in tuple(self.listeners):
            try:
                listener()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it
                _log.warning("listener_dropped", reason=str(error) or type(error).__name__)
                self.listeners.remove(listener)

"""One supervised process and its incarnations: start, readiness, watch, restart, stop."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiohttp

from trading_ops import clock, logs
from trading_ops.agent.incarnation import incarnation
from trading_ops.domain.target import Restarts
from trading_ops.errors import SetupError, StackError
from trading_ops.services.last_lines import bounded
from trading_ops_lab.supervisor.child import Child, adopt, last_error, last_lines, start, tail
from trading_ops_lab.supervisor.orphans import Mark, digest
from trading_ops_lab.supervisor.priority import Priority
from trading_ops_lab.supervisor.process import Process
from trading_ops_lab.supervisor.readiness import until_ready
from trading_ops_lab.supervisor.restart_backoff import (
    DEFAULT_PAUSES,
    RestartPauses,
    is_failing,
    pause_before,
)

_log = logs.get(__name__)

KEPT_RESTARTS = 32
"""More than fit into the window at the maximum pause."""

RESTART_STOP_SECONDS = 10.0
"""Seconds from SIGTERM to SIGKILL in a requested restart."""


class State(StrEnum):
    """State of a process."""

    STARTING = "starting"
    READY = "ready"
    EXITED = "exited"
    BACKOFF = "backoff"
    """It keeps exiting or cannot be started; it is restarted after a pause."""

    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Data shared by all units."""

    folder: Path
    """Working directory of the processes."""

    logs: Path
    session: aiohttp.ClientSession
    on_change: Callable[[], None]
    var: Path
    """The stack's folder, which marks the processes as its own."""

    pauses: RestartPauses = DEFAULT_PAUSES


class Unit:
    """Keeps one process running as targets.yml says. Use it from one event loop only."""

    def __init__(self, plan: Process, shared: Surroundings) -> None:
        """Set the plan; nothing is started yet."""
        self.plan = plan
        self.state = State.STOPPED
        self.exit_code: int | None = None
        self.problem: str | None = None
        """Why the last start failed; None: it did not."""

        self.restarts = 0
        self.child: Child | None = None
        self.ready = asyncio.Event()
        self.lock = asyncio.Lock()
        """Held while this unit is started, stopped or restarted, also automatically."""

        self._shared = shared
        self._automatic: deque[float] = deque(maxlen=KEPT_RESTARTS)
        self._came_up = False
        self._wanted = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its name in targets.yml."""
        return self.plan.unit

    @property
    def service(self) -> str:
        """The same name: the supervisor is its own service manager."""
        return self.plan.unit

    @property
    def resources(self) -> Priority:
        """Control of its CPU weight."""
        return Priority(self)

    @property
    def pid(self) -> int | None:
        """Its process; None: not running."""
        return self.child.pid if self.child and self.running else None

    @property
    def ended(self) -> str:
        """How its last run ended; empty while it runs."""
        return "" if self.running or self.exit_code is None else f"exit code {self.exit_code}"

    async def last_lines(self) -> list[str]:
        """The end of its log."""
        return bounded(last_lines(self.log))

    async def refresh(self) -> None:
        """Empty: the end of a child is detected at once."""

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._shared.logs / f"{self.plan.unit}.log"

    @property
    def incarnation(self) -> str | None:
        """The current incarnation or, after its end, the last one; None before the first."""
        return self.child.incarnation if self.child else None

    @property
    def running(self) -> bool:
        """Whether a process is running."""
        return self.state in {State.STARTING, State.READY}

    async def start(self) -> None:
        """Start it, unless it runs; resets the count of automatic restarts.

        Raises:
            SetupError: it could not be started; see `restart`.
        """
        if self.running:
            return
        await self._end_watch()
        await self._restart()

    def adopt(self, life: str) -> None:
        """Adopt a process of this unit that an earlier supervisor started.

        Raises:
            SetupError: it has ended.
        """
        child = adopt(life, self.log)
        _log.info("process_adopted", unit=self.plan.unit, incarnation=life)
        self._follow_from_now(child)

    async def stop(self, seconds: float | None = None) -> None:
        """Stop it until `start` is called."""
        self._wanted = False
        if self.running and self.child:
            await self.child.stop(self.plan.stop_seconds if seconds is None else seconds)
        await self._end_watch()
        if self.state is not State.STOPPED:
            self._become(State.STOPPED)

    async def restart(self) -> None:
        """Stop the running process, if any, and start it again; does not wait for readiness.

        Raises:
            SetupError: it could not be started and is stopped. The owner of its restarts retries:
                the supervisor itself if it has been ready before.
        """
        await self.stop(min(self.plan.stop_seconds, RESTART_STOP_SECONDS))
        self.restarts += 1
        await self._restart()

    async def until_up(self) -> None:
        """Wait until it is ready for the first time.

        Raises:
            StackError: it exited before, or exceeded its deadline.
        """
        ready = asyncio.ensure_future(self.ready.wait())
        watch = self._watch
        waiting = {ready} if watch is None else {ready, watch}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=self.plan.ready_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if ready in done:
            return
        problem = (
            f"ended with code {self.exit_code} before it was ready"
            if done
            else f"was not ready after {self.plan.ready_seconds:.0f} s"
        )
        begins = self.child.log_begins if self.child else 0
        if (error := last_error(self.log, begins)) is not None:
            raise StackError(f"{self.plan.unit} {problem}: {error} (its log: {self.log})")
        end = tail(self.log, begins)
        raise StackError(f"{self.plan.unit} {problem}. The end of {self.log}:\n{end}")

    def kill(self) -> None:
        """Kill it at once; tasks that wait for its exit continue."""
        self._wanted = False
        if self.running and self.child:
            self.child.kill()

    async def _restart(self) -> None:
        self._automatic.clear()
        try:
            await self._spawn()
        except SetupError:
            self._become(State.EXITED)
            if self._is_ours_to_restart:
                trying = self._live(None)
                self._watch = asyncio.create_task(trying, name=f"watch-{self.plan.unit}")
            raise

    async def _spawn(self) -> None:
        """Start the process.

        Raises:
            SetupError: it did not start; `problem` has the reason.
        """
        self.ready.clear()
        self._wanted = True
        try:
            child = await start(
                self.plan, folder=self._shared.folder, log=self.log, mark=self._mark()
            )
        except Exception as error:
            self.problem = str(error) or type(error).__name__
            _log.error("process_not_started", unit=self.plan.unit, reason=self.problem)
            if isinstance(error, SetupError):
                raise
            # An internal error: report it to the caller like any other failure to start.
            _log.exception("start_crashed", unit=self.plan.unit)
            raise SetupError(f"{self.plan.unit} cannot be started: {self.problem}") from error
        _log.info("process_started", unit=self.plan.unit, incarnation=child.incarnation)
        self._follow_from_now(child)

    def _follow_from_now(self, child: Child) -> None:
        self._wanted = True
        self.child = child
        self.exit_code = self.problem = None
        self._become(State.STARTING)
        self._watch = asyncio.create_task(self._live(child), name=f"watch-{self.plan.unit}")

    def _mark(self) -> str:
        var, supervisor = str(self._shared.var), incarnation(os.getpid())
        unit, plan = self.plan.unit, digest(self.plan)
        return Mark(var=var, unit=unit, supervisor=supervisor, plan=plan).variable()

    @property
    def _is_ours_to_restart(self) -> bool:
        return self._wanted and self._came_up and self.plan.restarts is Restarts.MANAGER

    async def _live(self, child: Child | None) -> None:
        """Wait until the process exits, and restart it if the supervisor owns its restarts."""
        try:
            if child is not None:
                await self._follow(child)
            if self._is_ours_to_restart:
                await self._restart_automatically()
        except Exception as error:  # noqa: BLE001 - a defect of ours, whatever it is
            # No one awaits this task: without this message, the unit would silently be
            # unsupervised.
            _log.exception("watch_crashed", unit=self.plan.unit)
            self.problem = f"its supervision failed: {str(error) or type(error).__name__}"
            if self.running and child is not None and self.child is child:
                child.kill()
            self._back_off()
            while self._is_ours_to_restart:
                await asyncio.sleep(self._shared.pauses.longest_pause_seconds)
                if await self._restarted():
                    return

    async def _follow(self, child: Child) -> None:
        asking = asyncio.create_task(self._ask())
        try:
            self.exit_code = await child.wait()
        finally:
            asking.cancel()
        self.ready.clear()
        if self._wanted:
            _log.warning("process_ended", unit=self.plan.unit, exit_code=self.exit_code)
            self._become(State.EXITED)
        else:
            _log.info("process_stopped", unit=self.plan.unit, exit_code=self.exit_code)
            self._become(State.STOPPED)

    async def _ask(self) -> None:
        try:
            await until_ready(self.plan.ready, self._shared.session)
        except Exception:  # noqa: BLE001 - it stays `starting`, which is visible
            _log.exception("readiness_unknown", unit=self.plan.unit)
            return
        self._came_up = True
        self.ready.set()
        self._become(State.READY)

    async def _restart_automatically(self) -> None:
        """Restart the process; a failure to start counts like an exit."""
        pauses = self._shared.pauses
        while True:
            if is_failing(self._automatic, clock.monotonic(), pauses):
                self._back_off()
            await asyncio.sleep(pause_before(self._automatic, clock.monotonic(), pauses))
            if await self._restarted():
                return

    async def _restarted(self) -> bool:
        """Restart the process if it is still wanted; return False if this must be repeated."""
        async with self.lock:
            if self._watch is not asyncio.current_task() or not self._wanted:
                return True
            self._automatic.append(clock.monotonic())
            self.restarts += 1
            with contextlib.suppress(SetupError):  # logged by `_spawn`
                await self._spawn()
                return True
        return False

    def _back_off(self) -> None:
        _log.error(
            "process_failing",
            unit=self.plan.unit,
            restarts=self.restarts,
            reason=self.problem or f"it keeps exiting with code {self.exit_code}",
        )
        self._become(State.BACKOFF)

    async def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is None:
            return
        if not self.running:
            watch.cancel()  # it may be pausing before a restart that is no longer wanted
        await asyncio.wait({watch})

    def _become(self, state: State) -> None:
        self.state = state
        try:
            self._shared.on_change()
        except Exception:  # noqa: BLE001 - an observer's error must not end the watch
            _log.exception("change_not_reported", unit=self.plan.unit)

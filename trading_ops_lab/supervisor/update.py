"""Deploys another release of a bot, and rolls back if it is unhealthy.

The running release is drained, its records are copied, and the new one is started. If it is not
healthy in time, it is stopped and the old one is started again. Records that the new release has
changed so that the old one cannot read them are rolled back too, but only if nothing was traded
since: else the unit stays down, and the result names the path of the copy.
"""

import asyncio
import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from trading_ops import logs
from trading_ops.errors import SetupError, StackError
from trading_ops.services.executor import Executor
from trading_ops_lab.supervisor.child import last_error
from trading_ops_lab.supervisor.health_wait import ask, missing, wait_until_healthy
from trading_ops_lab.supervisor.process import AskHttp, Process
from trading_ops_lab.supervisor.records_backup import copy_records, go_back, traded_since, version
from trading_ops_lab.supervisor.releases import Releases, with_python
from trading_ops_lab.supervisor.supervisor import Phase, Supervisor
from trading_ops_lab.supervisor.unit import RESTART_STOP_SECONDS, Unit

_log = logs.get(__name__)

LONGEST_SECONDS = 600.0


class UpdateRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to update a unit."""

    attempt_id: str
    incarnation: str
    """The expected incarnation; another one is not touched."""

    python: str
    """The interpreter of the release to run, as an absolute path."""

    within_seconds: float = 60.0
    """Timeout for the new release to become healthy, and again for the old one after a rollback."""


class StackStopping(StackError):
    """The stack is stopping during an update: the next start uses the previous release."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """One update in progress."""

    unit: Unit
    request: UpdateRequest
    before: Process
    proven: str | None
    question: AskHttp


class Updates:
    """Runs updates, one at a time per unit."""

    def __init__(
        self,
        supervisor: Supervisor,
        executor: Executor,
        releases: Releases,
        session: aiohttp.ClientSession,
    ) -> None:
        """Take the supervisor, the executor, the stored releases, and a session for asking bots."""
        self._supervisor = supervisor
        self._executor = executor
        self._releases = releases
        self._session = session
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, unit: Unit, request: UpdateRequest) -> dict[str, Any]:
        """Start an update, or return the earlier answer of this attempt.

        Raises:
            OtherIncarnation: the expected incarnation has ended.
            StackError: the unit cannot be updated, or not now; nothing was done.
            OSError: it could not be stored; nothing was done.
        """
        trial = self._trial(unit, request)
        async with unit.lock:
            answer = self._executor.take_up(unit, request.attempt_id, request.incarnation)
        if answer is not None:
            return answer
        name = unit.plan.unit
        _log.info("update_requested", unit=name, attempt=request.attempt_id, python=request.python)
        task = asyncio.create_task(self._carry_out(trial), name=f"update-{name}")
        self._tasks[name] = task
        return {"attempt_id": request.attempt_id, "outcome": "running", "repeated": False}

    def _trial(self, unit: Unit, request: UpdateRequest) -> _Trial:
        task, question = self._tasks.get(unit.plan.unit), unit.plan.ready
        python = Path(request.python)
        if task is not None and not task.done():
            raise StackError(f"an update of {unit.plan.unit} is in progress: wait until it ends")
        if unit.plan.records is None or not isinstance(question, AskHttp):
            raise StackError(f"{unit.plan.unit} is not a bot: it is updated with the whole stack")
        if not python.is_absolute() or not python.is_file():
            raise StackError(f"{request.python} is not an interpreter: give its absolute path")
        if (part := changeable_part(python)) is not None:
            raise StackError(
                f"{request.python} was not started: {part} belongs to another user or is "
                "writable by all users. Fix its owner and mode"
            )
        if not 0 < request.within_seconds <= LONGEST_SECONDS:
            raise StackError(f"within_seconds must be between 0 and {LONGEST_SECONDS:g}")
        return _Trial(
            unit=unit,
            request=request,
            before=unit.plan,
            proven=self._releases.proven(unit.plan.unit),
            question=question,
        )

    async def _carry_out(self, trial: _Trial) -> None:
        request, name = trial.request, trial.unit.plan.unit
        try:
            answer = await self._try(trial)
        except StackStopping as error:
            answer = _failed(str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours is an answer too
            _log.exception("update_crashed", unit=name)
            answer = _failed(f"the update crashed: {type(error).__name__}: {error}")
        level = _log.info if answer["outcome"] == "succeeded" else _log.error
        level("update_ended", unit=name, attempt=request.attempt_id, **answer)
        self._executor.finish(request.attempt_id, {"attempt_id": request.attempt_id, **answer})

    async def _try(self, trial: _Trial) -> dict[str, Any]:
        unit, name = trial.unit, trial.unit.plan.unit
        lacks = missing(await ask(trial.question, self._session), trial.request.incarnation)
        if lacks is not None:
            return _failed(f"not updated: {name} must be healthy before an update, but {lacks}")
        copy: Path | None = None
        async with unit.lock:
            self._executor.still(unit, trial.request.incarnation)
            self._releases.begin_trial(name, trial.request.python)
            await unit.stop(min(unit.plan.stop_seconds, RESTART_STOP_SECONDS))
            try:
                copy = await self._copy(trial)
                unit.plan = with_python(trial.before, trial.request.python)
                await unit.start()
                problem = None
            except (OSError, sqlite3.Error, SetupError) as error:
                problem = str(error)
        problem = problem or await self._wait_until_healthy(trial)
        if problem is None:
            self._releases.end_trial(name, trial.request.python, "well")
            detail = f"{name} runs with {trial.request.python} and is healthy: {unit.incarnation}"
            return {"outcome": "succeeded", "detail": detail, "incarnation": unit.incarnation}
        return await self._take_back(trial, copy, problem)

    async def _copy(self, trial: _Trial) -> Path | None:
        records = trial.before.records
        if records is None or not records.exists():
            return None  # they are on a server, which has its own backups
        folder = self._releases.folder_of(trial.before.unit)
        return await asyncio.to_thread(copy_records, records, folder, trial.request.attempt_id)

    async def _take_back(self, trial: _Trial, copy: Path | None, problem: str) -> dict[str, Any]:
        unit, name = trial.unit, trial.unit.plan.unit
        failure = f"{name} with {trial.request.python}: {problem}"
        _log.error("update_rolled_back", unit=name, problem=problem)
        async with unit.lock:
            await unit.stop(min(unit.plan.stop_seconds, RESTART_STOP_SECONDS))
            unit.plan = trial.before
            records, stays = await asyncio.to_thread(_restored, trial.before.records, copy)
            if stays is None:
                await unit.start()
        self._releases.end_trial(name, trial.proven, f"{problem}; {stays or records}")
        if stays is not None:
            return _failed(f"{failure}. It was NOT rolled back, and is down: {stays}")
        lacks = await self._wait_until_healthy(trial)
        if lacks is not None:
            return _failed(f"{failure}. The previous release was started again, but {lacks}")
        detail = f"{failure}. The previous release runs again and is healthy{records}"
        return {**_failed(detail), "rolled_back": True, "incarnation": unit.incarnation}

    async def _wait_until_healthy(self, trial: _Trial) -> str | None:
        """Wait until the new process is healthy; return what is missing.

        Raises:
            StackStopping: the stack is being stopped.
        """
        unit, child = trial.unit, trial.unit.child
        stopping = {Phase.STOPPING, Phase.STOPPED}

        def abort_reason() -> str | None:
            if self._supervisor.phase in stopping or self._supervisor.asked_to_stop.is_set():
                raise StackStopping(
                    "the stack is stopping: its next start uses the previous release"
                )
            if unit.child is not child:
                return "it was restarted by another request"
            if unit.running:
                return None
            error = last_error(unit.log, child.log_begins if child else 0)
            return f"it ended with code {unit.exit_code}" + (f": {error}" if error else "")

        return await wait_until_healthy(
            trial.question,
            self._session,
            life=lambda: unit.incarnation,
            within_seconds=trial.request.within_seconds,
            abort_reason=abort_reason,
        )


def changeable_part(program: Path) -> Path | None:
    """Return the first part of a program's path that a user other than root and us can change.

    This includes its folders and those of link targets, but not sticky folders such as /tmp, in
    which users can change only their own files.
    """
    for place in (program, program.resolve()):
        for part in (place, *place.parents):
            found = part.stat()
            sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
            open_to_all = found.st_mode & stat.S_IWOTH and not sticky
            if found.st_uid not in {0, os.geteuid()} or open_to_all:
                return part
    return None


def _restored(records: Path | None, copy: Path | None) -> tuple[str, str | None]:
    """Restore changed records; return what was done, and why the old release must not start."""
    if records is None or copy is None:
        return "", None
    try:
        if version(records) == version(copy):
            return "", None
    except sqlite3.Error as error:
        return (
            "",
            f"its records can no longer be read ({error}); the earlier copy is {copy}",
        )
    if traded_since(records, copy):
        return "", (
            "the new release changed the records so that the previous one cannot read them, and "
            f"has traded since. The copy from before the update is {copy}. To roll back anyway, "
            f"replace {records} with it and start the unit: its startup reconciliation reads the "
            "missing trades from the venue"
        )
    try:
        aside = go_back(records, copy)
    except (OSError, sqlite3.Error) as error:
        return (
            "",
            f"its records could not be restored ({error}); the earlier copy is {copy}",
        )
    return (
        f"; its records are those from before the update, and the newer ones are in {aside}",
        None,
    )


def _failed(detail: str) -> dict[str, Any]:
    return {"outcome": "failed", "detail": detail, "rolled_back": False, "incarnation": None}

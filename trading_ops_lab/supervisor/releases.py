"""Which release of a program a unit runs: the installed one, or one deployed by an update.

One file per unit, `var/units/<unit>.json`. A release is on trial until it has proven to work. A
trial interrupted by the supervisor's death counts as failed at the next start.
"""

import dataclasses
from pathlib import Path
from typing import Any

from trading_ops import clock, logs
from trading_ops.agent.durable import read_json, write_json
from trading_ops.errors import SetupError
from trading_ops_lab.supervisor.process import Process

_log = logs.get(__name__)

KEPT = 20
"""Number of update results kept."""


class Releases:
    """The stored release of every unit."""

    def __init__(self, folder: Path) -> None:
        """Set the folder; it is created by the first write."""
        self._folder = folder

    def folder_of(self, unit: str) -> Path:
        """Return the folder with the copies of a unit's records."""
        return self._folder / unit

    def chosen(self, plan: Process) -> Process:
        """Return the plan with the interpreter that the unit should run.

        Raises:
            SetupError: invalid file.
        """
        kept = self._read(plan.unit)
        if kept.get("trial"):
            _log.error("update_unfinished", unit=plan.unit, python=kept["trial"])
            self.end_trial(plan.unit, kept.get("proven"), "the supervisor ended during the update")
            kept = self._read(plan.unit)
        python = kept.get("proven")
        return plan if not python else with_python(plan, python)

    def begin_trial(self, unit: str, python: str) -> None:
        """Record the start of a trial.

        Raises:
            OSError: it could not be stored; the trial must not start.
        """
        self._write(unit, {**self._read(unit), "trial": python})

    def end_trial(self, unit: str, proven: str | None, result: str) -> None:
        """Record the end of a trial: the interpreter to run from now on; None: the installed one.

        Raises:
            OSError: it could not be stored.
        """
        kept = self._read(unit)
        entry = {"at": clock.timestamp(), "to": kept.get("trial"), "result": result}
        results = [*kept.get("results", []), entry][-KEPT:]
        self._write(unit, {"proven": proven, "results": results})

    def proven(self, unit: str) -> str | None:
        """Return the interpreter of the deployed release; None: the installed one."""
        found = self._read(unit).get("proven")
        return str(found) if found else None

    def _read(self, unit: str) -> dict[str, Any]:
        path = self._path(unit)
        kept = read_json(path)
        if not isinstance(kept.get("results", []), list):
            raise SetupError(f"{path} is not a valid release file. Fix: restore or remove it")
        return kept

    def _write(self, unit: str, kept: dict[str, Any]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._path(unit), kept)

    def _path(self, unit: str) -> Path:
        return self._folder / f"{unit}.json"


def with_python(plan: Process, python: str) -> Process:
    """Return a plan with another interpreter."""
    return dataclasses.replace(plan, argv=(python, *plan.argv[1:]))

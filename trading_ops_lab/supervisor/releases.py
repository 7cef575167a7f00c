"""Which release of a program a unit runs: the installed one, or one deployed by an update.

One file per unit, `var/units/<unit>.json`. A release is on trial until it has proven to work; a
trial that was not finished, because the supervisor died, counts as failed when the stack starts.
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
"""Results of updates that are kept."""


class Releases:
    """The durable choice for every unit."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when something is written."""
        self._folder = folder

    def folder_of(self, unit: str) -> Path:
        """Return where copies of a unit's records are kept."""
        return self._folder / unit

    def chosen(self, plan: Process) -> Process:
        """Return the plan with the interpreter that the unit is to run.

        Raises:
            SetupError: the file holds something else.
        """
        kept = self._read(plan.unit)
        if kept.get("trial"):
            _log.error("update_unfinished", unit=plan.unit, python=kept["trial"])
            self.end_trial(plan.unit, kept.get("proven"), "the supervisor ended in its middle")
            kept = self._read(plan.unit)
        python = kept.get("proven")
        return plan if not python else with_python(plan, python)

    def begin_trial(self, unit: str, python: str) -> None:
        """Note that a release is about to be tried.

        Raises:
            OSError: it could not be stored; nothing may be tried.
        """
        self._write(unit, {**self._read(unit), "trial": python})

    def end_trial(self, unit: str, proven: str | None, result: str) -> None:
        """Note the end of a trial: which interpreter runs from now on, None for the installed one.

        Raises:
            OSError: it could not be stored.
        """
        kept = self._read(unit)
        entry = {"at": clock.timestamp(), "to": kept.get("trial"), "result": result}
        results = [*kept.get("results", []), entry][-KEPT:]
        self._write(unit, {"proven": proven, "results": results})

    def proven(self, unit: str) -> str | None:
        """Return the interpreter that an update put there; None: the installed one."""
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
    """Return a plan with another interpreter; everything else stays."""
    return dataclasses.replace(plan, argv=(python, *plan.argv[1:]))

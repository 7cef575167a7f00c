"""A service manager based on commands: a fixed argv for each verb, from `targets.yml`.

For hosts with another init system. Nothing is substituted into an argv, and no shell is involved. A
command must redirect the output of processes that it leaves running.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta

from trading_ops.errors import SetupError
from trading_ops.services.manager import ManagerUnavailable, UnitStatus

STATUS_SECONDS = 5.0
LONGEST_OUTPUT = 4096
NOT_RUNNING = 3
"""The exit status of `status` for a stopped unit, as for LSB init scripts."""


class Commands:
    """Runs the commands of units by the unit's name."""

    def __init__(self, commands: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Set argvs by unit and verb: `status`, `restart`, optionally `start`, `stop`."""
        self._commands = commands

    async def status(self, name: str) -> UnitStatus:
        """Run the `status` command.

        It exits with 0 and prints one line that identifies the current run, such as PID and start
        time; or it exits with 3 if the unit is stopped.

        Raises:
            SetupError: the command cannot be run.
            ManagerUnavailable: it did not answer, or its answer is invalid.
        """
        within = timedelta(seconds=STATUS_SECONDS)
        try:
            code, output = await self._run(name, "status", within)
        except TimeoutError as error:
            raise ManagerUnavailable(f"the status command of {name} took too long") from error
        if code == NOT_RUNNING:
            return UnitStatus(state="stopped", running=False)
        first = output.partition("\n")[0].strip()
        if code or not first:
            raise ManagerUnavailable(
                f"the status command of {name} exited with {code} and printed {first!r}. Fix: exit "
                f"with 0 and print a line naming the current run, or exit with {NOT_RUNNING}"
            )
        return UnitStatus(state="running", running=True, incarnation=first)

    async def start(self, name: str, within: timedelta) -> None:
        """Run the `start` command, or `restart` if there is none.

        Raises:
            SetupError: it failed or took too long.
        """
        verb = "start" if "start" in self._commands[name] else "restart"
        await self._change(name, verb, within)

    async def stop(self, name: str, grace: timedelta) -> None:
        """Run the `stop` command.

        Raises:
            SetupError: there is none, or it failed or took too long.
        """
        if "stop" not in self._commands[name]:
            raise SetupError(f"targets.yml has no stop command for {name}")
        await self._change(name, "stop", grace + timedelta(seconds=STATUS_SECONDS))

    async def restart(self, name: str, within: timedelta) -> None:
        """Run the `restart` command.

        Raises:
            SetupError: it failed or took too long.
        """
        await self._change(name, "restart", within)

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    async def _change(self, name: str, verb: str, within: timedelta) -> None:
        try:
            code, output = await self._run(name, verb, within)
        except TimeoutError as error:
            seconds = within.total_seconds()
            raise SetupError(f"the {verb} command of {name} took over {seconds:g} s") from error
        if code:
            last = output.strip().rpartition("\n")[2]
            raise SetupError(f"the {verb} command of {name} exited with {code}: {last}")

    async def _run(self, name: str, verb: str, within: timedelta) -> tuple[int, str]:
        argv = self._commands[name][verb]
        # A file, not a pipe: a pipe stays open while a process that the command left running uses
        # it.
        with tempfile.TemporaryFile() as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise SetupError(
                    f"the {verb} command of {name} cannot be run: {error.strerror or error}"
                ) from error
            try:
                async with asyncio.timeout(within.total_seconds()):
                    code = await process.wait()
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
            output.seek(0)
            return code, output.read(LONGEST_OUTPUT).decode(errors="replace")

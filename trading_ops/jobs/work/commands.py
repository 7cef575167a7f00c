"""Jobs that are a command of `trading-ops`, run in a process of its own.

A process can be ended at its timeout, and its memory is gone afterwards.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, Plan, Result, Step

SHOWN = 300
"""Characters of the last line of output that are kept."""

END_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A job that runs a command line; exit code 0 is success."""

    arguments: tuple[str, ...]
    what: str
    reason: str
    nothing: str = ""
    """What the last line of output begins with when there was nothing to do."""

    module: str = "trading_ops.cli.main"

    async def plan(self, context: Context) -> Plan:
        """Return the command as its only step."""
        del context
        return Plan((Step(self.what, self.reason),))

    async def run(self, context: Context) -> Result:
        """Run the command; end it when the job is cut off."""
        code, output, errors = await execute(context, self.arguments, module=self.module)
        said = last_line(output + errors)
        if code:
            return Result(JobOutcome.FAILED, why(code, said))
        if self.nothing and said.startswith(self.nothing):
            return Result(JobOutcome.NOTHING_TO_DO, said)
        return Result(JobOutcome.DONE, said)


async def execute(
    context: Context, arguments: Sequence[str], *, module: str = "trading_ops.cli.main"
) -> tuple[int, bytes, bytes]:
    """Run a command for this installation; return its exit code and what it printed.

    A cancelled call ends the process.
    """
    process = await asyncio.create_subprocess_exec(
        *(
            "/usr/bin/env",
            f"TRADING_OPS_ROOT={context.settings.root}",
            f"TRADING_OPS_VAR={context.settings.var}",
        ),
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        await end(process)
    return process.returncode or 0, output, errors


def why(code: int, said: str) -> str:
    """Return why a process failed, from its exit code and the last line of its output."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}: {said}" if said else how


def last_line(output: bytes) -> str:
    """Return the last line that says something."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:SHOWN] if lines else ""


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process that is still running, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


AUDIT_VERIFY = Command(
    arguments=("audit", "verify"),
    what="verify the audit log",
    reason="a change of a past event must be found",
)

"""Jobs that run a command of `trading-ops` in a separate process.

A process can be killed at its timeout, and its memory is freed afterwards.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep

SHOWN = 300
"""Maximum characters of the last line of output that are stored."""

END_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, kw_only=True)
class CommandJob:
    """A job that runs a command line; exit code 0 is success."""

    arguments: tuple[str, ...]
    what: str
    reason: str
    nothing: str = ""
    """Prefix of the last line of output if there was nothing to do."""

    module: str = "trading_ops.cli.main"

    async def plan(self, context: Context) -> Plan:
        """Return the command as its only step."""
        del context
        return Plan((PlannedStep(self.what, self.reason),))

    async def run(self, context: Context) -> JobResult:
        """Run the command; kill it when the job is cancelled."""
        code, output, errors = await execute(context, self.arguments, module=self.module)
        last_output = last_line(output + errors)
        if code:
            return JobResult(JobOutcome.FAILED, why(code, last_output))
        if self.nothing and last_output.startswith(self.nothing):
            return JobResult(JobOutcome.NOTHING_TO_DO, last_output)
        return JobResult(JobOutcome.DONE, last_output)


async def execute(
    context: Context, arguments: Sequence[str], *, module: str = "trading_ops.cli.main"
) -> tuple[int, bytes, bytes]:
    """Run a command for this installation; return its exit code and output.

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


def why(code: int, last_output: str) -> str:
    """Return why a process failed, from its exit code and the last line of its output."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}: {last_output}" if last_output else how


def last_line(output: bytes) -> str:
    """Return the last line that is not empty."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:SHOWN] if lines else ""


async def end(process: asyncio.subprocess.Process) -> None:
    """Terminate a process that is still running, and wait for its exit."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


AUDIT_VERIFY = CommandJob(
    arguments=("audit", "verify"),
    what="verify the audit log",
    reason="changes of past events must be detected",
)

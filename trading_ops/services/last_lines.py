"""The last lines that a run of a process logged before it ended, redacted and bounded."""

import asyncio
import contextlib
from collections.abc import Iterable

from trading_ops.errors import SetupError
from trading_ops.redaction import LONGEST_SECRET, redact_start
from trading_ops.services.manager import ManagerUnavailable

LINES = 20
LONGEST_LINE = 200
"""Characters; the rest of a line is dropped."""

WITHIN_SECONDS = 3.0
"""Time to read them: the restart waits for it."""


def bounded(lines: Iterable[str]) -> list[str]:
    """Return the last lines without secrets and without empty lines."""
    kept = [line.rstrip() for line in lines if line.strip()][-LINES:]
    longest = LONGEST_LINE + LONGEST_SECRET + 1
    return [redact_start(line, longest)[:LONGEST_LINE] for line in kept]


async def of_journal(invocation: str) -> list[str]:
    """Return the end of the journal of one run of a unit, with what systemd logged about it.

    The user must be in the group `systemd-journal`; otherwise there are no lines.

    Args:
        invocation: the run's InvocationID.

    Raises:
        SetupError: there is no journalctl.
        ManagerUnavailable: it failed or took too long.
    """
    own, by_systemd = f"_SYSTEMD_INVOCATION_ID={invocation}", f"INVOCATION_ID={invocation}"
    # Any process can write the field INVOCATION_ID, so only that of systemd itself counts.
    matches = [own, "+", by_systemd, "_PID=1"]
    options = ["--quiet", "--no-pager", "--output=cat", f"--lines={LINES}"]
    try:
        process = await asyncio.create_subprocess_exec(
            "journalctl",
            *options,
            *matches,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise SetupError(f"journalctl cannot be run: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            output, problem = await process.communicate()
    except TimeoutError as error:
        raise ManagerUnavailable("journalctl took too long") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        reason = problem.decode(errors="replace").strip()
        raise ManagerUnavailable(f"journalctl exited with {process.returncode}: {reason}")
    return output.decode(errors="replace").splitlines()

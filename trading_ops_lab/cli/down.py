"""`trading-ops down`: stops the local stack, and returns when its last process has exited."""

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import click

from trading_ops.cli.console import output_option, print_json

if TYPE_CHECKING:
    from trading_ops.config.settings import Settings

STOP_SECONDS = 60.0
"""Each process gets 12 s to exit before it is killed, in at most four waves."""

POLL_SECONDS = 0.05


@click.command()
@output_option
def down(*, output: str) -> None:
    """Stop the local stack.

    Returns when its last process has exited. It is not an error if nothing runs.
    """
    pid = _stop()
    if output == "json":
        print_json({"was_running": pid is not None, "pid": pid or None})
    else:
        click.echo("Nothing is running." if pid is None else "All processes stopped.")


def _stop() -> int | None:
    """Return the stack's pid when it and all its processes are gone; None: there was none.

    0: the supervisor was dead, and only its processes were stopped.

    Raises:
        StackError: it takes too long.
    """
    from trading_ops import clock  # noqa: PLC0415
    from trading_ops.cli.local_stack import holder  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.errors import NotRunning, StackError  # noqa: PLC0415
    from trading_ops_lab.supervisor.client import SupervisorClient  # noqa: PLC0415

    settings = load_settings()
    pid = holder(settings.var) or 0
    try:
        SupervisorClient(settings).shut_down()
    except NotRunning:
        return _end_leftovers(settings)
    except StackError as error:
        # It is frozen, or its token was changed: a signal requests the same.
        if not pid:
            raise
        click.echo(f"{error}. Sending it a signal instead.", err=True)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
    deadline = clock.monotonic() + STOP_SECONDS
    while holder(settings.var) is not None or _runs(pid):
        if clock.monotonic() > deadline:
            raise StackError(
                f"the stack (process {pid}) is still stopping after {STOP_SECONDS:.0f} s: see "
                f"{settings.logs / 'supervisor.log'}, or end it with `kill -9 {pid}`"
            )
        time.sleep(POLL_SECONDS)
    return pid


def _end_leftovers(settings: "Settings") -> int | None:
    """Stop the processes of a dead supervisor; None: there were none."""
    from trading_ops_lab.supervisor.lock import only_stack  # noqa: PLC0415
    from trading_ops_lab.supervisor.orphans import end_leftovers, leftovers  # noqa: PLC0415
    from trading_ops_lab.supervisor.run import log_to_file  # noqa: PLC0415

    if not leftovers(settings.var):
        return None
    with only_stack(settings.var), log_to_file(settings):
        end_leftovers(settings.var)
    return 0


def _runs(pid: int) -> bool:
    """Whether the stack's own process still runs; a zombie does not."""
    import psutil  # noqa: PLC0415

    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

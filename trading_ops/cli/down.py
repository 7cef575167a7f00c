"""`trading-ops down`: stops the system that runs here, and returns when nothing is left."""

import time

import click

from trading_ops.cli.console import output_option, print_json

STOP_SECONDS = 60.0
"""Every process has 12 s to end before it is killed, in at most four waves."""

POLL_SECONDS = 0.05


@click.command()
@output_option
def down(*, output: str) -> None:
    """Stop the system that runs here.

    Returns when its last process has ended. That nothing runs is no error.
    """
    pid = _stop()
    if output == "json":
        print_json({"was_running": pid is not None, "pid": pid})
    else:
        click.echo("Nothing is running." if pid is None else "Everything is stopped.")


def _stop() -> int | None:
    """Return the stack's pid when it and all its processes are gone; None: there was none.

    Raises:
        StackError: it does not answer, or takes too long.
    """
    from trading_ops import clock  # noqa: PLC0415
    from trading_ops.errors import StackError  # noqa: PLC0415
    from trading_ops.settings import load_settings  # noqa: PLC0415
    from trading_ops.stack.client import NotRunning, SupervisorClient  # noqa: PLC0415
    from trading_ops.stack.lock import holder  # noqa: PLC0415

    settings = load_settings()
    pid = holder(settings.var) or 0
    try:
        SupervisorClient(settings).shut_down()
    except NotRunning:
        return None
    deadline = clock.monotonic() + STOP_SECONDS
    while holder(settings.var) is not None or _runs(pid):
        if clock.monotonic() > deadline:
            raise StackError(
                f"the stack (process {pid}) is still stopping after {STOP_SECONDS:.0f} s: see "
                f"{settings.logs / 'supervisor.log'}, or end it with `kill -9 {pid}`"
            )
        time.sleep(POLL_SECONDS)
    return pid


def _runs(pid: int) -> bool:
    """Whether the stack's own process is still there; one that only waits to be reaped is not."""
    import psutil  # noqa: PLC0415

    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

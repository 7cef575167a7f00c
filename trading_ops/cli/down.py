"""`trading-ops down`: stops the system that runs here, and returns when nothing is left."""

import time

import click

STOP_SECONDS = 60.0
"""Every process has 12 s to end before it is killed, in at most four waves."""

POLL_SECONDS = 0.05


@click.command()
def down() -> None:
    """Stop the system that runs here.

    Returns when its last process has ended. That nothing runs is no error.
    """
    from trading_ops import clock  # noqa: PLC0415
    from trading_ops.errors import StackError  # noqa: PLC0415
    from trading_ops.settings import load_settings  # noqa: PLC0415
    from trading_ops.stack.client import NotRunning, SupervisorClient  # noqa: PLC0415
    from trading_ops.stack.lock import holder  # noqa: PLC0415
    from trading_ops.targets import load_targets  # noqa: PLC0415

    settings = load_settings()
    pid = holder(settings.var) or 0
    try:
        SupervisorClient(settings, load_targets(settings.targets_file)).shut_down()
    except NotRunning:
        click.echo("Nothing is running.")
        return
    deadline = clock.monotonic() + STOP_SECONDS
    while holder(settings.var) is not None or _runs(pid):
        if clock.monotonic() > deadline:
            raise StackError(
                f"the stack (process {pid}) is still stopping after {STOP_SECONDS:.0f} s: see "
                f"{settings.logs / 'supervisor.log'}, or end it with `kill -9 {pid}`"
            )
        time.sleep(POLL_SECONDS)
    click.echo("Everything is stopped.")


def _runs(pid: int) -> bool:
    """Whether the stack's own process is still there; one that only waits to be reaped is not."""
    import psutil  # noqa: PLC0415

    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

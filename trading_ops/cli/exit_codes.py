"""Every exit code of `trading-ops`, so that scripts can tell what happened."""

from enum import IntEnum


class ExitCode(IntEnum):
    """0 is success; everything else says why not."""

    OK = 0
    FAILED = 1
    """What was asked for could not be done; the message says why."""

    USAGE = 2
    """The command line was wrong: an unknown option, a missing argument."""

    NOT_RUNNING = 3
    """The command needs a running stack, and there is none."""

    SETUP = 4
    """A tool, port, folder or configuration is missing, taken or wrong."""

    NOT_RECOVERED = 5
    """A drill was not closed in its time (or, with automation paused, something recovered)."""

    UNEXPECTED = 70
    """A mistake in trading-ops itself; the log named in the message has the details."""

    INTERRUPTED = 130
    """Ctrl-C."""

"""The exit codes of `trading-ops`."""

from enum import IntEnum


class ExitCode(IntEnum):
    """0 is success; other codes give the reason."""

    OK = 0
    FAILED = 1
    """The command failed; the message gives the reason."""

    USAGE = 2
    """Usage error: an unknown option, a missing argument."""

    NOT_RUNNING = 3
    """The command needs a running stack, and none is running."""

    SETUP = 4
    """A tool, port, folder or configuration is missing, in use or invalid."""

    NOT_RECOVERED = 5
    """A drill did not close in time (or, with automation paused, something recovered)."""

    NO_SERVICES = 6
    """targets.yml assigns no service to this node."""

    UNEXPECTED = 70
    """Internal error in trading-ops; the log named in the message has the details."""

    INTERRUPTED = 130
    """Ctrl-C."""

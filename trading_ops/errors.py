"""The errors a user may meet, as a tree.

    TradingOpsError
    ├── ConfigError         a file or setting is wrong: names the file, the key and the fix
    ├── SetupError          a tool, port or folder is missing or taken
    ├── StackError          the local stack is not in the state that the command needs
    │   └── NotPossibleHere this machine lacks what a drill needs
    ├── StoreError          the database could not store or read
    │   ├── StoreBusy       the intake is full; try again
    │   ├── StoreUnavailable  the database is away or locked; nothing was stored
    │   └── CommitUnknown   COMMIT was sent and not answered; it may be stored
    ├── ClientError         a system we call did not do as asked
    │   ├── Unreachable     no answer: the outcome is unknown (retryable, but for a one-shot)
    │   └── Refused         a clear no: nothing was done (permanent)
    ├── ActionError         an action failed for good; the next step is due (permanent)
    └── OrderRefused        what a person ordered cannot be done; nothing was

Commands print the message of one of these as a single sentence; a traceback never reaches a user.
"""


class TradingOpsError(Exception):
    """Anything that went wrong in a way a user can understand and mend."""


class ConfigError(TradingOpsError):
    """A configuration file or setting is wrong."""

    def __init__(self, where: str, key: str, problem: str, fix: str) -> None:
        """Name the place, the key, what is wrong and how to mend it."""
        self.where, self.key, self.problem, self.fix = where, key, problem, fix
        place = f"{where}: {key}" if key else where
        super().__init__(f"{place}: {problem}. Fix: {fix}")


class SetupError(TradingOpsError):
    """A tool, port, folder or permission is missing or taken."""


class StackError(TradingOpsError):
    """The local stack is not in the state that the command needs."""


class NotRunning(StackError):
    """No stack runs in this var folder."""


class NotPossibleHere(StackError):
    """A drill needs of this machine what it does not have, or what must not be taken from it."""

    def __init__(self, why: str) -> None:
        """Take what it lacks."""
        super().__init__(f"not possible here: {why}")


class StoreError(TradingOpsError):
    """The database could not store or read; nothing was acknowledged."""


class StoreBusy(StoreError):
    """The intake is full; the sender should try again."""


class StoreUnavailable(StoreError):
    """The database is away, locked or silent; nothing was stored."""


class CommitUnknown(StoreError):
    """COMMIT was sent and not answered: it may be stored, or not."""


AWAY = (StoreUnavailable, CommitUnknown, StoreBusy)
"""The database's trouble, not that of what was to be stored: the same will do when it is over."""


class ClientError(TradingOpsError):
    """A system that we call did not do as asked."""


class Unreachable(ClientError):
    """There was no answer: whether it was done is unknown."""


class Cut(Unreachable):
    """The connection was accepted, and ended before an answer: something lives there."""


class Refused(ClientError):
    """There was a clear no: nothing was done."""


class FencedOff(Refused):
    """An executor has seen a higher fence than the order's."""

    def __init__(self, message: str, highest: int) -> None:
        """Tell the highest fence that it has seen."""
        self.highest = highest
        super().__init__(message)


class ActionError(TradingOpsError):
    """An action failed for good; trying the same again is useless."""


class OrderRefused(TradingOpsError):
    """What a person ordered cannot be done, and nothing was: the sentence says why."""

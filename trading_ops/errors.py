"""User-facing errors.

    TradingOpsError
    ├── ConfigError         a file or setting is invalid: names the file, the key and the fix
    ├── SetupError          a tool, port or folder is missing or in use
    ├── StackError          the local stack is not in the state that the command needs
    │   └── NotPossibleHere this machine lacks what a drill needs
    ├── StoreError          the database could not store or read
    │   ├── StoreBusy       the intake is full; try again
    │   ├── StoreUnavailable  the database is unreachable or locked; nothing was stored
    │   └── CommitUnknown   no answer to COMMIT; it may be stored
    ├── ClientError         a request to another system failed
    │   ├── Unreachable     no answer: the outcome is unknown (retryable, except one-shots)
    │   └── Refused         rejected: nothing was done (permanent)
    ├── ActionError         an action failed; the next step is due (permanent)
    ├── RequestRefused        an operator's request was rejected; nothing was done
    └── NothingSelected     no target has the requested team or host

Commands print the message as a single line, never a traceback.
"""


class TradingOpsError(Exception):
    """Base of all errors that a user can understand and fix."""


class ConfigError(TradingOpsError):
    """A configuration file or setting is invalid."""

    def __init__(self, where: str, key: str, problem: str, fix: str) -> None:
        """Build the message `where: key: problem. Fix: fix`."""
        self.where, self.key, self.problem, self.fix = where, key, problem, fix
        place = f"{where}: {key}" if key else where
        super().__init__(f"{place}: {problem}. Fix: {fix}")


class NoServices(ConfigError):
    """targets.yml assigns no service to this node, or does not list it."""


class SetupError(TradingOpsError):
    """A tool, port, folder or permission is missing or in use."""


class StackError(TradingOpsError):
    """The local stack is not in the state that the command needs."""


class NotRunning(StackError):
    """No stack runs in this var folder."""


class NotPossibleHere(StackError):
    """This machine lacks what a drill needs, or must not be disturbed by it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not possible here: {why}")


class StoreError(TradingOpsError):
    """The database could not store or read; nothing was acknowledged."""


class StoreBusy(StoreError):
    """The intake is full; the sender should try again."""


class StoreUnavailable(StoreError):
    """The database is unreachable, locked or does not answer; nothing was stored."""


class CommitUnknown(StoreError):
    """No answer to COMMIT: it may be stored, or not."""


AWAY = (StoreUnavailable, CommitUnknown, StoreBusy)
"""Database failures unrelated to the data: retry later."""


class ClientError(TradingOpsError):
    """A request to another system failed."""


class Unreachable(ClientError):
    """No answer: the outcome is unknown."""


class Cut(Unreachable):
    """The connection was accepted and closed before an answer: the process is alive."""


class NotListening(Unreachable):
    """The connection was refused: no process listens on the port, or a firewall rejects it."""


class Refused(ClientError):
    """The request was rejected: nothing was done."""


class NotOffered(Refused):
    """The bot does not offer this command."""


class FencedOff(Refused):
    """The executor has seen a higher fence than the request's."""

    def __init__(self, message: str, highest: int) -> None:
        self.highest = highest
        super().__init__(message)


class ActionError(TradingOpsError):
    """An action failed; retrying does not help."""


class RequestRefused(TradingOpsError):
    """An operator's request was rejected and nothing was done; the message gives the reason."""


class NothingSelected(TradingOpsError):
    """No target has the requested team or host."""

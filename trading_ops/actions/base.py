"""The interface of an action, and of the clients that it uses."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

from trading_ops.domain.attempt import AttemptId, DeliverySemantics
from trading_ops.domain.decision import Impostor
from trading_ops.domain.target import OWN_BOTS, Kind, Target
from trading_ops.errors import TradingOpsError


class AttemptResult(Protocol):
    """An executor's answer."""

    @property
    def outcome(self) -> str:
        """`succeeded`, `failed`, `running`, or `unknown`: started by a process that died."""

    @property
    def succeeded(self) -> bool:
        """Whether the action succeeded."""

    @property
    def detail(self) -> str:
        """The executor's result text."""

    @property
    def before(self) -> str | None:
        """For a restart: the incarnation that ran when it started."""

    @property
    def log(self) -> list[str]:
        """For a restart of a dead process: the last lines that it had logged."""


class ReportedHealth(Protocol):
    """The health that a bot reports."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `failing`."""

    @property
    def incarnation(self) -> str:
        """Identity of the process that answered."""


class ExecutorClient(Protocol):
    """Executes actions; deduplicates attempts and rejects stale fences."""

    async def attempt(self, attempt_id: str) -> AttemptResult | None:
        """Return the stored result, or None if the attempt never arrived."""

    async def raise_fence(self, fence: int) -> None:
        """Reject all requests with a lower fence from now on."""


class BotClient(ExecutorClient, Protocol):
    """A bot's agent."""

    async def health(self) -> ReportedHealth:
        """Return the bot's health, from the bot itself."""

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        fence: int,
        within: timedelta,
    ) -> AttemptResult:
        """Send the bot a command and return the result."""


class UnitProcess(Protocol):
    """A process as its service manager sees it."""

    @property
    def incarnation(self) -> str | None:
        """`<pid>:<start time>`, of the last process while it is down, or None."""

    @property
    def agents(self) -> str | None:
        """The incarnation that its agent reports; None: unknown."""

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is down."""


class UnitClient(ExecutorClient, Protocol):
    """A process under its service manager."""

    async def process(self) -> UnitProcess:
        """Return the current state of the process."""

    async def restart(
        self, *, incarnation: str | None, attempt_id: str, fence: int, within: timedelta
    ) -> AttemptResult:
        """Restart the process, only if it is the given incarnation."""

    async def scale(
        self,
        *,
        resource: str,
        value: int,
        seconds: int,
        attempt_id: str,
        fence: int,
        within: timedelta,
        undoes: str | None = None,
    ) -> AttemptResult:
        """Give the process another amount of a resource for a time."""


class Notifier(Protocol):
    """Notifies on-call."""

    def show(self, target: Target, message: str) -> bool:
        """Publish a notice; return False when too many are active."""


class Clients(Protocol):
    """Finds the client of a registered target."""

    def bot(self, target: Target) -> BotClient:
        """Return the agent of a bot."""

    def unit(self, target: Target) -> UnitClient:
        """Return the process of a target at its service manager."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One attempt of an action."""

    attempt_id: AttemptId
    fence: int
    target: Target
    params: Mapping[str, str]
    within: timedelta
    requested_by: str | None = None
    """The operator who requested it; None: a runbook step."""

    reason: str = ""
    """The operator's reason."""

    log: list[str] = field(default_factory=list)
    """Filled by a restart: the last lines that the dead process had logged."""


class Probe(StrEnum):
    """The result of probing an attempt whose outcome is unknown."""

    DONE = "done"
    FAILED = "failed"
    NOT_DONE = "not_done"
    """It never arrived, and never will."""

    UNKNOWN = "unknown"


class Action(Protocol):
    """An action of a runbook step."""

    name: ClassVar[str]
    delivery: ClassVar[DeliverySemantics]
    params: ClassVar[frozenset[str]]
    """Parameters that a step must give: all of these and no others."""

    kinds: ClassVar[frozenset[Kind]]
    """Kinds of target that it supports; a runbook skips the step for other kinds."""

    two_person_approval: ClassVar[bool]
    """Whether a manual run always needs another operator's approval."""

    manual_only: ClassVar[bool]
    """Whether it is manual only: no runbook may use it."""

    async def precondition(self, call: Call) -> str | None:
        """Probe the target; return why the action must not run now, or None."""

    async def perform(self, call: Call) -> str:
        """Run the action; return the result text.

        Raises:
            ActionError: it failed, and retrying does not help.
            Refused: the executor rejected it.
            Unreachable: no answer; the outcome is unknown.
        """

    async def probe(self, call: Call) -> Probe:
        """Find the outcome of an attempt whose outcome is unknown."""


@runtime_checkable
class Undoable(Protocol):
    """An action whose effect lasts for a time, and that can end it earlier."""

    async def undo(self, call: Call) -> str:
        """End what the attempt of this call started, and nothing that others started.

        Idempotent. Raises the same errors as `perform`.
        """


def undo_id(attempt: AttemptId) -> str:
    """Return the idempotency key of undoing an attempt."""
    return f"{attempt}-undo"


async def probe_executor(executor: ExecutorClient, call: Call) -> Probe:
    """Probe the executor's record of attempts, after raising the fence.

    The fence is raised first (`call.fence` is newer than the attempt's), so that "never arrived"
    also means "never will".
    """
    await executor.raise_fence(call.fence)
    kept = await executor.attempt(call.attempt_id)
    if kept is None:
        return Probe.NOT_DONE
    if kept.outcome in {"running", "unknown"}:
        return Probe.UNKNOWN
    return Probe.DONE if kept.succeeded else Probe.FAILED


NOTHING = "nothing"


async def find_impostor(clients: Clients, target: Target) -> Impostor | None:
    """Compare the incarnation that a bot's agent reports with the service manager's.

    None: they match, or one is unknown. A mismatch is checked twice, since the bot may just have
    been restarted.
    """
    if target.kind not in OWN_BOTS or target.service is None:
        return None
    return await _mismatch(clients, target) and await _mismatch(clients, target)


async def _mismatch(clients: Clients, target: Target) -> Impostor | None:
    try:
        unit = clients.unit(target)
        health, process = await asyncio.gather(clients.bot(target).health(), unit.process())
    except TradingOpsError:
        return None
    if process.agents is None:
        return None
    runs = NOTHING if process.pid is None else process.agents
    if health.incarnation == runs:
        return None
    return Impostor(
        f"process {health.incarnation[:40]} answers for {target.name}, "
        f"but its service manager runs {runs}"
    )

"""What an action is, and what it may ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from trading_ops.domain.attempt import AttemptId, Delivery
from trading_ops.domain.target import Kind, Target


class Result(Protocol):
    """An executor's answer."""

    @property
    def outcome(self) -> str:
        """`succeeded`, `failed`, `running`, or `unknown`: begun by a process that has died."""

    @property
    def succeeded(self) -> bool:
        """Whether the effect happened."""

    @property
    def detail(self) -> str:
        """What the executor says of it, for people."""

    @property
    def before(self) -> str | None:
        """Of a restart: the incarnation that ran when it was begun."""


class Health(Protocol):
    """A bot's own word about itself."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `failing`."""

    @property
    def incarnation(self) -> str:
        """Which run of the process answered."""


class Executor(Protocol):
    """Where effects happen, guarded by a fence and a memory of attempts."""

    async def attempt(self, attempt_id: str) -> Result | None:
        """Return the kept answer, or None when the attempt never arrived."""

    async def raise_fence(self, fence: int) -> None:
        """Have everything with a lower token refused from now on."""


class BotControl(Executor, Protocol):
    """A bot's agent."""

    async def health(self) -> Health:
        """Return the bot's health, asked directly."""

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        fence: int,
        within: timedelta,
    ) -> Result:
        """Have the bot carry out a command."""


class Process(Protocol):
    """A process as its service manager sees it."""

    @property
    def incarnation(self) -> str | None:
        """`<pid>:<start time>`, of the last life while it does not run, or None."""

    @property
    def agents(self) -> str | None:
        """The incarnation that the agent in it reports; None: not known."""

    @property
    def pid(self) -> int | None:
        """Its number, or None while it does not run."""


class ServiceUnit(Executor, Protocol):
    """One process at its service manager."""

    async def process(self) -> Process:
        """Return the process as it is now."""

    async def restart(
        self, *, incarnation: str | None, attempt_id: str, fence: int, within: timedelta
    ) -> Result:
        """Restart exactly the process that is meant."""


class Notices(Protocol):
    """Where people are told something."""

    def show(self, target: Target, message: str) -> bool:
        """Tell them; return whether there was room for it."""


class Clients(Protocol):
    """Finds the client of a registered target."""

    def bot(self, target: Target) -> BotControl:
        """Return the agent of a bot."""

    def unit(self, target: Target) -> ServiceUnit:
        """Return the process of a target at its service manager."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One attempt, as an action sees it."""

    attempt_id: AttemptId
    fence: int
    target: Target
    params: Mapping[str, str]
    within: timedelta
    ordered_by: str | None = None
    """The person who ordered it by hand; None: a runbook did."""

    reason: str = ""
    """Why, in that person's words."""


class Probe(StrEnum):
    """What became of an attempt whose outcome is unknown."""

    DONE = "done"
    FAILED = "failed"
    NOT_DONE = "not_done"
    """It never arrived, and can never arrive any more."""

    UNKNOWN = "unknown"


class Action(Protocol):
    """One thing that a runbook's step can do."""

    name: ClassVar[str]
    delivery: ClassVar[Delivery]
    params: ClassVar[frozenset[str]]
    """Names of the parameters that a step must give, all of them and no other."""

    kinds: ClassVar[frozenset[Kind]]
    """What it can be done to; a runbook passes over its step for any other target."""

    two_persons: ClassVar[bool]
    """Whether it always needs a second person's approval when it is ordered by hand."""

    by_hand_only: ClassVar[bool]
    """Whether only a person orders it, and no runbook may name it."""

    async def precondition(self, call: Call) -> str | None:
        """Return why it must not be done now, probed on the target; None: go ahead."""

    async def perform(self, call: Call) -> str:
        """Do it; return what was done, for people.

        Raises:
            ActionError: it was not done, and trying the same again is useless.
            Refused: the same, said by the executor.
            Unreachable: nobody answered: whether it was done is unknown.
        """

    async def probe(self, call: Call) -> Probe:
        """Find out what became of an attempt whose outcome is unknown."""


async def probe_executor(executor: Executor, call: Call) -> Probe:
    """Probe through the executor's memory, once nothing late can arrive any more.

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

"""Probe state of one bot's agent: how long it has not answered, and evidence on why.

The evidence comes from the service manager, the kernel and Prometheus.
"""

import asyncio
import ipaddress
import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.clients.agent import BotHealth
from trading_ops.clients.directory import Directory
from trading_ops.clients.node import Process
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.targets import split_address
from trading_ops.domain.agent_liveness import AgentEvidence, LivenessLimits, PortOwner, ProcessMatch
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import ConfigError, TradingOpsError
from trading_ops.holds.holds import AgentReport
from trading_ops.listener import owners

MISSES = 3


@dataclass(frozen=True, kw_only=True)
class ProbeTimeouts:
    """Timeouts and limits, in seconds."""

    halt: float = 3.0
    """Time without an answer until the bot is halted; 0: never, only measured."""

    stop: float = 6.0
    """Time without an answer until a live process is stopped."""

    poll: float = 1.0
    """Probe interval; 50 % of it after a missed answer."""

    answer: float = 1.0
    """Timeout of one probe."""

    answer_of_freqtrade: float = 2.0
    """Timeout of a Freqtrade's three requests; its API shares a process with its strategy."""

    late: float = 0.5
    """Delay of our own loop above which a missed answer does not count."""

    unknown: float = 30.0
    """Time without a first answer since our start until it is exported; no action is taken."""

    grace: float = 1.5
    """Time between SIGTERM and SIGKILL."""

    start: float = LivenessLimits.start
    """Grace period of a new process until its first answer."""

    stops: int = LivenessLimits.stops
    """Maximum stops of one bot per hour."""

    @property
    def bounds(self) -> LivenessLimits:
        """Return the thresholds for `domain.agent_liveness`."""
        return LivenessLimits(halt=self.halt, stop=self.stop, start=self.start, stops=self.stops)


@dataclass(kw_only=True)
class ProbeState:
    """Probe state of one bot's agent."""

    target: Target
    quiet_from: float
    """Monotonic time of the last answer, or of the end of our own delay."""

    incarnation: str | None = None
    """Incarnation that last answered; None: none since our start."""

    answered: datetime | None = None
    report: AgentReport | None = None
    misses: int = 0
    cut: bool = False
    """Whether the last failed probe was closed without an answer."""

    refused: bool = False
    """Whether the connection of the last failed probe was refused."""

    starting: tuple[str, float] | None = None
    """Another incarnation than the one that answered, and when it was first seen, monotonic."""

    stops: list[float] = field(default_factory=list)
    """Monotonic times at which its process was stopped."""

    epoch: int = 0
    """Incremented with each answer, to ignore results of earlier probes."""

    evaluated_at: float = -math.inf
    """Monotonic time of the last evaluation of an answer or timeout."""

    requested_hold: str | None = None
    """Halt for the current lack of answers that is not known to be in force."""

    requested_for: str | None = None
    """The incarnation that it is for."""

    recorded: set[str] = field(default_factory=set)
    """Events recorded since the last answer."""

    failure_logged: bool = False
    """Whether an error was logged since the last answer."""

    def answer_within(self, timeouts: ProbeTimeouts) -> float:
        """Return the probe timeout in seconds."""
        own = self.target.kind is Kind.BOT
        return timeouts.answer if own else timeouts.answer_of_freqtrade

    def record_answer(self, health: BotHealth, asked_at: float, now: float) -> None:
        """Record an answer."""
        self.incarnation = health.incarnation
        self.report = AgentReport(asked_at=asked_at, health=health)
        self.answered = clock.now()
        self._reset(now)
        self.recorded.clear()
        self.failure_logged = False

    def restart_timer(self, now: float) -> None:
        """Restart the timer: the delay was ours."""
        self._reset(now)

    def starting_for(self, incarnation: str | None, now: float) -> float:
        """Return how long a process that never answered has been running."""
        if incarnation is None:
            self.starting = None
            return 0.0
        if self.starting is None or self.starting[0] != incarnation:
            self.starting = incarnation, now
        return now - self.starting[1]

    def stops_since(self, moment: float) -> int:
        """Return the number of stops since then; forget older ones."""
        self.stops = [stop for stop in self.stops if stop > moment]
        return len(self.stops)

    def _reset(self, now: float) -> None:
        self.quiet_from = now
        self.misses = 0
        self.epoch += 1


log = logs.get(__name__)

HOUR_SECONDS = 3600.0

HEARTBEAT_AGE = (
    "time() - max(max_over_time(trading_bot_heartbeat_timestamp_seconds"
    '{{job="trading-bot",bot="{bot}"}}[15s]))'
)
"""The job is named: any other that exports this metric could prevent the halt of a frozen bot.

Uses the values of the last samples, so that a failed scrape does not hide them."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Collects evidence; each source has a timeout of a second and is optional."""

    directory: Directory
    prometheus: Prometheus | None
    within: float

    async def collect(
        self, probe: ProbeState, quiet: float, *, halt_in_force: bool
    ) -> tuple[AgentEvidence, str | None]:
        """Return the evidence, and the running incarnation if known."""
        process = await self._process(probe.target)
        life = ProcessMatch.UNKNOWN if process is None else _life(probe, process)
        incarnation = None if process is None else process.incarnation
        pid = None if process is None else process.pid
        heartbeat_age = None
        if life is not ProcessMatch.GONE:
            heartbeat_age = await self._heartbeat_age(probe.target)
        evidence = AgentEvidence(
            unanswered_for=quiet,
            life=life,
            listener=port_owner(probe.target.address, pid, refused=probe.refused),
            cut=probe.cut,
            heartbeat_age=heartbeat_age,
            starting_for=probe.starting_for(
                incarnation if life is ProcessMatch.OTHER else None, clock.monotonic()
            ),
            halt_requested=probe.requested_hold is not None,
            halt_in_force=halt_in_force,
            stops=probe.stops_since(clock.monotonic() - HOUR_SECONDS),
        )
        return evidence, incarnation

    async def _process(self, target: Target) -> Process | None:
        try:
            async with asyncio.timeout(self.within):
                return await self.directory.unit(target).process()
        except (TradingOpsError, TimeoutError) as error:
            log.warning("process_unknown", target=target.name, error=str(error) or "too slow")
            return None

    async def _heartbeat_age(self, target: Target) -> float | None:
        if self.prometheus is None:
            return None
        try:
            async with asyncio.timeout(self.within):
                found = await self.prometheus.query(HEARTBEAT_AGE.format(bot=target.name))
        except (TradingOpsError, TimeoutError) as error:
            log.warning("heartbeat_unknown", target=target.name, error=str(error) or "too slow")
            return None
        return found[0].value if found else None


def _life(probe: ProbeState, process: Process) -> ProcessMatch:
    if process.pid is None:
        return ProcessMatch.GONE
    if process.agents is None:
        return ProcessMatch.UNKNOWN
    return ProcessMatch.SAME if process.agents == probe.incarnation else ProcessMatch.OTHER


def port_owner(address: str, pid: int | None, *, refused: bool) -> PortOwner:
    """Return who listens on an agent's port.

    The kernel knows the listeners of its own host only. A connection that another host refuses
    says less: a firewall can answer like a closed port.

    Args:
        address: of the agent.
        pid: of the bot's process on this host; None: not known.
        refused: whether the last connection to it was refused.
    """
    try:
        host, port = split_address(address)
        local = ipaddress.ip_address(host).is_loopback
    except (ConfigError, ValueError):
        local = False
    if not local:
        return PortOwner.REFUSED if refused else PortOwner.UNKNOWN
    found = owners(host, port)
    # A refused connection alone may be older than a new listener, and a missing listener alone
    # means nothing where packet rules forward the port to a container.
    if refused and not found:
        return PortOwner.NONE
    return holder(found, None if pid is None else user_of(pid))


def holder(found: frozenset[int] | None, own: int | None) -> PortOwner:
    """Classify the listener by its owners and the user of the bot's process."""
    if not found or own is None:
        return PortOwner.UNKNOWN
    return PortOwner.OWN if own in found else PortOwner.FOREIGN


def user_of(pid: int) -> int | None:
    """Return the effective user of a process; /proc/PID may be owned by root."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[2]) for line in text.splitlines() if line[:4] == "Uid:"), None)
